package findingsexporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/your-org/tapio/exporter/findingsexporter/internal/metadata"
	"github.com/your-org/tapio/internal/finding/findinglog"
)

// expireInterval is how often what is over is forgotten.
const expireInterval = 5 * time.Second

// findingsExporter keeps what a pipeline brings, and serves it.
type findingsExporter struct {
	cfg       *Config
	set       component.TelemetrySettings
	telemetry *metadata.TelemetryBuilder
	store     *store
	watchers  *watchers
	now       func() time.Time

	server *http.Server
	stop   context.CancelFunc
	done   chan struct{}
}

func newFindingsExporter(set exporter.Settings, cfg *Config) (*findingsExporter, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, fmt.Errorf("make component telemetry: %w", err)
	}
	e := &findingsExporter{cfg: cfg, set: set.TelemetrySettings, telemetry: t, store: newStore(cfg), now: time.Now}
	e.watchers = newWatchers(cfg.MaxWatchers, time.Now())
	return e, errors.Join(
		t.RegisterExporterFindingsStoredCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.store.len()))
			return nil
		}),
		t.RegisterExporterFindingsWatchersCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.watchers.len()))
			return nil
		}),
	)
}

func (e *findingsExporter) start(ctx context.Context, host component.Host) error {
	listener, err := e.cfg.ToListener(ctx)
	if err != nil {
		return fmt.Errorf("endpoint: cannot listen on %q: %w", e.cfg.NetAddr.Endpoint, err)
	}
	if e.server, err = e.cfg.ToServer(ctx, host.GetExtensions(), e.set, e.handler()); err != nil {
		return errors.Join(fmt.Errorf("make the server: %w", err), listener.Close())
	}
	loop, stop := context.WithCancel(context.Background())
	e.stop, e.done = stop, make(chan struct{})
	served := make(chan struct{})
	go e.serve(listener, host, served)
	go e.expire(loop, served)
	e.set.Logger.Info("serving findings", zap.String("endpoint", listener.Addr().String()))
	return nil
}

func (e *findingsExporter) serve(listener net.Listener, host component.Host, served chan<- struct{}) {
	defer close(served)
	if err := e.server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(fmt.Errorf("serve findings: %w", err)))
	}
}

func (e *findingsExporter) expire(ctx context.Context, served <-chan struct{}) {
	defer close(e.done)
	tick := time.NewTicker(expireInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			<-served
			return
		case <-tick.C:
			if stale := e.store.expire(e.now()); stale > 0 {
				e.telemetry.ExporterFindingsStale.Add(ctx, int64(stale))
			}
		}
	}
}

func (e *findingsExporter) shutdown(ctx context.Context) error {
	defer e.telemetry.Shutdown()
	if e.server == nil {
		return nil
	}
	e.watchers.close() // streams do not end by themselves
	err := e.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, e.server.Close())
	}
	e.stop()
	<-e.done
	return err
}

// consume takes the events of a pipeline in. Records of others are ignored, and hostile ones refused: sending either again
// would not make it better.
func (e *findingsExporter) consume(ctx context.Context, ld plog.Logs) error {
	now := e.now()
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				f, err := findinglog.ParseFinding(rl.Resource(), r)
				if err == nil {
					if evicted := e.store.put(now, f); evicted > 0 {
						e.telemetry.ExporterFindingsEvicted.Add(ctx, int64(evicted))
					}
					if slow := e.watchers.publish(f); slow > 0 {
						e.telemetry.ExporterFindingsWatchersDropped.Add(ctx, int64(slow))
					}
					continue
				}
				if errors.Is(err, findinglog.ErrOther) {
					st, statusErr := findinglog.ParseStatus(rl.Resource(), r)
					if statusErr == nil {
						e.store.putStatus(st)
						continue
					}
					err = statusErr
				}
				if errors.Is(err, findinglog.ErrOther) {
					e.telemetry.ExporterFindingsIgnored.Add(ctx, 1)
					continue
				}
				e.telemetry.ExporterFindingsRefused.Add(ctx, 1)
				e.set.Logger.Warn("an event could not be read", zap.Error(err))
			}
		}
	}
	return nil
}
