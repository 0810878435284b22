// Package timeline keeps the recent past of one entity: the latest reading of every kind, and the events, in order of time.
// Both are bounded; nothing here grows with the age of the entity.
package timeline

import (
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// MaxKinds bounds the kinds of signals that are kept for an entity; one more is dropped and counted.
	MaxKinds = 64
	// MaxEvents bounds the events that are kept for each kind and layer that tells of it; the oldest goes first.
	MaxEvents = 32
	// Coalesce is how close in time two increases of one counter must be to count as one event. With MaxEvents it lets a
	// counter that never rests still cover five minutes.
	Coalesce = 10 * time.Second
	// noticed is how long after it was counted an event may be told to have happened: whoever tells of it must be woken first, on a
	// machine that may be out of memory. If it is another one, the next reading has it.
	noticed = time.Second
	// trusted is how long a reading keeps less exact ones out.
	trusted = 2 * time.Minute
	// maxText bounds the text of an event (bytes); more is cut off.
	maxText = 1024
)

// Reading is the latest value of a gauge or counter.
type Reading struct {
	Time  time.Time     `json:"time"`
	Value float64       `json:"value"`
	Unit  string        `json:"unit,omitempty"`
	Layer finding.Layer `json:"layer"`
	// Counter says that it is one: then Value is a running total, and says nothing by itself.
	Counter bool  `json:"counter,omitempty"`
	Doubt   uint8 `json:"doubt,omitempty"`
	// Detail is what is known of it beside the value; nil when nothing is.
	Detail *Detail `json:"detail,omitempty"`
}

