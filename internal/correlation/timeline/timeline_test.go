package timeline_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func gauge(sec, v float64) signal.Signal {
	return signal.Signal{Layer: finding.LayerCgroup, Time: at(sec), Kind: "g", Shape: signal.Gauge, Value: v}
}

func counter(sec, v float64) signal.Signal {
	return signal.Signal{Layer: finding.LayerCgroup, Time: at(sec), Kind: "c", Shape: signal.Counter, Value: v}
}

func since(sec, v, began float64) signal.Signal {
	s := counter(sec, v)
	s.Start = at(began)
	return s
}

func event(sec, v float64) signal.Signal {
	return signal.Signal{Layer: finding.LayerCgroup, Time: at(sec), Kind: "c", Shape: signal.Event, Value: v}
}

func doubted(s signal.Signal) signal.Signal {
	s.Doubt = 1
	return s
}

// What a counter's readings, and the events that tell of the same, add up to.
func TestCounterBecomesEvents(t *testing.T) {
	tests := []struct {
		name    string
		signals []signal.Signal
		want    []string // FIRST+VALUE of each event
	}{
		{"the first reading of an old counter is no event", []signal.Signal{counter(10, 7)}, nil},
		{"an increase is", []signal.Signal{counter(10, 7), counter(20, 9)}, []string{"20s+2"}},
		{"no increase is none", []signal.Signal{counter(10, 7), counter(20, 7)}, nil},
		{"a counter that began under our eyes counts from zero", []signal.Signal{since(10, 2, 5)}, []string{"10s+2"}},
		{"one that began before does not", []signal.Signal{since(10, 2, -5)}, nil},
		{"nor one that began at that very time", []signal.Signal{since(10, 2, 0)}, nil},
		{"a reset counts all it shows", []signal.Signal{counter(10, 7), counter(20, 3)}, []string{"20s+3"}},
		{"a reader that was restarted names a later start, which is no reset", []signal.Signal{since(10, 7, -5), since(20, 7, 15)}, nil},
		{"increases close together are one event", []signal.Signal{counter(0, 0), counter(5, 1), counter(10, 2)}, []string{"5s+2"}},
		{"increases apart are two", []signal.Signal{counter(0, 0), counter(5, 1), counter(15, 2)}, []string{"5s+1", "15s+1"}},
		{"late and duplicate readings are dropped", []signal.Signal{counter(10, 7), counter(20, 9), counter(20, 12), counter(15, 20)}, []string{"20s+2"}},

		{"an event told first and counted later is one", []signal.Signal{counter(0, 0), event(3, 1), counter(5, 1)}, []string{"3s+1"}},
		{"what is counted beyond it is more", []signal.Signal{counter(0, 0), event(3, 1), counter(5, 3)}, []string{"3s+1", "5s+2"}},
		{"an event is subtracted once", []signal.Signal{counter(0, 0), event(3, 1), counter(5, 1), counter(16, 2)}, []string{"3s+1", "16s+1"}},
		{"an event ahead of the first reading of a new counter", []signal.Signal{event(3, 1), since(5, 1, 2)}, []string{"3s+1"}},
		{"an event ahead of the first reading of an old counter hides nothing later", []signal.Signal{event(3, 1), counter(5, 8), counter(16, 9)}, []string{"3s+1", "16s+1"}},
		{"an event that happens while its counter's reading is on its way is in the next one",
			[]signal.Signal{counter(0, 0), event(5.1, 1), counter(5, 0), counter(10, 1)}, []string{"5.1s+1"}},
		{"or in this one", []signal.Signal{counter(0, 0), event(5.1, 1), counter(5, 1), counter(10, 1), counter(21, 2)}, []string{"5.1s+1", "21s+1"}},
		{"of two, each in its own", []signal.Signal{counter(0, 0), event(3, 1), event(5.1, 1), counter(5, 1), counter(10, 2)}, []string{"3s+1", "5.1s+1"}},
		{"an event that is noticed after it was counted is one", []signal.Signal{counter(0, 0), counter(5, 1), event(5.3, 1), counter(10, 1), counter(21, 2)},
			[]string{"5s+1", "21s+1"}},
		{"if it is another one, the next reading has it", []signal.Signal{counter(0, 0), counter(5, 1), event(5.3, 1), counter(16, 2)}, []string{"5s+1", "16s+1"}},
		{"one that happens long after is another one", []signal.Signal{counter(0, 0), counter(5, 1), event(7, 1), counter(10, 2)}, []string{"5s+1", "7s+1"}},
		{"an event that comes after its reading lends it its time", []signal.Signal{counter(0, 0), counter(5, 1), event(3, 1)}, []string{"3s+1"}},
		{"a late event that no reading counted is told", []signal.Signal{counter(5, 8), event(3, 1)}, []string{"3s+1"}},
		{"two events are two", []signal.Signal{event(3, 1), event(4, 1)}, []string{"3s+1", "4s+1"}},
		{"two that are alike within a second are two", []signal.Signal{event(3.25, 1), event(3.5, 1)}, []string{"3.25s+1", "3.5s+1"}},
		{"one that comes twice is one", []signal.Signal{event(3.25, 1), event(3.5, 1), event(3.25, 1)}, []string{"3.25s+1", "3.5s+1"}},
		{"one that comes twice ahead of its counter is subtracted once", []signal.Signal{counter(0, 0), event(3.25, 1), event(3.25, 1), counter(5, 3)},
			[]string{"3.25s+1", "5s+2"}},
		{"two lines that are alike, of a file whose times are seconds, are two", []signal.Signal{event(3, 1), event(3, 1)}, []string{"3s+1", "3s+1"}},
		{"late events find their place", []signal.Signal{event(4, 1), event(3, 2)}, []string{"3s+2", "4s+1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tl := timeline.New(start)
			for _, s := range tt.signals {
				tl.Observe(s)
			}
			var got []string
			for _, e := range tl.Events(time.Time{}, "c") {
				got = append(got, fmt.Sprintf("%s+%v", e.First.Sub(start), e.Value))
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// What happens is told as events, some of which are noticed late, come late or not at all, and counted by readings, some of which are missing and all of
// which are on their way for a while: however these come, each is one.
func TestWhatIsToldAndCountedIsOne(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		type arrival struct {
			at float64
			signal.Signal
		}
		var all []arrival
		var happened []float64
		for at := 3.0; at < 280; at += 1 + r.Float64()*[]float64{5, 60, 200}[r.IntN(3)] {
			happened = append(happened, at)
			if r.IntN(4) > 0 {
				seen := at + r.Float64()*[]float64{0.001, 0.3}[r.IntN(2)]
				all = append(all, arrival{seen + r.Float64()*[]float64{0.1, 1}[r.IntN(2)], event(seen, 1)})
			}
		}
		for at := 0.0; at <= 300; at += 5 {
			n, _ := slices.BinarySearch(happened, at+1e-9)
			if at == 0 || at == 300 || r.IntN(20) > 0 {
				all = append(all, arrival{at + r.Float64()/2, counter(at, float64(n))})
			}
		}
		slices.SortStableFunc(all, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
		tl, told := timeline.New(start), 0.0
		for _, a := range all {
			tl.Observe(a.Signal)
		}
		for _, e := range tl.Events(time.Time{}, "c") {
			told += e.Value
		}
		if len(happened) < timeline.MaxEvents {
			require.Equal(t, float64(len(happened)), told, "seed %d", seed)
		}
	}
}

func TestLatestReading(t *testing.T) {
	tests := []struct {
		name    string
		signals []signal.Signal
		want    float64
		dropped int
	}{
		{"the last one counts", []signal.Signal{gauge(1, 5), gauge(2, 6)}, 6, 0},
		{"a late one does not", []signal.Signal{gauge(2, 6), gauge(1, 5)}, 6, 1},
		{"a less exact one does not take a fresh one's place", []signal.Signal{gauge(1, 5), doubted(gauge(2, 6))}, 5, 1},
		{"but a stale one's", []signal.Signal{gauge(1, 5), doubted(gauge(180, 6))}, 6, 0},
		{"a more exact one takes its place at once", []signal.Signal{doubted(gauge(1, 5)), gauge(2, 6)}, 6, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tl := timeline.New(start)
			for _, s := range tt.signals {
				tl.Observe(s)
			}
			r, ok := tl.Latest("g")
			require.True(t, ok)
			assert.Equal(t, tt.want, r.Value)
			assert.Equal(t, tt.want, tl.Values()["g"])
			assert.Equal(t, tt.dropped, tl.Dropped())
		})
	}
}

func TestBounds(t *testing.T) {
	tl := timeline.New(start)
	for i := range 10 * timeline.MaxKinds {
		s := gauge(1, 1)
		s.Kind = fmt.Sprint("g", i)
		tl.Observe(s)
		e := event(1, 1)
		e.Kind = fmt.Sprint("e", i)
		tl.Observe(e)
	}
	assert.LessOrEqual(t, len(tl.State(at(1)).Readings), timeline.MaxKinds)
	assert.Len(t, tl.State(at(1)).Events, timeline.MaxKinds)
	assert.Equal(t, 18*timeline.MaxKinds, tl.Dropped(), "what is refused is counted")
	for i := range 10 * timeline.MaxEvents {
		e := event(float64(i), 1)
		e.Kind, e.Text = "e0", strings.Repeat("ä", 10_000)
		tl.Observe(e)
	}
	events := tl.Events(time.Time{}, "e0")
	require.Len(t, events, timeline.MaxEvents)
	assert.Equal(t, at(10*timeline.MaxEvents-1), events[len(events)-1].Time, "the oldest go first")
	assert.LessOrEqual(t, len(events[0].Text), 1024)
}

// What two layers tell is kept of each, however their events come.
func TestBoundOfEachLayer(t *testing.T) {
	tl := timeline.New(start)
	for i := range 10 * timeline.MaxEvents {
		for j, layer := range []finding.Layer{finding.LayerEBPF, finding.LayerJournald} {
			e := event(float64(i)+float64(j)/2, 1)
			e.Layer = layer
			tl.Observe(e)
		}
	}
	of := map[finding.Layer]int{}
	events := tl.Events(time.Time{}, "c")
	for _, e := range events {
		of[e.Layer]++
	}
	assert.Equal(t, map[finding.Layer]int{finding.LayerEBPF: timeline.MaxEvents, finding.LayerJournald: timeline.MaxEvents}, of)
	assert.Equal(t, at(9*timeline.MaxEvents), events[0].Time, "the oldest go first")
	late := event(0, 1)
	late.Layer = finding.LayerEBPF
	tl.Observe(late)
	assert.Len(t, tl.Events(time.Time{}, "c"), 2*timeline.MaxEvents)
}

func TestForget(t *testing.T) {
	tl := timeline.New(start)
	tl.Observe(gauge(1, 5))
	tl.Observe(counter(1, 3))
	tl.Observe(counter(2, 4))
	tl.Forget(at(3))
	_, known := tl.Latest("g")
	assert.False(t, known, "the next one of this name has not been read yet")
	assert.Equal(t, 5.0, tl.Values()["g"], "texts about its end need its last values")
	assert.Len(t, tl.Events(time.Time{}, "c"), 1, "and what happened to it")

	assert.False(t, tl.Observe(counter(2.5, 4)), "what comes late is of the one that is gone")
	assert.True(t, tl.Observe(since(5, 1, 4)))
	assert.Len(t, tl.Events(time.Time{}, "c"), 2, "the next one's counters begin at zero")

	tl.Forget(at(4.5))
	_, known = tl.Latest("c")
	assert.True(t, known, "a notice that comes late leaves the next one alone")
}

func TestRewind(t *testing.T) {
	tl := timeline.New(start)
	tl.Observe(counter(3600, 1))
	tl.Observe(counter(3620, 2))
	assert.False(t, tl.Observe(counter(100, 2)), "late")
	tl.Rewind(at(50))
	assert.True(t, tl.Observe(counter(100, 3)))
	events := tl.Events(time.Time{}, "c")
	require.Len(t, events, 2)
	assert.Equal(t, at(50), events[0].First)

	gone := timeline.New(start)
	gone.Forget(at(3600))
	gone.Rewind(at(50))
	assert.True(t, gone.Observe(since(70, 1, 60)))
	assert.Len(t, gone.Events(time.Time{}, "c"), 1, "what began since counts from zero")
}

// A timeline goes on after a restart as if there had been none.
func TestRestore(t *testing.T) {
	tl := timeline.New(start)
	for _, s := range []signal.Signal{gauge(1, 5), since(10, 7, -5), since(20, 9, -5), {Time: at(21), Kind: "e", Shape: signal.Event, Value: 1,
		Text: "out of memory", Layer: finding.LayerJournald, Attributes: map[string]string{"pid": "7"}}, event(22, 1)} {
		tl.Observe(s)
	}
	b, err := json.Marshal(tl.State(at(30)))
	require.NoError(t, err)
	var st timeline.State
	require.NoError(t, json.Unmarshal(b, &st))
	again := timeline.Restore(at(40), st)
	assert.Equal(t, tl.Events(time.Time{}, "c", "e"), again.Events(time.Time{}, "c", "e"))
	assert.Equal(t, tl.Values(), again.Values())

	again.Observe(since(45, 11, 41)) // the receiver began anew, too
	events := again.Events(at(40), "c")
	require.Len(t, events, 1)
	assert.Equal(t, 1.0, events[0].Value, "11 - 9, and one of the two was told at 22 s")
}

func TestOldEventsDoNotOutliveARestart(t *testing.T) {
	tl := timeline.New(start)
	tl.Observe(event(0, 1))
	tl.Observe(event(6000, 1))
	assert.Len(t, tl.State(at(6001)).Events, 1)
}

func TestRestoreKeepsTheBounds(t *testing.T) {
	st := timeline.State{Since: start, Gone: at(1e9), Readings: map[string]timeline.Reading{}}
	for i := range 1000 {
		st.Readings[fmt.Sprint(i)] = timeline.Reading{Time: at(1e6), Value: 1, Layer: finding.LayerCgroup}
		st.Events = append(st.Events, timeline.Saved{Kind: fmt.Sprint(i % 100), Layer: finding.LayerCgroup, First: at(1e6), Time: at(1e6), Value: 1})
	}
	for _, damaged := range []timeline.Saved{
		{Kind: "0", Layer: finding.LayerCgroup, First: start, Time: start, Value: math.NaN()},
		{Kind: "0", Layer: "No Layer", First: start, Time: start},
		{Kind: "0", Layer: finding.LayerCgroup, Time: start},
		{Layer: finding.LayerCgroup, First: start, Time: start},
	} {
		damaged.Text = "damaged"
		st.Events = append(st.Events, damaged)
	}
	tl := timeline.Restore(at(10), st)
	assert.Len(t, tl.State(at(10)).Readings, timeline.MaxKinds)
	assert.True(t, tl.Observe(gauge(11, 1)) || tl.Dropped() > 0)
	for _, e := range tl.Events(time.Time{}, "0") {
		assert.False(t, e.Time.After(at(10)), "nothing lies in the future")
		assert.NotEqual(t, "damaged", e.Text, "what cannot be evidence is left out")
	}
}

func TestHistory(t *testing.T) {
	var h timeline.History
	assert.Nil(t, h.Series("memory", "By"), "one value is no course")
	for i := range 24 * 3600 / 5 {
		h.Observe(at(float64(5*i)), float64(i), 1e6)
		require.LessOrEqual(t, len(h.Values), 60)
	}
	s := h.Series("memory", "By")
	require.NotNil(t, s)
	end := s.Start.Add(time.Duration(s.StepSeconds*float64(len(s.Values))) * time.Second)
	assert.WithinDuration(t, at(24*3600), end, 2*time.Duration(s.StepSeconds)*time.Second)
	assert.Greater(t, end.Sub(s.Start), 3*time.Hour, "hours are kept, not a day")
	assert.IsIncreasing(t, s.Values)
	assert.True(t, h.Valid())

	h.Observe(at(0), 5, 1e6) // late
	h.Observe(at(10*24*3600), 7, 1e6)
	assert.LessOrEqual(t, len(h.Values), 60)
	assert.Equal(t, 7.0, h.Values[len(h.Values)-1], "after a long silence it goes on")
}

func TestHistoryThatCannotBeGoneOnWith(t *testing.T) {
	for _, h := range []timeline.History{{}, {Start: start, Step: -1}, {Start: start, Step: time.Second, Values: make([]float64, 1e4)},
		{Start: start, Step: 1000 * time.Hour}} {
		assert.False(t, h.Valid(), "%+v", h)
	}
}

// An event that is told again under its name, with a higher count or after a restart, is the same one.
func TestEventIsToldAgain(t *testing.T) {
	named := func(sec, v float64, id string) signal.Signal {
		s := event(sec, v)
		s.ID = id
		return s
	}
	tl := timeline.New(start)
	for _, s := range []signal.Signal{named(10, 3, "a"), named(10, 3, "a"), named(20, 4, "a"), named(15, 1, "b")} {
		assert.True(t, tl.Observe(s))
	}
	tl = timeline.Restore(at(21), tl.State(at(21)))
	tl.Observe(named(20, 4, "a"))
	got := tl.Events(start, "c")
	require.Len(t, got, 2)
	assert.Equal(t, []float64{1, 4}, []float64{got[0].Value, got[1].Value})
	assert.Equal(t, at(10), got[1].First)
}

// A state that is over is not there any more, and may come again.
func TestStateIsOver(t *testing.T) {
	tl := timeline.New(start)
	tl.Observe(gauge(10, 1))
	tl.Observe(signal.Signal{Kind: "g", Time: at(11), Shape: signal.Over})
	_, known := tl.Latest("g")
	assert.False(t, known)
	assert.Empty(t, tl.Values())
	assert.True(t, tl.Observe(gauge(12, 2)))
}
