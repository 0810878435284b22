// Package timeline keeps the recent past of one entity: the latest reading of every kind, and the events, in order of time.
// Both are bounded; nothing here grows with the age of the entity.
package timeline

import (
	"slices"
	"sort"
	"time"

	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// MaxKinds bounds the kinds of signals that are kept for an entity; one more is dropped and counted.
	MaxKinds = 64
	// MaxEvents bounds the events that are kept for each kind; the oldest goes first.
	MaxEvents = 32
	// Coalesce is how close in time two increases of one counter must be to count as one event. With MaxEvents it lets a
	// counter that never rests still cover five minutes.
	Coalesce = 10 * time.Second
)

// Reading is the latest value of a gauge or counter.
type Reading struct {
	Time  time.Time     `json:"time"`
	Value float64       `json:"value"`
	Unit  string        `json:"unit,omitempty"`
	Layer finding.Layer `json:"layer"`
	// Counter says that it is one: then Value is a running total since Start, and says nothing by itself.
	Counter bool      `json:"counter,omitempty"`
	Start   time.Time `json:"start,omitzero"`
}

// Event is something that happened between First and Time.
type Event struct {
	signal.Signal
	First time.Time
	// counted marks what a counter's increases were turned into; only these are merged.
	counted bool
}

// Timeline is the recent past of one entity. It is not safe for concurrent use.
type Timeline struct {
	// Since is when the entity was first seen. A counter that started later began at zero under our eyes.
	Since    time.Time
	readings map[string]Reading
	// values and increases repeat what conditions ask for most, in the shape they ask for it.
	values    map[string]float64
	increases map[string]float64
	events    map[string][]Event
	dropped   int
}

// New returns an empty timeline of an entity first seen at since.
func New(since time.Time) *Timeline {
	return &Timeline{Since: since, readings: map[string]Reading{}, values: map[string]float64{},
		increases: map[string]float64{}, events: map[string][]Event{}}
}

// Observe takes one signal in. It returns false when the signal was dropped: it is older than what is known of its kind,
// or the timeline has MaxKinds kinds already.
func (t *Timeline) Observe(s signal.Signal) bool {
	switch s.Shape {
	case signal.Event:
		return t.add(Event{Signal: s, First: s.Time})
	case signal.Gauge:
		return t.read(s)
	case signal.Counter:
		before, known := t.readings[s.Kind]
		if !t.read(s) {
			return false
		}
		inc := increase(before, known, s, t.Since)
		t.increases[s.Kind] = inc
		if inc > 0 {
			s.Value = inc
			return t.add(Event{Signal: s, First: s.Time, counted: true})
		}
		return true
	}
	return false
}

// Advance tells a counter that an event reported ahead of it has been counted already, so that the next reading does not
// report it again.
func (t *Timeline) Advance(kind string, by float64) {
	if r, ok := t.readings[kind]; ok {
		r.Value += by
		t.readings[kind] = r
	}
}

// increase is by how much a counter grew since the reading before. A counter that fell, or began later than before, was
// reset and has grown by all it shows. Of a counter never seen before only what it counted under our eyes is an increase.
func increase(before Reading, known bool, s signal.Signal, since time.Time) float64 {
	switch {
	case !known:
		if !s.Start.IsZero() && s.Start.After(since) {
			return s.Value
		}
		return 0
	case s.Value < before.Value, s.Start.After(before.Start) && !before.Start.IsZero():
		return s.Value
	}
	return s.Value - before.Value
}

func (t *Timeline) read(s signal.Signal) bool {
	r, known := t.readings[s.Kind]
	if known && !s.Time.After(r.Time) || !known && len(t.readings) >= MaxKinds {
		t.dropped++
		return false
	}
	t.values[s.Kind] = s.Value
	t.readings[s.Kind] = Reading{Time: s.Time, Value: s.Value, Unit: s.Unit, Layer: s.Layer, Counter: s.Shape == signal.Counter, Start: s.Start}
	return true
}

