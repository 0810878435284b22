package correlationprocessor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
	"github.com/your-org/tapio/processor/correlationprocessor/internal/metadata"
)

// stateKey is where the storage extension keeps the engine's state.
const stateKey = "engine"

// statusInterval is how often the status goes out.
const statusInterval = 5 * time.Second

// correlator is the one engine behind all instances of an id, and the loop that tells what it finds.
type correlator struct {
	cfg       *Config
	set       component.TelemetrySettings
	id        component.ID
	node      string
	engine    *correlation.Engine
	telemetry *metadata.TelemetryBuilder
	ended     func()

	mu         sync.Mutex
	instances  int // started and not shut down
	metricsOut []*metricsProcessor
	logsOut    []*logsProcessor
	store      storage.Client
	cancel     context.CancelFunc
	done       chan struct{}
	signals    chan struct{}

	// owed are findings that a consumer refused for now; they are told again. Only the loop touches them.
	owed map[string]finding.Finding
}

func newCorrelator(set processor.Settings, cfg *Config) (*correlator, error) {
	patterns, err := cfg.load()
	if err != nil {
		return nil, err
	}
	node := cfg.Node
	if node == "" {
		if node, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("node is not set, and the host has no name: %w", err)
		}
	}
	engine, err := correlation.New(correlation.Settings{Patterns: patterns, MaxEntities: cfg.MaxEntities, MaxFindings: cfg.MaxFindings,
		EntityTTL: cfg.EntityTTL, Retention: cfg.Retention, Refresh: cfg.Refresh})
	if err != nil {
		return nil, err
	}
	c := &correlator{cfg: cfg, set: set.TelemetrySettings, id: set.ID, node: node, engine: engine,
		signals: make(chan struct{}, 1), owed: map[string]finding.Finding{}}
	if c.telemetry, err = metadata.NewTelemetryBuilder(set.TelemetrySettings); err != nil {
		return nil, fmt.Errorf("make component telemetry: %w", err)
	}
	return c, c.observe()
}

// observe makes component telemetry of what the engine counts.
func (c *correlator) observe() error {
	count := func(read func(correlation.Stats) int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(read(c.engine.Stats()))
			return nil
		}
	}
	return errors.Join(
		c.telemetry.RegisterProcessorCorrelationSignalsCallback(count(func(s correlation.Stats) int64 { return s.Signals })),
		c.telemetry.RegisterProcessorCorrelationSignalsDroppedCallback(count(func(s correlation.Stats) int64 { return s.SignalsDropped })),
		c.telemetry.RegisterProcessorCorrelationEntitiesCallback(count(func(s correlation.Stats) int64 { return int64(s.Entities) })),
		c.telemetry.RegisterProcessorCorrelationEntitiesEvictedCallback(count(func(s correlation.Stats) int64 { return s.EntitiesEvicted })),
		c.telemetry.RegisterProcessorCorrelationFindingsCallback(count(func(s correlation.Stats) int64 { return int64(s.Findings) })),
		c.telemetry.RegisterProcessorCorrelationFindingsRefusedCallback(count(func(s correlation.Stats) int64 { return s.FindingsRefused })),
		c.telemetry.RegisterProcessorCorrelationEvaluationErrorsCallback(count(func(s correlation.Stats) int64 { return s.EvaluationErrors })),
	)
}

// join adds an instance; the first one restores the state and starts the loop. add runs under the lock.
func (c *correlator) join(ctx context.Context, host component.Host, add func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.instances == 0 {
		if err := c.open(ctx, host); err != nil {
			return err
		}
		loop, cancel := context.WithCancel(context.Background())
		c.cancel, c.done = cancel, make(chan struct{})
		go c.run(loop)
	}
	c.instances++
	add()
	return nil
}

