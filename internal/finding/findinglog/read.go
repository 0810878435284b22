package findinglog

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
)

// ErrOther says that a record is none of Tapio's events.
var ErrOther = errors.New("no event of Tapio's")

// maxList bounds the lists of a record that came from outside; the engine writes far shorter ones.
const maxList = 1000

// ParseFinding reads the event of a finding. The error names the attribute that is wrong; it is ErrOther for other records.
func ParseFinding(resource pcommon.Resource, r plog.LogRecord) (finding.Finding, error) {
	if n := r.EventName(); n != EventPrediction && n != EventDiagnosis {
		return finding.Finding{}, ErrOther
	}
	a := &reader{attrs: r.Attributes()}
	f := finding.Finding{
		ID: a.str(attrID), Kind: finding.Kind(a.str(attrKind)), Pattern: a.str(attrPattern),
		Severity: finding.Severity(a.str(attrSeverity)), State: finding.State(a.str(attrState)),
		Title: a.str(attrTitle), Brief: a.str(attrBrief), Explanation: a.str(attrExplanation), Confidence: a.double(attrConfidence),
		FirstSeen: a.time(attrFirstSeen), LastSeen: a.time(attrLastSeen),
		Causes: a.strings(attrCauses), Effects: a.strings(attrEffects),
		Entity: (&reader{attrs: resource.Attributes()}).entity(),
	}
	if a.has(attrAt) {
		f.Forecast = &finding.Forecast{Event: a.str(attrEvent), At: a.time(attrAt), Earliest: a.time(attrEarliest),
			Latest: a.time(attrLatest), Coverage: a.double(attrCoverage)}
	}
	a.maps(attrOutcome, func(m *reader) {
		f.Outcome = &finding.Outcome{Prediction: m.str("prediction"), PredictedAt: m.time("predicted_at"), MadeAt: m.time("made_at"),
			ActualAt: m.time("actual_at"), ErrorSeconds: m.double("error"), WithinInterval: m.bool("within_interval")}
	})
	a.maps(attrEvidence, func(m *reader) {
		e := finding.Evidence{Time: m.time("time"), Layer: finding.Layer(m.str("layer")), Signal: m.str("signal"), Text: m.str("text"), Unit: m.str("unit")}
		if m.has("value") {
			v := m.double("value")
			e.Value = &v
		}
		f.Evidence = append(f.Evidence, e)
	})
	a.maps(attrRemedies, func(m *reader) {
		e := finding.Remedy{ID: m.str("id"), Title: m.str("title"), Risk: finding.Risk(m.str("risk")), Command: m.str("command")}
		if patch := m.str("patch"); patch != "" {
			if !json.Valid([]byte(patch)) {
				m.fail("patch", "is no JSON")
			}
			e.Patch = json.RawMessage(patch)
		}
		f.Remedies = append(f.Remedies, e)
	})
	a.maps(attrSeries, func(m *reader) {
		f.Series = &finding.Series{Resource: m.str("resource"), Unit: m.str("unit"), Limit: m.double("limit"), Start: m.time("start"),
			StepSeconds: m.double("step"), Values: m.doubles("values")}
	})
	if a.err != nil {
		return finding.Finding{}, fmt.Errorf("event %s: %w", r.EventName(), a.err)
	}
	if err := f.Validate(); err != nil {
		return finding.Finding{}, fmt.Errorf("event %s: %w", r.EventName(), err)
	}
	return f, nil
}

// ParseStatus reads the event of a source's status. The error names the attribute that is wrong; it is ErrOther for other
// records.
func ParseStatus(resource pcommon.Resource, r plog.LogRecord) (finding.Status, error) {
	if r.EventName() != EventStatus {
		return finding.Status{}, ErrOther
	}
	a := &reader{attrs: r.Attributes()}
	s := finding.Status{Time: r.Timestamp().AsTime(), Node: (&reader{attrs: resource.Attributes()}).str(attrHost),
		Watched: map[string]int{}, LearningTotal: int(a.double(attrLearningTotal))}
	a.maps(attrLayers, func(m *reader) {
		c := finding.Coverage{Layer: finding.Layer(m.str("layer")), State: finding.CoverageState(m.str("state")), Reason: m.str("reason")}
		switch c.State {
		case finding.CoverageOK, finding.CoverageDegraded, finding.CoverageAbsent:
		default:
			m.fail("state", "want ok, degraded or absent")
		}
		s.Coverage = append(s.Coverage, c)
	})
	a.maps(attrWatched, func(m *reader) {
		if m.attrs.Len() > maxList {
			m.fail("", "has too many entries")
			return
		}
		for kind := range m.attrs.All() {
			s.Watched[kind] = int(m.double(kind))
		}
	})
	a.maps(attrLearning, func(m *reader) {
		s.Learning = append(s.Learning, finding.Learning{Entity: m.entity(), Resource: m.str("resource"),
			Samples: int(m.double("samples")), Needed: int(m.double("needed"))})
	})
	if a.err != nil {
		return finding.Status{}, fmt.Errorf("event %s: %w", EventStatus, a.err)
	}
	return s, nil
}

