package timeline

import (
	"math"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

// maxSaved is how far back events outlive a restart; no pattern of ours looks back further.
const maxSaved = time.Hour

// State is a timeline in a form that survives a restart.
type State struct {
	Since    time.Time          `json:"since"`
	Gone     time.Time          `json:"gone,omitzero"`
	Readings map[string]Reading `json:"readings,omitempty"`
	Ahead    map[string]float64 `json:"ahead,omitempty"`
	Events   []Saved            `json:"events,omitempty"`
}

// Saved is an event in a form that survives a restart.
type Saved struct {
	First      time.Time         `json:"first"`
	Time       time.Time         `json:"time"`
	After      time.Time         `json:"after,omitzero"`
	Kind       string            `json:"kind"`
	Layer      finding.Layer     `json:"layer"`
	Value      float64           `json:"value"`
	Unit       string            `json:"unit,omitempty"`
	Text       string            `json:"text,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Counted    bool              `json:"counted,omitempty"`
	ID         string            `json:"id,omitempty"`
}

// Counters returns what has to be kept of an entity so that nothing old looks new after a restart.
func (t *Timeline) Counters() State {
	s := State{Since: t.Since, Gone: t.gone, Readings: map[string]Reading{}, Ahead: t.ahead}
	for kind, r := range t.readings {
		if r.Counter {
			s.Readings[kind] = r
		}
	}
	return s
}

// State returns what has to be kept to go on telling of an entity as if there had been no restart. It shares the timeline's
// maps: use it before the next Observe.
func (t *Timeline) State(now time.Time) State {
	s := State{Since: t.Since, Gone: t.gone, Readings: t.readings, Ahead: t.ahead}
	for _, list := range t.events {
		for _, e := range list {
			if now.Sub(e.Time) > maxSaved {
				continue
			}
			s.Events = append(s.Events, Saved{First: e.First, Time: e.Time, After: e.After, Kind: e.Kind, Layer: e.Layer, Value: e.Value,
				Unit: e.Unit, Text: e.Text, Attributes: e.Attributes, Counted: e.counted, ID: e.id})
		}
	}
	slices.SortStableFunc(s.Events, func(a, b Saved) int { return a.Time.Compare(b.Time) })
	return s
}

// Restore returns the timeline that State described, at the time now. Its bounds hold for what is restored too.
func Restore(now time.Time, s State) *Timeline {
	t := New(s.Since)
	t.gone = s.Gone
	for kind, r := range s.Readings {
		if len(t.readings) < MaxKinds && finite(r.Value) && tells(kind, r.Layer, r.Time) {
			t.readings[kind], t.values[kind] = r, r.Value
		}
	}
	for kind, by := range s.Ahead {
		if len(t.ahead) < MaxKinds && finite(by) && by > 0 {
			t.ahead[kind] = by
		}
	}
	for _, e := range s.Events {
		if finite(e.Value) && tells(e.Kind, e.Layer, e.First) && tells(e.Kind, e.Layer, e.Time) {
			t.add(Event{Time: e.Time, First: e.First, After: e.After, Value: e.Value, counted: e.Counted, id: e.ID,
				Facts: &Facts{Kind: e.Kind, Layer: e.Layer, Unit: e.Unit, Text: e.Text, Attributes: e.Attributes}})
		}
	}
	t.Rewind(now)
	return t
}

// tells says whether something stored can be evidence: it has a kind, a layer and a time.
func tells(kind string, layer finding.Layer, at time.Time) bool {
	return kind != "" && layer.Valid() && !at.IsZero() && at.Year() > 0
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
