package correlationprocessor

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/internal/finding"
)

// maxSeries bounds the data points that name an entity; Prometheus pays for each.
const maxSeries = 1000

// metrics are Tapio's own metrics: the active findings by pattern and severity, the time to each predicted event, and how
// well each layer is observed.
func metrics(now time.Time, st finding.Status, fs []finding.Finding) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("host.name", st.Node)
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.Scope().SetName("github.com/your-org/tapio/processor/correlationprocessor")
	gauge := func(name, unit, description string) func(float64) pcommon.Map {
		m := sm.Metrics().AppendEmpty()
		m.SetName(name)
		m.SetUnit(unit)
		m.SetDescription(description)
		points := m.SetEmptyGauge().DataPoints()
		return func(v float64) pcommon.Map {
			p := points.AppendEmpty()
			p.SetTimestamp(pcommon.NewTimestampFromTime(now))
			p.SetDoubleValue(v)
			return p.Attributes()
		}
	}

	type key struct {
		pattern  string
		severity finding.Severity
	}
	counts := map[key]float64{}
	toEvent := gauge("tapio.prediction.time_to_event", "s", "Time until the predicted event; negative when it is overdue")
	named := 0
	for _, f := range fs {
		if f.State != finding.Active {
			continue
		}
		counts[key{f.Pattern, f.Severity}]++
		if f.Forecast == nil || named >= maxSeries {
			continue
		}
		named++
		a := toEvent(f.Forecast.At.Sub(now).Seconds())
		a.PutStr("pattern", f.Pattern)
		a.PutStr("event", f.Forecast.Event)
		for name, value := range map[string]string{"kind": f.Entity.Kind, "namespace": f.Entity.Namespace, "name": f.Entity.Name,
			"container": f.Entity.Container, "node": f.Entity.Node} {
			if value != "" {
				a.PutStr(name, value)
			}
		}
	}
	active := gauge("tapio.findings.active", "{findings}", "Active findings")
	for k, n := range counts {
		a := active(n)
		a.PutStr("pattern", k.pattern)
		a.PutStr("severity", string(k.severity))
	}
	coverage := gauge("tapio.coverage", "1", "How well a layer is observed: 1 ok, 0.5 degraded, 0 absent")
	for _, c := range st.Coverage {
		v := map[finding.CoverageState]float64{finding.CoverageOK: 1, finding.CoverageDegraded: 0.5}[c.State]
		coverage(v).PutStr("layer", string(c.Layer))
	}
	watched := gauge("tapio.entities.watched", "{entities}", "Entities that have a limit and are watched")
	for kind, n := range st.Watched {
		watched(float64(n)).PutStr("kind", kind)
	}
	return md
}
