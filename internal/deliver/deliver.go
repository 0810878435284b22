// Package deliver hands the log events of a receiver on to the next component of its pipelines.
package deliver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
)

// The time between two offers of what was refused for now doubles from the one to the other.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
)

// Logs hands logs on. What the next component refuses for now it is offered again, until it takes it, refuses it for good, or ctx
// ends; an error says that it was not taken.
func Logs(ctx context.Context, next consumer.Logs, ld plog.Logs) error {
	changes := next.Capabilities().MutatesData
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		offer := ld
		if changes { // also what it then refuses
			offer = plog.NewLogs()
			ld.CopyTo(offer)
		}
		err := next.ConsumeLogs(ctx, offer)
		if err == nil || consumererror.IsPermanent(err) || ctx.Err() != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}
