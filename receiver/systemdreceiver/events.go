package systemdreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/deliver"
	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

// eventsReceiver tells what happens to units at once, as log events.
type eventsReceiver struct {
	tracker *tracker
	next    consumer.Logs
	logger  *zap.Logger
	rb      *metadata.ResourceBuilder
}

// Start begins to follow systemd's units.
func (r *eventsReceiver) Start(context.Context, component.Host) error {
	r.tracker.start()
	return nil
}

// Shutdown stops following.
func (r *eventsReceiver) Shutdown(context.Context) error {
	r.tracker.stop()
	r.tracker.telemetry.Shutdown()
	return nil
}

func (r *eventsReceiver) tell(ctx context.Context, u *unit, h happening) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	r.rb.SetSystemdUnit(u.name)
	r.rb.Emit().MoveTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	rec := sl.LogRecords().AppendEmpty()
	now := time.Now()
	rec.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
	if h.at.IsZero() || h.at.After(now) {
		h.at = now
	}
	rec.SetTimestamp(pcommon.NewTimestampFromTime(h.at))
	rec.SetEventName(h.event)
	rec.SetSeverityNumber(plog.SeverityNumberWarn)
	if h.severe {
		rec.SetSeverityNumber(plog.SeverityNumberError)
	}
	rec.Body().SetStr(h.text)
	if err := rec.Attributes().FromRaw(h.attributes); err != nil {
		r.logger.Error("an attribute of a unit's event was lost", zap.String("unit", u.name), zap.Error(err))
	}
	// While the next component refuses it for now, systemd's signals wait; if there are too many, all units are read anew.
	if err := deliver.Logs(ctx, r.next, ld); err != nil {
		r.tracker.telemetry.ReceiverSystemdLost.Add(ctx, 1)
		r.logger.Error("an event of a unit was lost", zap.String("unit", u.name), zap.Error(err))
	}
}