func (t *Timeline) add(e Event) bool {
	list, known := t.events[e.Kind]
	if !known && len(t.events) >= MaxKinds {
		t.dropped++
		return false
	}
	if n := len(list); e.counted && n > 0 {
		if last := &list[n-1]; last.counted && last.Layer == e.Layer && e.Time.Sub(last.First) < Coalesce && !e.Time.Before(last.Time) {
			last.Value += e.Value
			last.Time = e.Time
			return true
		}
	}
	// Late events find their place; most come in order.
	at := sort.Search(len(list), func(i int) bool { return list[i].Time.After(e.Time) })
	list = slices.Insert(list, at, e)
	if len(list) > MaxEvents {
		list = slices.Delete(list, 0, 1)
	}
	t.events[e.Kind] = list
	return true
}

// Latest returns the latest reading of a kind.
func (t *Timeline) Latest(kind string) (Reading, bool) {
	r, ok := t.readings[kind]
	return r, ok
}

// Values are the latest readings by kind, and Increases how much each counter grew between its last two readings. Both are
// the timeline's own: read only, and not beyond the next Observe.
func (t *Timeline) Values() map[string]float64 { return t.values }

// Increases are described at Values.
func (t *Timeline) Increases() map[string]float64 { return t.increases }

// Events returns the events of the kinds since a time, in order of time.
func (t *Timeline) Events(since time.Time, kinds ...string) []Event {
	var found []Event
	for _, kind := range kinds {
		for _, e := range t.events[kind] {
			if !e.Time.Before(since) {
				found = append(found, e)
			}
		}
	}
	if len(kinds) > 1 {
		slices.SortStableFunc(found, func(a, b Event) int { return a.Time.Compare(b.Time) })
	}
	return found
}

// Dropped is how many signals were refused so far.
func (t *Timeline) Dropped() int { return t.dropped }

// State is a timeline in a form that survives a restart.
type State struct {
	Since    time.Time          `json:"since"`
	Readings map[string]Reading `json:"readings"`
	Events   []Saved            `json:"events,omitempty"`
}

// Saved is an event in a form that survives a restart.
type Saved struct {
	First      time.Time         `json:"first"`
	Time       time.Time         `json:"time"`
	Kind       string            `json:"kind"`
	Layer      finding.Layer     `json:"layer"`
	Value      float64           `json:"value"`
	Unit       string            `json:"unit,omitempty"`
	Text       string            `json:"text,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Counted    bool              `json:"counted,omitempty"`
}

// State returns what has to be kept to go on after a restart.
func (t *Timeline) State() State {
	s := State{Since: t.Since, Readings: t.readings}
	for _, list := range t.events {
		for _, e := range list {
			s.Events = append(s.Events, Saved{First: e.First, Time: e.Time, Kind: e.Kind, Layer: e.Layer, Value: e.Value,
				Unit: e.Unit, Text: e.Text, Attributes: e.Attributes, Counted: e.counted})
		}
	}
	slices.SortStableFunc(s.Events, func(a, b Saved) int { return a.Time.Compare(b.Time) })
	return s
}

// Restore returns the timeline that State described. Its bounds hold for what is restored too.
func Restore(s State) *Timeline {
	t := New(s.Since)
	for kind, r := range s.Readings {
		if len(t.readings) < MaxKinds {
			t.readings[kind], t.values[kind] = r, r.Value
		}
	}
	for _, e := range s.Events {
		t.add(Event{Signal: signal.Signal{Time: e.Time, Kind: e.Kind, Layer: e.Layer, Value: e.Value, Unit: e.Unit,
			Text: e.Text, Attributes: e.Attributes}, First: e.First, counted: e.Counted})
	}
	return t
}

// Reset forgets the readings: the entity is gone, and what comes under its name next is another one. Events stay.
func (t *Timeline) Reset() {
	clear(t.readings)
	clear(t.increases)
}