// Detail is what a source tells of a state beside a number: since when it holds, and its facts. It is not changed.
type Detail struct {
	Since      time.Time         `json:"since,omitzero"`
	Text       string            `json:"text,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Event is something that happened between First and Time.
type Event struct {
	Time, First time.Time
	// After is, of what a counter showed, the time of the reading before: it happened between After and First. It is zero
	// where First is exact.
	After time.Time
	Value float64
	*Facts
	// id names it at its source; empty where that has no name for it.
	id string
	// counted marks what a counter's increases were turned into; only these are merged.
	counted bool
}

// Facts are what the events that a counter is turned into have in common. They are not changed once they are in use.
type Facts struct {
	Kind       string
	Layer      finding.Layer
	Unit       string
	Text       string
	Attributes map[string]string
}

func facts(s signal.Signal) *Facts {
	return &Facts{Kind: s.Kind, Layer: s.Layer, Unit: s.Unit, Text: s.Text, Attributes: s.Attributes}
}

// vague is how long a time an event may have happened in before that has to be said.
const vague = time.Minute

// Vague says that nobody watched when the event happened: it is known to lie between After and First only.
func (e Event) Vague() bool { return !e.After.IsZero() && e.First.Sub(e.After) > vague }

// Timeline is the recent past of one entity. It is not safe for concurrent use.
type Timeline struct {
	// Since is the time before which a counter's start says nothing: one that is seen for the first time and started later
	// has counted all it shows under our eyes.
	Since    time.Time
	readings map[string]Reading
	// ahead is what events told of a counter before its reading did.
	ahead map[string]float64
	// gone is when the entity was last removed; what is older is of the one that is gone.
	gone time.Time
	// values and increases repeat what conditions ask for most, in the shape they ask for it.
	values    map[string]float64
	increases map[string]float64
	events    map[string][]Event
	dropped   int
}

// New returns an empty timeline. Of counters that started after since, all that the first reading shows is new.
func New(since time.Time) *Timeline {
	return &Timeline{Since: since, readings: map[string]Reading{}, ahead: map[string]float64{}, values: map[string]float64{},
		increases: map[string]float64{}, events: map[string][]Event{}}
}

// Observe takes one signal in. It returns false when the signal was dropped: it is older than what is known of its kind, or
// less exact, or the timeline has MaxKinds kinds already.
func (t *Timeline) Observe(s signal.Signal) bool {
	if len(s.Text) > maxText {
		s.Text = strings.ToValidUTF8(s.Text[:maxText], "")
	}
	switch s.Shape {
	case signal.Event:
		return t.happened(s)
	case signal.Gauge:
		return t.read(s)
	case signal.Counter:
		before, known := t.readings[s.Kind]
		if !t.read(s) {
			return false
		}
		inc := increase(before, known, s, t.Since)
		told := t.ahead[s.Kind]
		if rest := min(told-min(inc, told), t.toldSince(s.Kind, s.Time)); rest > 0 {
			t.ahead[s.Kind] = rest
		} else {
			delete(t.ahead, s.Kind) // the reading has it all
		}
		inc -= min(inc, told)
		t.increases[s.Kind] = inc
		if inc > 0 {
			return t.add(Event{Time: s.Time, First: s.Time, After: before.Time, Value: inc, Facts: facts(s), counted: true})
		}
		return true
	case signal.Over:
		delete(t.readings, s.Kind)
		delete(t.values, s.Kind)
		return true
	}
	return false
}

// happened takes in an event. Some things are both told as events and counted, and must be one: an event that comes ahead
// of its counter is subtracted from the counter's next increase, one that comes after it lends the increase its exact time.
func (t *Timeline) happened(s signal.Signal) bool {
	if s.ID != "" {
		same := func(e Event) bool { return e.id == s.ID }
		if i := slices.IndexFunc(t.events[s.Kind], same); i >= 0 {
			first := earlier(s.Time, t.events[s.Kind][i].First)
			t.events[s.Kind] = slices.Delete(t.events[s.Kind], i, i+1)
			return t.add(Event{Time: s.Time, First: first, Value: s.Value, id: s.ID, Facts: facts(s)})
		}
	}
	if t.again(s) {
		t.dropped++
		return false
	}
	if r, ok := t.readings[s.Kind]; ok && r.Counter && s.Time.Sub(r.Time) < noticed {
		for i, e := range t.events[s.Kind] {
			late := !e.Time.Before(s.Time) && s.Time.Sub(e.First) > -Coalesce
			if e.counted && (late || s.Time.After(r.Time) && e.Time.Equal(r.Time)) {
				last := &t.events[s.Kind][i]
				last.After = time.Time{}
				if s.Time.Before(last.First) {
					last.First = s.Time
				}
				return true
			}
		}
		if !s.Time.After(r.Time) {
			return t.add(Event{Time: s.Time, First: s.Time, Value: s.Value, id: s.ID, Facts: facts(s)})
		}
	}
	if !t.add(Event{Time: s.Time, First: s.Time, Value: s.Value, id: s.ID, Facts: facts(s)}) {
		return false
	}
	if s.Time.After(t.gone) {
		t.ahead[s.Kind] += s.Value
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// toldSince is how much events have told of after a reading of their counter: it was taken before it came, and may not have that.
func (t *Timeline) toldSince(kind string, reading time.Time) (sum float64) {
	for _, e := range t.Events(reading, kind) {
		if !e.counted && e.Time.After(reading) {
			sum += e.Value
		}
	}
	return sum
}

// increase is by how much a counter grew since the reading before. A counter that fell was reset and has grown by all it
// shows. One that names a later start but did not fall may be read by a source that was restarted itself, so that only the
// difference is sure. Of a counter never seen before only what it counted under our eyes is an increase.
func increase(before Reading, known bool, s signal.Signal, since time.Time) float64 {
	switch {
	case !known:
		if !s.Start.IsZero() && s.Start.After(since) {
			return s.Value
		}
		return 0
	case s.Value < before.Value:
		return s.Value
	}
	return s.Value - before.Value
}

func (t *Timeline) read(s signal.Signal) bool {
	r, known := t.readings[s.Kind]
	switch {
	case known && !s.Time.After(r.Time), !s.Time.After(t.gone),
		known && s.Doubt > r.Doubt && s.Time.Sub(r.Time) < trusted,
		!known && len(t.readings) >= MaxKinds:
		t.dropped++
		return false
	}
	if _, ok := t.values[s.Kind]; ok || len(t.values) < 2*MaxKinds {
		t.values[s.Kind] = s.Value
	}
	now := Reading{Time: s.Time, Value: s.Value, Unit: s.Unit, Layer: s.Layer, Counter: s.Shape == signal.Counter, Doubt: s.Doubt}
	if s.Shape == signal.Gauge && (s.Text != "" || len(s.Attributes) > 0 || !s.Start.IsZero()) {
		now.Detail = &Detail{Since: s.Start, Text: s.Text, Attributes: s.Attributes}
	}
	t.readings[s.Kind] = now
	return true
}

// again says whether an event was taken in before: its record came through two pipelines, or was offered once more because a later
// component had refused it. Where times are whole seconds, as in lines of a file, two events may be alike.
func (t *Timeline) again(s signal.Signal) bool {
	return s.ID == "" && s.Time.Nanosecond() != 0 && slices.ContainsFunc(t.events[s.Kind], func(e Event) bool {
		return !e.counted && e.Time.Equal(s.Time) && e.Value == s.Value && e.Layer == s.Layer && e.Text == s.Text && maps.Equal(e.Attributes, s.Attributes)
	})
}

func (t *Timeline) add(e Event) bool {
	list, known := t.events[e.Kind]
	if !known && len(t.events) >= MaxKinds {
		t.dropped++
		return false
	}
	if n := len(list); e.counted && n > 0 {
		last := &list[n-1]
		if last.counted && last.Layer == e.Layer && last.Unit == e.Unit && e.Text == last.Text && len(e.Attributes)+len(last.Attributes) == 0 {
			e.Facts = last.Facts
		}
		if last.counted && last.Time.After(t.gone) && last.Layer == e.Layer && e.Time.Sub(last.First) < Coalesce && !e.Time.Before(last.Time) {
			last.Value += e.Value
			last.Time = e.Time
			return true
		}
	}
	// Late events find their place; most come in order.
	at := sort.Search(len(list), func(i int) bool { return list[i].Time.After(e.Time) })
	if len(list) >= MaxEvents {
		if oldest, n := told(list, e.Layer); n == MaxEvents {
			if at <= oldest {
				return true // older than all that are kept
			}
			list, at = slices.Delete(list, oldest, oldest+1), at-1
		}
	}
	list = slices.Insert(list, at, e)
	t.events[e.Kind] = list
	return true
}

// told is where the first event of a layer is, and how many there are.
func told(list []Event, layer finding.Layer) (first, n int) {
	for i, e := range slices.Backward(list) {
		if e.Layer == layer {
			first = i
			n++
		}
	}
	return first, n
}

// Latest returns the latest reading of a kind.
func (t *Timeline) Latest(kind string) (Reading, bool) {
	r, ok := t.readings[kind]
	return r, ok
}

// Knows says whether there is an event or a reading of one of the kinds, however old.
func (t *Timeline) Knows(kinds ...string) bool {
	for _, kind := range kinds {
		if r, ok := t.readings[kind]; ok && !r.Counter || len(t.events[kind]) > 0 {
			return true
		}
	}
	return false
}

// Values are the latest readings by kind, and Increases how much each counter grew between its last two readings. Both are
// the timeline's own: read only, and not beyond the next Observe.
func (t *Timeline) Values() map[string]float64 { return t.values }

// Increases are described at Values.
func (t *Timeline) Increases() map[string]float64 { return t.increases }

// Events returns the events of the kinds since a time, in order of time. They are the timeline's own: read only, and not
// beyond the next Observe.
func (t *Timeline) Events(since time.Time, kinds ...string) []Event {
	if len(kinds) == 1 {
		return after(t.events[kinds[0]], since)
	}
	var found []Event
	for _, kind := range kinds {
		found = append(found, after(t.events[kind], since)...)
	}
	slices.SortStableFunc(found, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return found
}

func after(list []Event, since time.Time) []Event {
	return list[sort.Search(len(list), func(i int) bool { return !list[i].Time.Before(since) }):]
}

// Dropped is how many signals were refused so far.
func (t *Timeline) Dropped() int { return t.dropped }

// Forget notes that the entity is gone: what comes under its name next is another one, whose counters begin at zero. Its
// events stay, and so do the values that texts about its end need.
func (t *Timeline) Forget(at time.Time) {
	if at.Before(t.gone) {
		return
	}
	t.gone = at
	if at.After(t.Since) {
		t.Since = at
	}
	for kind, r := range t.readings {
		if !r.Time.After(at) { // not of the next one, seen already
			delete(t.readings, kind)
			delete(t.increases, kind)
		}
	}
	clear(t.ahead)
}

// Rewind moves what lies after now to now: the clock was set back.
func (t *Timeline) Rewind(now time.Time) {
	back := func(at *time.Time) {
		if at.After(now) {
			*at = now
		}
	}
	back(&t.gone)
	back(&t.Since)
	for kind, r := range t.readings {
		back(&r.Time)
		t.readings[kind] = r
	}
	for _, list := range t.events {
		for i := range list {
			back(&list[i].Time)
			back(&list[i].First)
			back(&list[i].After)
		}
	}
}
