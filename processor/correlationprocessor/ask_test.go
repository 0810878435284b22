package correlationprocessor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/internal/attribution"
)

// asked is a desk that takes every question.
type asked struct {
	attribution.Desk
	questions chan attribution.Question
	find      func(name, namespace string) (attribution.Subject, bool)
}

func (*asked) Start(context.Context, component.Host) error { return nil }
func (*asked) Shutdown(context.Context) error              { return nil }

func (a *asked) Know(find func(name, namespace string) (attribution.Subject, bool)) func() {
	a.find = find
	return func() {}
}

func (a *asked) Ask(q attribution.Question) (string, error) {
	a.questions <- q
	return "1", nil
}

// A file system that is full is asked about, by where it is mounted.
func TestWhatIsFullIsAskedAbout(t *testing.T) {
	r := newRig(t, nil)
	desk := &asked{questions: make(chan attribution.Question, 100)}
	r.host[component.MustNewID("attribution")] = desk
	l, m := r.logs(consumertest.NewNop()), r.metrics(consumertest.NewNop())
	md := pmetric.NewMetrics()
	usage := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	usage.SetName("system.filesystem.usage")
	points := usage.SetEmptySum().DataPoints()
	for state, n := range map[string]int64{"used": 1 << 20, "free": 0, "reserved": 0} {
		p := points.AppendEmpty()
		p.SetIntValue(n)
		p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		p.Attributes().PutStr("state", state)
		p.Attributes().PutStr("mountpoint", "/data")
		p.Attributes().PutStr("type", "ext4")
		p.Attributes().PutStr("device", "/dev/sdb")
	}
	assert.NoError(t, m.ConsumeMetrics(ctx, md))
	select {
	case q := <-desk.questions:
		assert.Equal(t, attribution.Question{Kind: attribution.Errors, Subject: attribution.Subject{Name: "/data", Mountpoint: "/data"}}, q)
	case <-time.After(30 * time.Second):
		t.Fatal("nobody asked")
	}
	s, ok := desk.find("/data", "")
	assert.True(t, ok)
	assert.Equal(t, "/data", s.Mountpoint)
	r.stop(m, l)
}
