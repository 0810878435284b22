package findingsexporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/your-org/tapio/exporter/findingsexporter/internal/metadata"
	"github.com/your-org/tapio/internal/attribution"
)

const (
	// expireInterval is how often what is over is forgotten.
	expireInterval = 5 * time.Second
	// heartbeatInterval is how often a watching client hears something; it keeps connections open through proxies.
	heartbeatInterval = 15 * time.Second
	// shutdownGrace is how long answers may take that are under way at shutdown.
	shutdownGrace = 2 * time.Second
)

// findingsExporter keeps what a pipeline brings, and serves it.
type findingsExporter struct {
	cfg       *Config
	set       component.TelemetrySettings
	telemetry *metadata.TelemetryBuilder
	store     *store
	changes   *changes
	// taking keeps changes in the order in which the store has taken them.
	taking    sync.Mutex
	now       func() time.Time
	heartbeat time.Duration

	desk    attribution.Desk // nil: nobody finds out who holds memory
	server  *http.Server
	address net.Addr
	stop    context.CancelFunc
	done    chan struct{}
}

func newFindingsExporter(set exporter.Settings, cfg *Config) (*findingsExporter, error) {
	t, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, fmt.Errorf("make component telemetry: %w", err)
	}
	e := &findingsExporter{cfg: cfg, set: set.TelemetrySettings, telemetry: t, store: newStore(cfg), now: time.Now,
		changes: newChanges(cfg.MaxWatchers, time.Now()), heartbeat: heartbeatInterval}
	return e, errors.Join(
		t.RegisterExporterFindingsStoredCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.store.len()))
			return nil
		}),
		t.RegisterExporterFindingsStoredSizeCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.store.bytes()))
			return nil
		}),
		t.RegisterExporterFindingsWatchersCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.changes.watchers()))
			return nil
		}),
	)
}

func (e *findingsExporter) start(ctx context.Context, host component.Host) error {
	e.desk = attribution.Find(host)
	listener, err := e.cfg.listen(ctx)
	if err != nil {
		return err
	}
	refuse := func(w http.ResponseWriter, _ *http.Request, detail string, status int) {
		refuse(w, problem{Status: status, Detail: detail})
	}
	server, err := e.cfg.ToServer(ctx, host.GetExtensions(), e.set, e.cfg.guard(listener, e.handler()), confighttp.WithErrorHandler(refuse))
	if err != nil {
		return errors.Join(fmt.Errorf("make the server: %w", err), listener.Close())
	}
	if e.cfg.open(listener) {
		e.set.Logger.Warn("anybody on the network can read the findings: set auth, or tls with client_ca_file, or an endpoint on loopback")
	}
	loop, stop := context.WithCancel(context.Background())
	e.server, e.address, e.stop, e.done = server, listener.Addr(), stop, make(chan struct{})
	served := make(chan struct{})
	go e.serve(listener, host, served)
	go e.expire(loop, served)
	e.set.Logger.Info("serving findings", zap.Stringer("endpoint", listener.Addr()))
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
			e.forget(ctx, e.now())
		}
	}
}

// forget gives up what is over, and what nobody has told of for long.
func (e *findingsExporter) forget(ctx context.Context, now time.Time) {
	e.taking.Lock()
	defer e.taking.Unlock()
	over, stale := e.store.expire(now)
	e.telemetry.ExporterFindingsStale.Add(ctx, int64(len(stale)))
	for _, f := range append(over, stale...) {
		e.changes.forgotten(f)
	}
}

func (e *findingsExporter) shutdown(ctx context.Context) error {
	defer e.telemetry.Shutdown()
	if e.server == nil {
		return nil
	}
	e.changes.close() // streams do not end by themselves
	ctx, cancel := context.WithTimeout(ctx, shutdownGrace)
	defer cancel()
	err := e.server.Shutdown(ctx)
	if ctx.Err() != nil {
		err = e.server.Close() // a client that does not read is no reason to wait
	}
	e.stop()
	<-e.done
	return err
}
