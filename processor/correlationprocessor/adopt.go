package correlationprocessor

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
)

// adopt takes in the findings of other collectors, such as those of the nodes. It returns what they say of themselves, which goes on
// as it is, and whether there was a finding.
func (c *correlator) adopt(ctx context.Context, ld plog.Logs, now time.Time) (statuses plog.Logs, found bool) {
	statuses = plog.NewLogs()
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				switch r.EventName() {
				case findinglog.EventStatus:
					to := statuses.ResourceLogs().AppendEmpty()
					rl.Resource().CopyTo(to.Resource())
					r.CopyTo(to.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
				case findinglog.EventPrediction, findinglog.EventDiagnosis:
					f, err := findinglog.ParseFinding(rl.Resource(), r)
					if err != nil && !errors.Is(err, findinglog.ErrOther) {
						c.telemetry.ProcessorCorrelationFindingsInvalid.Add(ctx, 1)
						c.set.Logger.Warn("a finding of another collector cannot be read", zap.Error(err))
						continue
					}
					c.locate(&f, now)
					found = true
				}
			}
		}
	}
	return statuses, found
}

// locate finds out what a finding is about, and hands it to the engine.
func (c *correlator) locate(f *finding.Finding, now time.Time) {
	before := f.Entity
	e, id, found := c.cluster.place(before, now)
	switch {
	case found:
		f.Entity = e
		if was, is := before.Display(), e.Display(); was != is && before.Namespace == "" {
			// The node knew no better name than an id.
			f.Title = strings.ReplaceAll(f.Title, was, is)
			f.Explanation = strings.ReplaceAll(f.Explanation, was, is)
		}
	case before.Kind == string(entity.Node):
		id = entity.ID("node:" + before.Name)
	default:
		id = entity.ID("elsewhere:" + f.ID)
	}
	c.engine.Adopt(now, *f, id)
}
