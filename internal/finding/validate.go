package finding

import (
	"fmt"
	"math"
	"time"
)

// maxID bounds a finding's id, in bytes; the engine's have 16.
const maxID = 256

// Validate reports what is wrong with a finding that came from outside this process. A finding that passes has a JSON form,
// and that follows Schema.
func (f *Finding) Validate() error {
	if f.ID == "" {
		return fmt.Errorf("finding: id is empty")
	}
	if len(f.ID) > maxID {
		return fmt.Errorf("finding %.40q…: id has %d bytes, want at most %d", f.ID, len(f.ID), maxID)
	}
	if err := f.check(); err != nil {
		return fmt.Errorf("finding %q: %w", f.ID, err)
	}
	return nil
}

func (f *Finding) check() error {
	switch {
	case f.Kind != Prediction && f.Kind != Diagnosis:
		return fmt.Errorf("kind is %.40q, want prediction or diagnosis", f.Kind)
	case f.Pattern == "":
		return fmt.Errorf("pattern is empty")
	case f.Severity.Rank() == 0:
		return fmt.Errorf("severity is %.40q, want critical, warning or info", f.Severity)
	case f.State != Active && f.State != Resolved:
		return fmt.Errorf("state is %.40q, want active or resolved", f.State)
	case !(f.Confidence >= 0 && f.Confidence <= 1):
		return fmt.Errorf("confidence is %v, want 0 to 1", f.Confidence)
	case f.Kind == Prediction && f.Forecast == nil:
		return fmt.Errorf("a prediction needs the field prediction")
	}
	if err := f.Entity.Validate(); err != nil {
		return err
	}
	for i := range f.Affected {
		if err := f.Affected[i].Validate(); err != nil {
			return fmt.Errorf("affected[%d]: %w", i, err)
		}
	}
	if f.AffectedTotal < 0 {
		return fmt.Errorf("affectedTotal is %d, want 0 or more", f.AffectedTotal)
	}
	if f.Peer != nil && f.Peer.Address == "" {
		return fmt.Errorf("peer.address is empty")
	}
	if err := times(named{"firstSeen", f.FirstSeen}, named{"lastSeen", f.LastSeen}); err != nil {
		return err
	}
	if p := f.Forecast; p != nil {
		if p.Event == "" {
			return fmt.Errorf("prediction.event is empty")
		}
		if !(p.Coverage >= 0 && p.Coverage <= 1) {
			return fmt.Errorf("prediction.coverage is %v, want 0 to 1", p.Coverage)
		}
		if err := times(named{"prediction.at", p.At}, named{"prediction.earliest", p.Earliest}, named{"prediction.latest", p.Latest}); err != nil {
			return err
		}
	}
	if o := f.Outcome; o != nil {
		if o.Prediction == "" {
			return fmt.Errorf("outcome.prediction is empty, want the id of one")
		}
		if !finite(o.ErrorSeconds) {
			return fmt.Errorf("outcome.errorSeconds is %v, want a number", o.ErrorSeconds)
		}
		if err := times(named{"outcome.predictedAt", o.PredictedAt}, named{"outcome.madeAt", o.MadeAt}, named{"outcome.actualAt", o.ActualAt}); err != nil {
			return err
		}
	}
	for i := range f.Evidence {
		if err := f.Evidence[i].check(); err != nil {
			return fmt.Errorf("evidence[%d].%w", i, err)
		}
	}
	for i, r := range f.Remedies {
		if r.ID == "" {
			return fmt.Errorf("remedies[%d].id is empty", i)
		}
		if r.Risk != RiskNone && r.Risk != RiskLow && r.Risk != RiskHigh {
			return fmt.Errorf("remedies[%d].risk is %.40q, want none, low or high", i, r.Risk)
		}
	}
	return f.Series.check()
}

// Validate reports what is wrong with an entity that came from outside this process.
func (e *Entity) Validate() error {
	switch {
	case e.Kind == "":
		return fmt.Errorf("entity.kind is empty")
	case e.Name == "":
		return fmt.Errorf("entity.name is empty")
	case e.Owner != nil && e.Owner.Kind == "":
		return fmt.Errorf("entity.owner.kind is empty")
	}
	return nil
}

func (e *Evidence) check() error {
	switch {
	case !e.Layer.Valid():
		return fmt.Errorf("layer is %.40q, want a name such as cgroup", e.Layer)
	case e.Signal == "":
		return fmt.Errorf("signal is empty")
	case e.Value != nil && !finite(*e.Value):
		return fmt.Errorf("value is %v, want a number", *e.Value)
	}
	return times(named{"time", e.Time})
}

func (s *Series) check() error {
	if s == nil {
		return nil
	}
	for i, v := range s.Values {
		if !finite(v) {
			return fmt.Errorf("series.values[%d] is %v, want a number", i, v)
		}
	}
	switch {
	case !finite(s.Limit):
		return fmt.Errorf("series.limit is %v, want a number", s.Limit)
	case !(s.StepSeconds >= 0) || !finite(s.StepSeconds):
		return fmt.Errorf("series.stepSeconds is %v, want 0 or more", s.StepSeconds)
	}
	return times(named{"series.start", s.Start})
}

// Valid says whether this can be the name of a layer: a lower-case word of up to 32 characters. More layers may come than are
// known here.
func (l Layer) Valid() bool {
	for i, r := range l {
		letter := r >= 'a' && r <= 'z'
		if !letter && (i == 0 || !(r >= '0' && r <= '9' || r == '_' || r == '-')) {
			return false
		}
	}
	return len(l) > 0 && len(l) <= 32
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// named is a time and the field it is in.
type named struct {
	field string
	time  time.Time
}

// times reports the first time that is missing, or that RFC 3339 cannot tell.
func times(all ...named) error {
	for _, t := range all {
		if t.time.IsZero() {
			return fmt.Errorf("%s is missing", t.field)
		}
		if year := t.time.UTC().Year(); year < 1 || year > 9999 {
			return fmt.Errorf("%s is in the year %d, want 1 to 9999", t.field, year)
		}
	}
	return nil
}
