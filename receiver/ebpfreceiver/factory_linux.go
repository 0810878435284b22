package ebpfreceiver

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// NewFactory returns the factory of the ebpf receiver.
func NewFactory() receiver.Factory {
	f := &factory{shared: map[*Config]*probes{}}
	return receiver.NewFactory(
		metadata.Type,
		createDefaultConfig,
		receiver.WithMetrics(f.createMetrics, metadata.MetricsStability),
		receiver.WithLogs(f.createLogs, metadata.LogsStability),
	)
}

// factory makes all instances of one id share the programs in the kernel. The collector makes an instance for each kind of
// pipeline and hands all of them the same config, so that its pointer is their common name.
type factory struct {
	mu     sync.Mutex
	shared map[*Config]*probes
}

func (f *factory) createLogs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	p, err := f.probes(set, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	return &logsReceiver{probes: p, next: next}, nil
}

func (f *factory) createMetrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	c := cfg.(*Config)
	p, err := f.probes(set, c)
	if err != nil {
		return nil, err
	}
	s := newMetricsScraper(p, set)
	sc, err := scraper.NewMetrics(s.scrape, scraper.WithStart(s.start), scraper.WithShutdown(s.shutdown))
	if err != nil {
		return nil, err
	}
	return scraperhelper.NewMetricsController(&c.ControllerConfig, set, next, scraperhelper.AddMetricsScraper(metadata.Type, sc))
}

// probes returns those of a config, making them for the first instance.
func (f *factory) probes(set receiver.Settings, cfg *Config) (*probes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.shared[cfg]; p != nil {
		return p, nil
	}
	p, err := newProbes(set, cfg)
	if err != nil {
		return nil, err
	}
	p.ended = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.shared, cfg)
	}
	f.shared[cfg] = p
	return p, nil
}
