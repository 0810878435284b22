package correlationprocessor

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
)

// maxSeries bounds the data points that name an entity; Prometheus pays for each. The worst findings come first.
const maxSeries = 1000

// The metrics. Where the unit is in braces or left out, the Prometheus exporter adds nothing to the name.
const (
	metricActive      = "tapio.findings.active"
	metricTimeToEvent = "tapio.prediction.time_to_event"
	metricUnexposed   = "tapio.predictions.unexposed"
	metricCoverage    = "tapio.coverage"
	metricWatched     = "tapio.entities.watched"
)

// series makes Tapio's own metrics, and remembers which were there last time: a gauge that is not mentioned any more would
// be served with its last value for minutes.
type series struct {
	patterns []string
	// predicted are the predictions exposed last time, by id.
	predicted map[string]finding.Finding
	watched   map[string]bool
}

func newSeries(patterns []*pattern.Pattern) *series {
	s := &series{predicted: map[string]finding.Finding{}, watched: map[string]bool{}}
	for _, p := range patterns {
		s.patterns = append(s.patterns, p.Name)
	}
	return s
}

// metrics are Tapio's own metrics: the active findings by pattern and severity, the time to each predicted event, and how
// well each layer is observed. fs are in order of severity.
func (s *series) metrics(now time.Time, st finding.Status, fs []finding.Finding) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", st.Node)
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.Scope().SetName(findinglog.ScopeName)
	gauge := func(name, unit, description string) func() pmetric.NumberDataPoint {
		m := sm.Metrics().AppendEmpty()
		m.SetName(name)
		m.SetUnit(unit)
		m.SetDescription(description)
		points := m.SetEmptyGauge().DataPoints()
		return func() pmetric.NumberDataPoint {
			p := points.AppendEmpty()
			p.SetTimestamp(pcommon.NewTimestampFromTime(now))
			return p
		}
	}

	type key struct {
		pattern  string
		severity finding.Severity
	}
	counts := map[key]float64{}
	toEvent := gauge(metricTimeToEvent, "s", "Time until the predicted event; negative when it is overdue")
	predicted, unexposed := map[string]finding.Finding{}, 0
	for _, f := range fs {
		if f.State != finding.Active {
			continue
		}
		counts[key{f.Pattern, f.Severity}]++
		if f.Forecast == nil {
			continue
		}
		if len(predicted) >= maxSeries {
			unexposed++
			continue
		}
		predicted[f.ID] = f
		p := toEvent()
		p.SetDoubleValue(f.Forecast.At.Sub(now).Seconds())
		label(p.Attributes(), f)
	}
	for id, f := range s.predicted {
		if _, still := predicted[id]; !still {
			p := toEvent()
			p.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
			label(p.Attributes(), f)
		}
	}
	s.predicted = predicted
	gauge(metricUnexposed, "{predictions}", "Predictions left out of the time to event, to bound the number of series")().SetDoubleValue(float64(unexposed))
	active := gauge(metricActive, "{findings}", "Active findings")
	for _, pattern := range s.patterns {
		for _, severity := range []finding.Severity{finding.Critical, finding.Warning, finding.Info} {
			p := active()
			p.SetDoubleValue(counts[key{pattern, severity}])
			p.Attributes().PutStr("pattern", pattern)
			p.Attributes().PutStr("severity", string(severity))
		}
	}
	coverage := gauge(metricCoverage, "", "How well a layer is observed: 1 ok, 0.5 degraded, 0 absent")
	for _, c := range st.Coverage {
		p := coverage()
		p.SetDoubleValue(c.State.Gauge())
		p.Attributes().PutStr("layer", string(c.Layer))
	}
	watched := gauge(metricWatched, "{entities}", "Entities that have a limit and are watched")
	for kind := range st.Watched {
		s.watched[kind] = true
	}
	for kind := range s.watched {
		p := watched()
		p.SetDoubleValue(float64(st.Watched[kind]))
		p.Attributes().PutStr("kind", kind)
	}
	return md
}

// label puts the attributes of a prediction's series.
func label(a pcommon.Map, f finding.Finding) {
	a.PutStr("pattern", f.Pattern)
	a.PutStr("event", f.Forecast.Event)
	for name, value := range map[string]string{"kind": f.Entity.Kind, "namespace": f.Entity.Namespace, "name": f.Entity.Name,
		"container": f.Entity.Container, "node": f.Entity.Node} {
		if value != "" {
			a.PutStr(name, value)
		}
	}
}
