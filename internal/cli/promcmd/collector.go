package promcmd

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// maxSeries bounds the series that name an entity, as in the correlation processor's own metrics.
const maxSeries = 1000

var (
	up       = prometheus.NewDesc("tapio_up", "Whether the source of findings answered", nil, nil)
	active   = prometheus.NewDesc("tapio_findings_active", "Active findings", []string{"pattern", "severity"}, nil)
	toEvent  = prometheus.NewDesc("tapio_prediction_time_to_event_seconds", "Time until the predicted event; negative when it is overdue", []string{"pattern", "event", "kind", "namespace", "name", "container", "node"}, nil)
	coverage = prometheus.NewDesc("tapio_coverage", "How well a layer is observed: 1 ok, 0.5 degraded, 0 absent", []string{"layer"}, nil)
	watched  = prometheus.NewDesc("tapio_entities_watched", "Entities that have a limit and are watched", []string{"kind"}, nil)
)

// collector asks the source at every scrape.
type collector struct {
	ctx    context.Context
	env    cli.Env
	source source.Source
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, active, toEvent, coverage, watched} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	report, err := c.source.Report(c.ctx, source.Query{})
	if err != nil {
		fmt.Fprintln(c.env.ErrOut, "tapio:", err)
		gauge(up, 0)
		return
	}
	gauge(up, 1)
	type key struct{ pattern, severity string }
	counts := map[key]float64{}
	named := map[[7]string]bool{}
	for _, f := range report.Findings {
		if f.State != finding.Active {
			continue
		}
		counts[key{cli.Clean(f.Pattern), string(f.Severity)}]++
		if f.Forecast == nil {
			continue
		}
		e := f.Entity
		labels := [7]string{f.Pattern, f.Forecast.Event, e.Kind, e.Namespace, e.Name, e.Container, e.Node}
		for i := range labels {
			labels[i] = cli.Clean(labels[i])
		}
		if named[labels] || len(named) >= maxSeries {
			continue
		}
		named[labels] = true
		gauge(toEvent, f.Forecast.At.Sub(c.env.Now()).Seconds(), labels[:]...)
	}
	for k, n := range counts {
		gauge(active, n, k.pattern, k.severity)
	}
	layers := map[string]bool{}
	for _, l := range report.Coverage {
		if name := cli.Clean(string(l.Layer)); !layers[name] {
			layers[name] = true
			gauge(coverage, l.State.Gauge(), name)
		}
	}
	kinds := map[string]bool{}
	for kind, n := range report.Watched {
		if name := cli.Clean(kind); !kinds[name] {
			kinds[name] = true
			gauge(watched, float64(n), name)
		}
	}
}
