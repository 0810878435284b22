package journaldreceiver

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// The time between two offers of what was refused for now doubles from the one to the other.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// deliver hands entries on, for as long as it takes. It says whether they are settled: taken, or refused for good.
func (r *journalReceiver) deliver(ctx context.Context, entries []sdjournal.Entry) bool {
	if len(entries) == 0 {
		return true
	}
	var rest *plog.Logs // what is left of a batch that was taken in part
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		var ld plog.Logs
		if rest == nil {
			// Made anew each time: the next component may change what it is given, and then refuse it.
			l := r.builder.logs()
			for _, e := range entries {
				l.add(e)
			}
			ld = l.Logs
		} else {
			ld = plog.NewLogs()
			rest.CopyTo(ld)
		}
		count := ld.LogRecordCount()
		op := r.obs.StartLogsOp(ctx)
		err := r.next.ConsumeLogs(op, ld)
		r.obs.EndLogsOp(op, metadata.Type.String(), count, err)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case consumererror.IsPermanent(err):
			r.set.Logger.Error("entries were refused for good", zap.Int("entries", count), zap.Error(err))
			r.telemetry.ReceiverJournaldLost.Add(ctx, int64(count), because(refused))
			return true
		}
		var partly consumererror.Logs
		if errors.As(err, &partly) {
			left := plog.NewLogs()
			partly.Data().CopyTo(left)
			rest = &left
		}
		r.set.Logger.Debug("entries were refused for now", zap.Int("entries", count), zap.Duration("again_in", wait), zap.Error(err))
		r.telemetry.ReceiverJournaldRetries.Add(ctx, 1)
		if pause(ctx, wait); ctx.Err() != nil {
			return false
		}
	}
}
