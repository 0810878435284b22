package promcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// maxSeries bounds the series that name an entity, as in the correlation processor's own metrics.
const maxSeries = 1000

var (
	up       = prometheus.NewDesc("tapio_up", "Whether the source of findings answered", []string{"cluster"}, nil)
	active   = prometheus.NewDesc("tapio_findings_active", "Active findings", []string{"cluster", "pattern", "severity"}, nil)
	toEvent  = prometheus.NewDesc("tapio_prediction_time_to_event_seconds", "Time until the predicted event; negative when it is overdue", []string{"cluster", "pattern", "event", "kind", "namespace", "name", "container", "node"}, nil)
	left     = prometheus.NewDesc("tapio_predictions_unexposed", "Predictions left out of the time to event, to bound the number of series, or because another has the same names", nil, nil)
	coverage = prometheus.NewDesc("tapio_coverage", "How well a layer is observed: 1 ok, 0.5 degraded, 0 absent", []string{"cluster", "layer"}, nil)
	watched  = prometheus.NewDesc("tapio_entities_watched", "Entities that have a limit and are watched, of all clusters", []string{"kind"}, nil)
)

// collector asks the source at every scrape.
type collector struct {
	ctx    context.Context
	env    cli.Env
	source source.Source
	query  source.Query
	// clusters are those that the source looks at; none where it is one alone.
	clusters []string
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, active, toEvent, left, coverage, watched} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	report, err := c.source.Report(c.ctx, c.query)
	if err != nil {
		fmt.Fprintln(c.env.ErrOut, "tapio:", cli.Clean(err.Error()))
	}
	away := map[string]bool{}
	for _, l := range source.Away(report.Coverage) {
		away[l.Cluster] = true
	}
	clusters := c.clusters
	if len(clusters) == 0 {
		clusters = []string{""}
	}
	for _, name := range clusters {
		answered := 1.0
		if err != nil || away[name] {
			answered = 0
		}
		gauge(ch, up, answered, name)
	}
	if err == nil {
		findings(ch, report, c.env.Now())
		covered(ch, report)
	}
}

// gauge tells a value. Labels come from outside.
func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	for i := range labels {
		labels[i] = cli.Clean(labels[i])
	}
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// findings tells how many findings there are, and when what is predicted will come, the worst first.
func findings(ch chan<- prometheus.Metric, r finding.Report, now time.Time) {
	counts, named, unexposed := map[[3]string]float64{}, map[[8]string]bool{}, 0
	for _, f := range r.Findings {
		if f.State != finding.Active {
			continue
		}
		e := f.Entity
		counts[[3]string{cli.Clean(e.Cluster), cli.Clean(f.Pattern), cli.Clean(string(f.Severity))}]++
		if f.Forecast == nil {
			continue
		}
		labels := [8]string{e.Cluster, f.Pattern, f.Forecast.Event, e.Kind, e.Namespace, e.Name, e.Container, e.Node}
		for i := range labels {
			labels[i] = cli.Clean(labels[i])
		}
		if named[labels] || len(named) >= maxSeries {
			unexposed++
			continue
		}
		named[labels] = true
		gauge(ch, toEvent, f.Forecast.At.Sub(now).Seconds(), labels[:]...)
	}
	gauge(ch, left, float64(unexposed))
	for k, n := range counts {
		gauge(ch, active, n, k[:]...)
	}
}

// covered tells how well each layer is seen, the worst that is said of it, and how much is watched.
func covered(ch chan<- prometheus.Metric, r finding.Report) {
	layers := map[[2]string]float64{}
	for _, l := range r.Coverage {
		key := [2]string{cli.Clean(l.Cluster), cli.Clean(string(l.Layer))}
		if v, known := layers[key]; !known || l.State.Gauge() < v {
			layers[key] = l.State.Gauge()
		}
	}
	for k, v := range layers {
		gauge(ch, coverage, v, k[:]...)
	}
	kinds := map[string]float64{}
	for kind, n := range r.Watched {
		kinds[cli.Clean(kind)] += float64(n)
	}
	for kind, n := range kinds {
		gauge(ch, watched, n, kind)
	}
}