// reader reads attributes and keeps the first error.
type reader struct {
	attrs pcommon.Map
	path  string
	err   error
}

func (r *reader) fail(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("attribute %s%s %s", r.path, name, problem)
	}
}

func (r *reader) has(name string) bool {
	_, ok := r.attrs.Get(name)
	return ok
}

func (r *reader) str(name string) string {
	v, ok := r.attrs.Get(name)
	if !ok {
		return ""
	}
	if v.Type() != pcommon.ValueTypeStr {
		r.fail(name, fmt.Sprintf("is %s, want a string", v.Type()))
		return ""
	}
	return v.Str()
}

func (r *reader) double(name string) float64 {
	v, ok := r.attrs.Get(name)
	if !ok {
		return 0
	}
	switch v.Type() {
	case pcommon.ValueTypeDouble:
		return v.Double()
	case pcommon.ValueTypeInt:
		return float64(v.Int())
	}
	r.fail(name, fmt.Sprintf("is %s, want a number", v.Type()))
	return 0
}

func (r *reader) bool(name string) bool {
	v, ok := r.attrs.Get(name)
	if ok && v.Type() != pcommon.ValueTypeBool {
		r.fail(name, fmt.Sprintf("is %s, want true or false", v.Type()))
		return false
	}
	return ok && v.Bool()
}

func (r *reader) time(name string) time.Time {
	s := r.str(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		r.fail(name, fmt.Sprintf("is %.40q, want a time in RFC 3339", s))
	}
	return t
}

func (r *reader) slice(name string) pcommon.Slice {
	v, ok := r.attrs.Get(name)
	if !ok {
		return pcommon.NewSlice()
	}
	if v.Type() != pcommon.ValueTypeSlice {
		r.fail(name, fmt.Sprintf("is %s, want a list", v.Type()))
		return pcommon.NewSlice()
	}
	if n := v.Slice().Len(); n > maxList {
		r.fail(name, fmt.Sprintf("has %d entries, want at most %d", n, maxList))
		return pcommon.NewSlice()
	}
	return v.Slice()
}

func (r *reader) strings(name string) []string {
	var out []string
	for i, v := range r.slice(name).All() {
		if v.Type() != pcommon.ValueTypeStr {
			r.fail(fmt.Sprintf("%s[%d]", name, i), "is no string")
			return nil
		}
		out = append(out, v.Str())
	}
	return out
}

func (r *reader) doubles(name string) []float64 {
	var out []float64
	for i, v := range r.slice(name).All() {
		if v.Type() != pcommon.ValueTypeDouble {
			r.fail(fmt.Sprintf("%s[%d]", name, i), "is no number")
			return nil
		}
		out = append(out, v.Double())
	}
	return out
}

// maps calls visit for a map, or for each map of a list of them.
func (r *reader) maps(name string, visit func(*reader)) {
	v, ok := r.attrs.Get(name)
	if !ok {
		return
	}
	each := func(path string, v pcommon.Value) {
		if v.Type() != pcommon.ValueTypeMap {
			r.fail(path, "is no map")
			return
		}
		m := &reader{attrs: v.Map(), path: r.path + path + "."}
		visit(m)
		if r.err == nil {
			r.err = m.err
		}
	}
	if v.Type() == pcommon.ValueTypeMap {
		each(name, v)
		return
	}
	for i, item := range r.slice(name).All() {
		each(fmt.Sprintf("%s[%d]", name, i), item)
	}
}

func (r *reader) entity() finding.Entity {
	e := finding.Entity{Kind: r.str(attrEntityKind), Name: r.str(attrEntityName), UID: r.str(attrEntityUID), Namespace: r.str(attrNamespace),
		Container: r.str(attrContainer), Node: r.str(attrNode)}
	if e.Node == "" {
		e.Node = r.str(attrHost)
	}
	if kind := r.str(attrOwnerKind); kind != "" {
		e.Owner = &finding.Owner{Kind: kind, Name: r.str(attrOwnerName)}
	}
	return e
}
