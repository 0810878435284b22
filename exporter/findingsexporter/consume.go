package findingsexporter

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
)

// consume takes the events of a pipeline in. Records of others are ignored, and unreadable ones refused: sending either again
// would not make it better.
func (e *findingsExporter) consume(ctx context.Context, ld plog.Logs) error {
	e.taking.Lock()
	defer e.taking.Unlock()
	ignored, refused := 0, 0
	var first error
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				switch err := e.take(ctx, rl.Resource(), r); {
				case errors.Is(err, findinglog.ErrOther):
					ignored++
				case err != nil:
					if refused++; first == nil {
						first = err
					}
				}
			}
		}
	}
	e.telemetry.ExporterFindingsIgnored.Add(ctx, int64(ignored))
	e.telemetry.ExporterFindingsRefused.Add(ctx, int64(refused))
	if first != nil {
		e.set.Logger.Warn("events could not be read", zap.Int("events", refused), zap.NamedError("first", first))
	}
	return nil
}

// take takes one event in. The error says why it is unreadable; it is findinglog.ErrOther for records of others.
func (e *findingsExporter) take(ctx context.Context, resource pcommon.Resource, r plog.LogRecord) error {
	if r.EventName() == findinglog.EventStatus {
		st, err := findinglog.ParseStatus(resource, r)
		if err == nil && !e.store.putStatus(e.now(), st) {
			e.telemetry.ExporterFindingsSourcesRefused.Add(ctx, 1)
		}
		return err
	}
	f, err := findinglog.ParseFinding(resource, r)
	if err != nil {
		return err
	}
	body, err := finding.Encode(f)
	if err != nil {
		return err
	}
	before, evicted, kept := e.store.put(e.now(), f, body)
	if kept {
		e.changes.changed(before, f, body)
	}
	e.telemetry.ExporterFindingsEvicted.Add(ctx, int64(len(evicted)))
	for _, f := range evicted {
		e.changes.forgotten(f)
	}
	return nil
}