// open takes the state up from the storage extension.
func (c *correlator) open(ctx context.Context, host component.Host) error {
	if c.cfg.Storage == nil {
		c.set.Logger.Info("no storage is set: findings do not outlive a restart")
		return nil
	}
	ext, ok := host.GetExtensions()[*c.cfg.Storage]
	if !ok {
		return fmt.Errorf("storage: there is no extension %q", c.cfg.Storage)
	}
	st, ok := ext.(storage.Extension)
	if !ok {
		return fmt.Errorf("storage: extension %q is no storage extension", c.cfg.Storage)
	}
	client, err := st.GetClient(ctx, component.KindProcessor, c.id, "")
	if err != nil {
		return fmt.Errorf("storage: open %q: %w", c.cfg.Storage, err)
	}
	c.store = client
	saved, err := client.Get(ctx, stateKey)
	if err != nil {
		return fmt.Errorf("storage: read the state: %w", err)
	}
	if saved != nil {
		// A state that cannot be read must not keep the agent from watching: start anew, and say so.
		if err := c.engine.Restore(time.Now(), saved); err != nil {
			c.set.Logger.Error("the stored state is not usable; starting without it", zap.Error(err))
		}
	}
	return nil
}

// leave takes an instance out, after which nothing is told through it any more; the last one stops the loop and stores the
// state. remove runs under the lock.
func (c *correlator) leave(ctx context.Context, remove func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.instances == 0 { // never started
		c.close()
		return nil
	}
	remove()
	if c.instances--; c.instances > 0 {
		return nil
	}
	c.cancel()
	c.mu.Unlock() // the loop may be waiting for it
	<-c.done
	c.mu.Lock()
	err := c.save(ctx)
	if c.store != nil {
		err = errors.Join(err, c.store.Close(ctx))
	}
	c.close()
	return err
}

func (c *correlator) close() {
	c.telemetry.Shutdown()
	c.ended()
}

// wake asks the loop to look at new signals now.
func (c *correlator) wake() {
	select {
	case c.signals <- struct{}{}:
	default: // it is asked already
	}
}

func (c *correlator) run(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(c.cfg.Interval)
	defer tick.Stop()
	var saved, status time.Time
	warned := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.signals:
		}
		now := time.Now()
		if !warned && c.deaf() {
			warned = true
			c.set.Logger.Warn("this processor is in no logs pipeline: findings go nowhere. Add it, under the same id, to a logs pipeline with an exporter such as findings")
		}
		told := c.engine.Evaluate(now)
		if len(told) > 0 || now.Sub(saved) >= c.cfg.SaveInterval {
			// Stored before it is told: what people have seen must not be lost, whatever happens to this process.
			if err := c.save(ctx); err != nil {
				c.set.Logger.Error("cannot store the state", zap.Error(err))
			}
			saved = now
		}
		report := now.Sub(status) >= statusInterval
		if report {
			status = now
		}
		c.tell(ctx, now, told, report)
	}
}

// deaf says whether there is nobody to tell findings to.
func (c *correlator) deaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.logsOut) == 0
}

func (c *correlator) save(ctx context.Context) error {
	if c.store == nil {
		return nil
	}
	b, err := c.engine.Save()
	if err != nil {
		return err
	}
	if err := c.store.Set(ctx, stateKey, b); err != nil {
		return fmt.Errorf("store the state: %w", err)
	}
	return nil
}

// tell sends findings to every logs pipeline, and the status and metrics when due.
func (c *correlator) tell(ctx context.Context, now time.Time, told []finding.Finding, report bool) {
	for _, f := range told {
		c.owed[f.ID] = f
	}
	if len(c.owed) == 0 && !report {
		return
	}
	status := c.engine.Status(now)
	status.Node = c.node
	c.mu.Lock()
	logsOut, metricsOut := c.logsOut, c.metricsOut
	c.mu.Unlock()
	failed := false
	for _, out := range logsOut {
		ld := findinglog.New()
		for _, f := range c.owed {
			ld.Append(f)
		}
		if report {
			ld.AppendStatus(status)
		}
		if err := out.next.ConsumeLogs(ctx, ld.Logs()); err != nil && ctx.Err() == nil {
			failed = true
			c.telemetry.ProcessorCorrelationFindingsUndelivered.Add(ctx, int64(len(c.owed)))
			c.set.Logger.Warn("findings were refused; they are told again", zap.Int("findings", len(c.owed)), zap.Error(err))
		}
	}
	if !failed {
		clear(c.owed)
	}
	if !report {
		return
	}
	for _, out := range metricsOut {
		if err := out.next.ConsumeMetrics(ctx, metrics(now, status, c.engine.Findings())); err != nil && ctx.Err() == nil {
			c.set.Logger.Warn("metrics about findings were refused", zap.Error(err))
		}
	}
}
