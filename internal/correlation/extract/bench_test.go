package extract_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/correlation/extract"
	"github.com/your-org/tapio/internal/correlation/extract/lines"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// Records of the journal that mean nothing, as nearly all are; the number is for one core.
func BenchmarkLogs(b *testing.B) {
	rules, err := lines.Load()
	require.NoError(b, err)
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	require.NoError(b, rl.Resource().Attributes().FromRaw(map[string]any{"host.name": "n7", "host.id": "1", "systemd.unit": "kubelet.service"}))
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	const n = 100
	for range n {
		r := records.AppendEmpty()
		r.Body().SetStr(`I0620 10:27:34.896076  290854 scope.go:117] "RemoveContainer" containerID="fcf542990eebfe217e7848894aed49caf5309fc09739f88bf38f7b6a493c5f1c"`)
		require.NoError(b, r.Attributes().FromRaw(map[string]any{"process.pid": 700, "process.executable.name": "kubelet", "process.user.id": 0,
			"systemd.journal._transport": "stdout", "systemd.journal._boot_id": "1", "systemd.journal.syslog_identifier": "kubelet"}))
	}
	b.ReportAllocs()
	for b.Loop() {
		extract.Logs(ld, "n7", rules, func(signal.Batch) { b.Fatal("there is nothing to tell") })
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
}
