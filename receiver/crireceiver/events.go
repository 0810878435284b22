package crireceiver

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/deliver"
	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

// eventsReceiver tells what happens to containers, sandboxes and images, as log events.
type eventsReceiver struct {
	cfg       *Config
	next      consumer.Logs
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start begins to follow the runtimes.
func (r *eventsReceiver) Start(context.Context, component.Host) error {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	sockets, asked := r.cfg.sockets()
	for _, socket := range sockets {
		f := r.follower(socket, asked)
		r.done.Go(func() { f.run(ctx) })
	}
	return nil
}

func (r *eventsReceiver) follower(socket string, asked bool) *follower {
	name := ""
	rb := metadata.NewResourceBuilder(r.cfg.ResourceAttributes)
	return &follower{
		socket: socket, asked: asked, poll: r.cfg.PollInterval, logger: r.logger, telemetry: r.telemetry,
		found: func(rt *runtime) { name = rt.name },
		tracker: newTracker(r.cfg.MaxContainers, r.telemetry, func(ctx context.Context, h happening) {
			r.tell(ctx, h, h.of.put(rb, name))
		}),
	}
}

// Shutdown stops following.
func (r *eventsReceiver) Shutdown(context.Context) error {
	if r.cancel != nil {
		r.cancel()
		r.done.Wait()
	}
	r.telemetry.Shutdown()
	return nil
}

func (r *eventsReceiver) tell(ctx context.Context, h happening, about pcommon.Resource) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	about.MoveTo(rl.Resource())
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
	rec.SetSeverityNumber(h.severity)
	rec.Body().SetStr(h.text)
	if err := rec.Attributes().FromRaw(h.attributes); err != nil {
		r.logger.Error("an attribute of a container's event was lost", zap.String("event", h.event), zap.Error(err))
	}
	// While the next component refuses it for now, the runtime's events wait; what does not fit is told by the difference.
	if err := deliver.Logs(ctx, r.next, ld); err != nil {
		r.telemetry.ReceiverCriLost.Add(ctx, 1)
		r.logger.Error("an event of a container was lost", zap.String("event", h.text), zap.Error(err))
	}
}
