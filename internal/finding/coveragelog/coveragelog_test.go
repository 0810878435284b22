package coveragelog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
)

func TestWriteAndRead(t *testing.T) {
	for _, p := range []coveragelog.Part{
		{Name: "oom", Coverage: finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageOK}},
		{Name: "network", Coverage: finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageAbsent, Reason: "no BTF"}},
	} {
		r := plog.NewLogRecord()
		coveragelog.Write(r, time.Unix(9, 0), p)
		got, ok := coveragelog.Read(r)
		assert.True(t, ok)
		assert.Equal(t, p, got)
		assert.Contains(t, r.Body().Str(), p.Reason)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, spoil := range map[string]func(plog.LogRecord){
		"another event":    func(r plog.LogRecord) { r.SetEventName("tapio.status") },
		"an unknown state": func(r plog.LogRecord) { r.Attributes().PutStr("tapio.coverage.state", "fine") },
		"no part":          func(r plog.LogRecord) { r.Attributes().Remove("tapio.coverage.part") },
		"no layer":         func(r plog.LogRecord) { r.Attributes().Remove("tapio.coverage.layer") },
	} {
		t.Run(name, func(t *testing.T) {
			r := plog.NewLogRecord()
			coveragelog.Write(r, time.Unix(9, 0), coveragelog.Part{Name: "oom",
				Coverage: finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageOK}})
			spoil(r)
			_, ok := coveragelog.Read(r)
			assert.False(t, ok)
		})
	}
}
