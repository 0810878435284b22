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

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/extract/lines"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/processor/correlationprocessor/internal/metadata"
)

const (
	// statusInterval is how often the status goes out.
	statusInterval = 5 * time.Second
	// settled is how long after the start all pipelines are there, on a machine that is slow as well.
	settled = time.Minute
)

// correlator is the one engine behind all instances of an id, and the loop that tells what it finds.
type correlator struct {
	cfg       *Config
	set       component.TelemetrySettings
	id        component.ID
	node      string
	engine    *correlation.Engine
	rules     *lines.Rules
	cluster   cluster
	telemetry *metadata.TelemetryBuilder
	ended     func()

	mu         sync.Mutex
	instances  int // started and not shut down
	metricsOut []*metricsProcessor
	logsOut    []*logsProcessor
	store      storage.Client
	desk       attribution.Desk // nil: nobody looks into processes
	forget     func()
	cancel     context.CancelFunc
	done       chan struct{}
	signals    chan struct{}

	// telling is held while the next components are called: one is not called any more after its instance has shut down.
	telling sync.Mutex
	// owed are findings that a consumer refused for now; they are told again. Only the loop touches them, and series.
	owed   map[string]finding.Finding
	series *series
	// asked is when something was asked about an entity. Only the loop touches it.
	asked map[question]time.Time
	// turn is the next one of the shards of the state to be stored, and turned when the last one was. Only the loop touches them.
	turn   int
	turned time.Time
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
	rules, err := lines.Load()
	if err != nil {
		return nil, err
	}
	c := &correlator{cfg: cfg, rules: rules, set: set.TelemetrySettings, id: set.ID, node: node, engine: engine,
		signals: make(chan struct{}, 1), owed: map[string]finding.Finding{}, asked: map[question]time.Time{}, series: newSeries(patterns)}
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
		c.telemetry.RegisterProcessorCorrelationEntitiesUnsavedCallback(count(func(s correlation.Stats) int64 { return s.EntitiesUnsaved })),
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
		c.meet(host)
		loop, cancel := context.WithCancel(context.Background())
		c.cancel, c.done = cancel, make(chan struct{})
		go c.run(loop)
	}
	c.instances++
	add()
	return nil
}

// leave takes an instance out, after which nothing is told through it any more; the last one stops the loop and stores the
// state. remove runs under the lock.
func (c *correlator) leave(ctx context.Context, remove func()) error {
	c.mu.Lock()
	if c.instances == 0 { // never started
		c.mu.Unlock()
		c.close()
		return nil
	}
	remove()
	c.instances--
	last := c.instances == 0
	if last {
		c.cancel()
	}
	c.mu.Unlock()
	if !last {
		c.telling.Lock() // what is being told to it now was told before it left
		defer c.telling.Unlock()
		return nil
	}
	<-c.done
	if c.forget != nil {
		c.forget()
	}
	c.engine.Settle(time.Now()) // what came since the last look is not lost
	var err error
	for turn := range correlation.Turns {
		err = errors.Join(err, c.save(ctx, c.engine.Touched(turn)))
	}
	if c.store != nil {
		err = errors.Join(err, c.store.Close(ctx))
		c.store = nil
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
	started := time.Now()
	var status time.Time
	c.turned = started
	warned := false
	for {
		ticked := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ticked = true
		case <-c.signals:
		}
		now := time.Now()
		if !warned && now.Sub(started) >= settled {
			warned = true
			c.warn()
		}
		c.cluster.look(now, c.engine)
		told := c.engine.Evaluate(now)
		for _, err := range c.engine.Faults() {
			c.set.Logger.Error("a pattern holds, and a text of it cannot be told: its finding is left out as long as that is so (said once for each pattern)", zap.Error(err))
		}
		if ticked {
			c.ask(now) // it goes through all entities: on the clock, not with each signal
		}
		// Stored before it is told: what people have seen must not be lost, whatever happens to this process.
		c.persist(ctx, now)
		report := now.Sub(status) >= statusInterval
		if report {
			status = now
		}
		for _, f := range told {
			c.owe(ctx, c.cluster.concern(f))
		}
		if ticked || report || len(told) > 0 {
			c.tell(ctx, now, report)
		}
	}
}

// warn says so when findings have nowhere to go. It is asked when all pipelines have started: their order is not ours.
func (c *correlator) warn() {
	c.mu.Lock()
	deaf := len(c.logsOut) == 0
	c.mu.Unlock()
	if deaf {
		c.set.Logger.Warn(fmt.Sprintf("the processor %q is in no logs pipeline, so its findings go nowhere. Add %q to the processors of a logs pipeline "+
			"that has an exporter such as findings", c.id, c.id))
	}
}
