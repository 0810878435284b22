//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/deliver"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// attrProbes names a group of probes in the receiver's own telemetry.
const attrProbes = attribute.Key("probes")

// flushPatience is how long a receiver that stops waits for the next component to take what has happened.
const flushPatience = 5 * time.Second

// logsReceiver tells what happened, as log events, and how well each group of probes sees.
type logsReceiver struct {
	probes *probes
	next   consumer.Logs
	cancel context.CancelFunc
	done   sync.WaitGroup
	leave  func() // the desk; nil: there is none
}

// Start loads the programs, unless another instance did.
func (r *logsReceiver) Start(_ context.Context, host component.Host) error {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.probes.join(func() { r.probes.out, r.probes.tellers = r, r.probes.tellers|tellsEvents })
	r.leave = r.probes.attend(host)
	r.done.Go(func() { r.tellCoverage(ctx) })
	r.done.Go(func() { r.tellFailures(ctx) })
	return nil
}

// Shutdown stops telling, and with the last instance takes the programs out of the kernel.
func (r *logsReceiver) Shutdown(ctx context.Context) error {
	if r.leave != nil {
		r.leave()
	}
	if r.cancel != nil {
		r.cancel()
		r.done.Wait()
		ctx, enough := context.WithTimeout(ctx, flushPatience)
		r.probes.flush(ctx)
		enough()
	}
	return r.probes.leave(r.cancel != nil, func() { r.probes.out, r.probes.tellers = nil, r.probes.tellers&^tellsEvents })
}

// tellCoverage says how well each group of probes sees, again and again.
func (r *logsReceiver) tellCoverage(ctx context.Context) {
	tick := time.NewTicker(coveragelog.Every)
	defer tick.Stop()
	for {
		parts := r.probes.sees()
		ld, records := newLogs(nil)
		for _, p := range parts {
			coveragelog.Write(records.AppendEmpty(), time.Now(), p)
		}
		if len(parts) > 0 {
			r.deliver(ctx, ld)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tellFailures tells what failed in each interval: to tell each failure of many by itself would help nobody.
func (r *logsReceiver) tellFailures(ctx context.Context) {
	connects, lookups := failures{probes: r.probes}, lookupFailures{probes: r.probes}
	tick := time.NewTicker(r.probes.cfg.CollectionInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		walks := r.probes.walks()
		if err := errors.Join(connects.tell(ctx), lookups.tell(ctx), r.probes.told(ctx, tellsEvents, walks)); err != nil {
			r.probes.logger.Error("what failed cannot be told", zap.Error(err))
		}
	}
}

func newLogs(resource func(pcommon.Resource)) (plog.Logs, plog.LogRecordSlice) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	if resource != nil {
		resource(rl.Resource())
	}
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	return ld, sl.LogRecords()
}

// tell tells an event of a cgroup. While the consumer refuses it for now, the ring buffer keeps what happens meanwhile.
func (p *probes) tell(ctx context.Context, cgroup string, version uint8, at time.Time, fill func(plog.LogRecord)) {
	p.mu.Lock()
	out := p.out
	p.mu.Unlock()
	if out == nil {
		return
	}
	ld, records := newLogs(func(res pcommon.Resource) {
		if cgroup == "/" {
			return // nobody's but the machine's
		}
		rb := metadata.NewResourceBuilder(p.cfg.ResourceAttributes)
		setWhose(rb, owner(cgroup), version)
		rb.Emit().MoveTo(res)
	})
	r := records.AppendEmpty()
	r.SetTimestamp(pcommon.NewTimestampFromTime(at))
	r.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	fill(r)
	out.deliver(ctx, ld)
}

// deliver hands logs on, and counts those that are not taken.
func (r *logsReceiver) deliver(ctx context.Context, ld plog.Logs) {
	if err := deliver.Logs(ctx, r.next, ld); err != nil {
		r.probes.telemetry.ReceiverEbpfRefused.Add(ctx, int64(ld.LogRecordCount()))
		r.probes.logger.Error("events of the kernel were lost", zap.Int("records", ld.LogRecordCount()), zap.Error(err))
	}
}
