package findinglog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
)

// ErrOther says that a record is none of Tapio's events.
var ErrOther = errors.New("no event of Tapio's")

// Bounds of a record that came from outside; what the engine writes is far smaller.
const (
	maxList  = 1000    // entries of a list
	maxKinds = 32      // layers, or kinds of entities, of a status
	maxText  = 1 << 17 // bytes of all texts together; half of it may be names of what is affected
	maxCount = 1e9
)

// ParseFinding reads the event of a finding. The error names the attribute that is wrong; it is ErrOther for other records.
func ParseFinding(resource pcommon.Resource, r plog.LogRecord) (finding.Finding, error) {
	if n := r.EventName(); n != EventPrediction && n != EventDiagnosis {
		return finding.Finding{}, ErrOther
	}
	res, a := read(resource.Attributes(), r.Attributes())
	f := finding.Finding{
		ID: a.str(attrID), Kind: finding.Kind(a.str(attrKind)), Pattern: a.str(attrPattern),
		Severity: finding.Severity(a.str(attrSeverity)), State: finding.State(a.str(attrState)),
		Title: a.str(attrTitle), Brief: a.str(attrBrief), Explanation: a.str(attrExplanation), Confidence: a.double(attrConfidence),
		FirstSeen: a.time(attrFirstSeen), LastSeen: a.time(attrLastSeen),
		Causes: a.strings(attrCauses), Effects: a.strings(attrEffects),
		Entity: res.entity(), Evidence: []finding.Evidence{}, AffectedTotal: a.count(attrAffectedTotal),
	}
	a.maps(attrAffected, func(m *reader) { f.Affected = append(f.Affected, m.affected()) })
	if a.has(attrAt) {
		f.Forecast = &finding.Forecast{Event: a.str(attrEvent), At: a.time(attrAt), Earliest: a.time(attrEarliest),
			Latest: a.time(attrLatest), Coverage: a.double(attrCoverage)}
	}
	a.maps(attrOutcome, func(m *reader) {
		f.Outcome = &finding.Outcome{Prediction: m.str("prediction"), PredictedAt: m.time("predicted_at"), MadeAt: m.time("made_at"),
			ActualAt: m.time("actual_at"), ErrorSeconds: m.double("error"), WithinInterval: m.bool("within_interval")}
	})
	a.maps(attrPeer, func(m *reader) {
		f.Peer = &finding.Peer{Address: m.str("address"), Kind: m.str("kind"), Namespace: m.str("namespace"), Name: m.str("name")}
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
	if err := cmp.Or(a.err, res.err); err != nil {
		return finding.Finding{}, fmt.Errorf("event %s: %w", r.EventName(), err)
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
	res, a := read(resource.Attributes(), r.Attributes())
	s := finding.Status{Time: r.Timestamp().AsTime(), Node: res.str(attrHost), Watched: map[string]int{}, LearningTotal: a.count(attrLearningTotal)}
	a.maps(attrLayers, func(m *reader) {
		c := finding.Coverage{Layer: finding.Layer(m.str("layer")), State: finding.CoverageState(m.str("state")), Reason: m.str("reason")}
		switch c.State {
		case finding.CoverageOK, finding.CoverageDegraded, finding.CoverageAbsent:
		default:
			m.fail("state", fmt.Sprintf("is %.40q, want ok, degraded or absent", c.State))
		}
		if !c.Layer.Valid() {
			m.fail("layer", fmt.Sprintf("is %.40q, want a name such as cgroup", c.Layer))
		}
		if s.Coverage = append(s.Coverage, c); len(s.Coverage) > maxKinds {
			a.fail(attrLayers, fmt.Sprintf("has more than %d entries", maxKinds))
		}
	})
	a.maps(attrWatched, func(m *reader) {
		if n := m.attrs.Len(); n > maxKinds {
			m.fail("", fmt.Sprintf("has %d entries, want at most %d", n, maxKinds))
			return
		}
		for kind := range m.attrs.All() {
			s.Watched[m.text(kind, kind)] = m.count(kind)
		}
	})
	a.maps(attrReady, func(m *reader) {
		if n := m.attrs.Len(); n > maxKinds {
			m.fail("", fmt.Sprintf("has %d entries, want at most %d", n, maxKinds))
			return
		}
		for kind := range m.attrs.All() {
			m.maps(kind, func(n *reader) {
				if s.Ready == nil {
					s.Ready = map[string]finding.Ready{}
				}
				s.Ready[m.text(kind, kind)] = finding.Ready{Available: n.count("available"), Total: n.count("total")}
			})
		}
	})
	a.maps(attrLearning, func(m *reader) {
		l := finding.Learning{Entity: m.entity(), Resource: m.str("resource"), Samples: m.count("samples"), Needed: m.count("needed")}
		if err := l.Entity.Validate(); err != nil {
			m.fail("", err.Error())
		}
		s.Learning = append(s.Learning, l)
	})
	if err := cmp.Or(a.err, res.err); err != nil {
		return finding.Status{}, fmt.Errorf("event %s: %w", EventStatus, err)
	}
	return s, nil
}
