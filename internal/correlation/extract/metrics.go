// Package extract turns OpenTelemetry records into signals. Only the extractors know where a signal came from.
package extract

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// Metrics calls visit for what metrics say of each entity they name. node names the node where the metrics do not.
func Metrics(md pmetric.Metrics, node string, visit func(signal.Batch)) {
	b := batches{node: node, byID: map[entity.ID]int{}}
	for _, rm := range md.ResourceMetrics().All() {
		b.resource = rm.Resource().Attributes()
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if measures, ok := metrics[m.Name()]; ok {
					b.metric(m, measures)
				}
			}
		}
	}
	for _, batch := range b.all {
		addUsed(&batch)
		addSums(&batch)
		visit(batch)
	}
}

// batches collects the signals of each entity. Some sources tell the parts of one entity under several resources.
type batches struct {
	node     string
	resource pcommon.Map
	byID     map[entity.ID]int
	all      []signal.Batch
}

func (b *batches) metric(m pmetric.Metric, measures []measure) {
	var points pmetric.NumberDataPointSlice
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		points = m.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		points = m.Sum().DataPoints()
		if m.Sum().AggregationTemporality() == pmetric.AggregationTemporalityDelta {
			return // a counter is read as a running total; deltas would be read as resets
		}
	default:
		return
	}
	for _, p := range points.All() {
		value := p.DoubleValue()
		if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
			value = float64(p.IntValue())
		}
		if math.IsNaN(value) || math.IsInf(value, 0) || p.Flags().NoRecordedValue() {
			continue
		}
		for _, ms := range measures {
			// Only the time that is left can be less than nothing.
			if !ms.chooses(p.Attributes()) || value < 0 && ms.kind != signal.CertificateLeft || value == 0 && ms.zeroIsNone {
				continue
			}
			s := signal.Signal{Time: p.Timestamp().AsTime(), Kind: ms.kind, Layer: finding.LayerCgroup, Shape: signal.Gauge, Value: value, Unit: units[ms.kind]}
			if ms.about.layer != "" {
				s.Layer = ms.about.layer
			}
			if ms.scale != 0 {
				s.Value *= ms.scale
			}
			if ms.approximate {
				s.Doubt = 1
			}
			if ms.counter {
				s.Shape = signal.Counter
				if start := p.StartTimestamp(); start != 0 {
					s.Start = start.AsTime()
				}
			}
			b.add(attributes{resource: b.resource, point: p.Attributes(), about: ms.about, node: b.node}, s)
		}
	}
}

func (ms measure) chooses(attrs pcommon.Map) bool {
	if ms.about.writable && readOnly(attrs) {
		return false
	}
	switch ms.attribute {
	case "":
		return true
	case "pressure.stall":
		return text(attrs, "pressure.resource")+"."+text(attrs, "pressure.kind") == ms.value
	}
	return text(attrs, ms.attribute) == ms.value
}

// readOnly says whether a data point of hostmetrics' filesystem scraper is about what nobody can write to. What the kernel itself made
// read-only, because of an error, is still mounted "rw".
func readOnly(attrs pcommon.Map) bool {
	return text(attrs, "mode") == "ro" || images[text(attrs, "type")]
}

// text is an attribute's value; empty where there is none.
func text(attrs pcommon.Map, name string) string {
	v, ok := attrs.Get(name)
	if !ok {
		return ""
	}
	return v.AsString()
}

func (b *batches) add(attrs attributes, s signal.Signal) {
	if needs := attrs.about.needs; needs != "" && attrs.String(needs) == "" {
		return
	}
	e, ok := entity.New(attrs, b.node)
	if !ok {
		return
	}
	i, ok := b.byID[e.ID]
	if !ok {
		i = len(b.all)
		b.byID[e.ID] = i
		b.all = append(b.all, signal.Batch{Entity: e})
	}
	s.Entity = e.ID
	b.all[i].Signals = append(b.all[i].Signals, s)
}

// addUsed replaces the parts of what the kernel cannot take back by their sum. Without anonymous memory there is no sum: the
// usage as a whole says nothing, since page cache may be most of it. Some sources tell anonymous memory under two names, of
// the cgroup alone and with those below it: the larger one has all.
func addUsed(b *signal.Batch) {
	used := signal.Signal{Kind: signal.MemoryUsed, Layer: finding.LayerCgroup, Entity: b.Entity.ID, Shape: signal.Gauge, Unit: "By"}
	anonymous, rest, known, whole := 0.0, 0.0, false, false
	kept := b.Signals[:0]
	for _, s := range b.Signals {
		switch s.Kind {
		case anon:
			known, used.Time = true, s.Time
			used.Doubt = max(used.Doubt, s.Doubt)
			anonymous = max(anonymous, s.Value)
		case shmem, kernel:
			rest += s.Value
			whole = whole || s.Kind == kernel
		default:
			kept = append(kept, s)
		}
	}
	b.Signals = kept
	if known {
		used.Value = anonymous + rest
		if !whole {
			used.Doubt = 1
		}
		b.Signals = append(b.Signals, used)
	}
}

// attributes looks resource attributes up, where the metric says so in the labels of the data point first.
type attributes struct {
	resource, point pcommon.Map
	about           about
	node            string
}

// String returns the attribute's value, or "".
func (a attributes) String(name string) string {
	if label, ok := a.about.labels[name]; ok {
		if v, ok := a.point.Get(label); ok && v.AsString() != "" {
			return v.AsString()
		}
	}
	if a.about.node && name != entity.AttrHost && name != entity.AttrNode {
		return ""
	}
	if v, ok := a.resource.Get(name); ok {
		return v.AsString()
	}
	if name == entity.AttrContainerID {
		if unit, ok := a.resource.Get(entity.AttrUnit); ok {
			return tenant(unit.AsString())
		}
	}
	if a.about.node && name == entity.AttrHost {
		return a.node
	}
	return ""
}
