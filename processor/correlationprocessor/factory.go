package correlationprocessor

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"

	"github.com/your-org/tapio/processor/correlationprocessor/internal/metadata"
)

// NewFactory returns the factory of the correlation processor.
func NewFactory() processor.Factory {
	f := &factory{shared: map[*Config]*correlator{}}
	return processor.NewFactory(
		metadata.Type,
		createDefaultConfig,
		processor.WithMetrics(f.createMetrics, metadata.MetricsStability),
		processor.WithLogs(f.createLogs, metadata.LogsStability),
	)
}

// factory makes all instances of one id share one engine. The collector makes an instance for each pipeline and hands all of
// them the same config, so that its pointer is their common name.
type factory struct {
	mu     sync.Mutex
	shared map[*Config]*correlator
}

func (f *factory) createMetrics(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
	c, err := f.correlator(set, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	return &metricsProcessor{correlator: c, next: next}, nil
}

func (f *factory) createLogs(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	c, err := f.correlator(set, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	return &logsProcessor{correlator: c, next: next}, nil
}

// correlator returns the one of a config, making it for the first instance.
func (f *factory) correlator(set processor.Settings, cfg *Config) (*correlator, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.shared[cfg]; c != nil {
		return c, nil
	}
	c, err := newCorrelator(set, cfg)
	if err != nil {
		return nil, err
	}
	c.ended = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.shared, cfg)
	}
	f.shared[cfg] = c
	return c, nil
}
