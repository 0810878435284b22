package forecast

import (
	"encoding/json"
	"math"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	limit = 100e6
	tick  = 15 * time.Second
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// feed observes n samples, tick by tick from sample number from on, of a level given in shares of the limit.
func feed(s *Series, from, n int, level func(minute float64) float64) (f Forecast) {
	for i := from; i < from+n; i++ {
		at := start.Add(time.Duration(i) * tick)
		f = s.Observe(Sample{Time: at, Used: level(at.Sub(start).Minutes()) * limit, Limit: limit})
	}
	return f
}

// leak takes 1 % of the limit a minute, from 20 % on: the limit is reached after 80 minutes.
func leak(minute float64) float64 { return 0.2 + 0.01*minute }

func TestALeakIsForeseen(t *testing.T) {
	var s Series
	f := feed(&s, 0, 61*4, leak) // an hour, and 81 % of the limit
	require.True(t, f.Predicts(), f.Reason)
	assert.WithinDuration(t, start.Add(80*time.Minute), f.At, time.Minute)
	assert.Greater(t, f.Confidence, 0.5)
	assert.True(t, f.Earliest.Before(f.At) && f.At.Before(f.Latest))
	assert.InEpsilon(t, 0.01*limit/60, f.Rate, 0.02, "units per second")
	f = feed(&s, 61*4, 13*4, leak)
	assert.Greater(t, f.Confidence, 0.9, "the nearer, the surer")
}

func TestNothingIsForeseenWithoutGrowth(t *testing.T) {
	noise := rand.New(rand.NewSource(1))
	for name, level := range map[string]func(float64) float64{
		"flat":                  func(float64) float64 { return 0.5 },
		"flat near the limit":   func(float64) float64 { return 0.95 },
		"noise":                 func(float64) float64 { return 0.8 + 0.01*noise.NormFloat64() },
		"shrinking":             func(m float64) float64 { return 0.9 - 0.001*m },
		"a start, then nothing": func(m float64) float64 { return 0.8 * math.Min(1, m/5) },
		"empty":                 func(float64) float64 { return 0 },
		"slow": func(m float64) float64 { // two weeks to go
			return 0.2 + 0.8*m/(14*24*60)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s Series
			f := feed(&s, 0, 3*60*4, level)
			if f.Predicts() {
				assert.Less(t, f.Confidence, 0.5)
			}
		})
	}
}

// A collector that frees what it took has a floor that doesn't rise.
func TestTheFloorOfASawtoothCounts(t *testing.T) {
	saw := func(m float64) float64 { return 0.25 * math.Mod(m, 10) / 10 }
	var s Series
	f := feed(&s, 0, 3*60*4, func(m float64) float64 { return 0.5 + saw(m) })
	if f.Predicts() {
		assert.Less(t, f.Confidence, 0.5, "peaks at 75 % that come back")
	}
	var leaking Series // the floor rises by 0.25 % of the limit a minute; peaks reach the limit after 2 h 20 min
	f = feed(&leaking, 0, 120*4, func(m float64) float64 { return 0.4 + 0.0025*m + saw(m) })
	require.True(t, f.Predicts(), f.Reason)
	assert.Greater(t, f.Confidence, 0.5)
	assert.WithinDuration(t, start.Add(140*time.Minute), f.At, 15*time.Minute, "a cycle and a half")
}

func TestGrowthThatStopsIsForgotten(t *testing.T) {
	var s Series
	capped := func(m float64) float64 { return math.Min(leak(m), 0.85) }
	require.Greater(t, feed(&s, 0, 65*4, capped).Confidence, 0.5)
	f := feed(&s, 65*4, 120*4, capped)
	if f.Predicts() {
		assert.Less(t, f.Confidence, 0.5)
	}
}

func TestAnotherRateIsSeenSoon(t *testing.T) {
	var s Series // first for 90 minutes 0.2 % a minute, then 1 %: the limit comes 42 minutes later
	level := func(m float64) float64 { return 0.2 + 0.002*m + 0.008*math.Max(0, m-90)*1.25 }
	f := feed(&s, 0, (90+30)*4, level)
	require.True(t, f.Predicts(), f.Reason)
	want := 90 + (1-0.38)/0.012
	assert.WithinDuration(t, start.Add(time.Duration(want*float64(time.Minute))), f.At, 4*time.Minute)
}

func TestIrregularSamples(t *testing.T) {
	regular, irregular := Series{}, Series{}
	want := feed(&regular, 0, 70*4, leak)
	r := rand.New(rand.NewSource(2))
	var got Forecast
	for at := time.Duration(0); at < 70*time.Minute; at += time.Duration(r.Intn(40)+1) * time.Second {
		if at > 30*time.Minute && at < 40*time.Minute {
			continue // ten minutes are missing
		}
		got = irregular.Observe(Sample{Time: start.Add(at), Used: leak(at.Minutes()) * limit, Limit: limit})
	}
	require.True(t, got.Predicts(), got.Reason)
	assert.WithinDuration(t, want.At, got.At, 2*time.Minute)
	assert.InDelta(t, want.Confidence, got.Confidence, 0.15)
}

func TestUselessSamplesChangeNothing(t *testing.T) {
	var s Series
	want := feed(&s, 0, 240, leak)
	last := start.Add(239 * tick)
	later := last.Add(tick)
	for name, x := range map[string]Sample{
		"late":             {Time: last.Add(-time.Minute), Used: 1, Limit: limit},
		"twice":            {Time: last, Used: 1, Limit: limit},
		"without a time":   {Used: 1, Limit: limit},
		"NaN":              {Time: later, Used: math.NaN(), Limit: limit},
		"infinite":         {Time: later, Used: math.Inf(1), Limit: limit},
		"negative":         {Time: later, Used: -1, Limit: limit},
		"no limit":         {Time: later, Used: 1},
		"a NaN limit":      {Time: later, Used: 1, Limit: math.NaN()},
		"a negative limit": {Time: later, Used: 1, Limit: -5},
		"limit unlimited":  {Time: later, Used: 1, Limit: math.MaxUint64},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, want, s.Observe(x)) })
	}
}

func TestAHigherLimitIsFartherAway(t *testing.T) {
	var s Series
	before := feed(&s, 0, 70*4, leak)
	at := start.Add(70 * time.Minute)
	after := s.Observe(Sample{Time: at, Used: leak(70) * limit, Limit: 2 * limit})
	if after.Predicts() {
		assert.True(t, after.At.After(before.At.Add(30*time.Minute)), "%v after %v", after.At, before.At)
		assert.Less(t, after.Confidence, before.Confidence)
	}
}

// Counters that begin anew say nothing; while the limit holds the level and they race, a stay isn't a stop.
func TestPressingAgainstTheLimit(t *testing.T) {
	course := func(counter func(i int) float64) (f Forecast, s Series) {
		for i := range 100 * 4 {
			at := start.Add(time.Duration(i) * tick)
			f = s.Observe(Sample{Time: at, Used: math.Min(leak(at.Sub(start).Minutes()), 0.96) * limit, Limit: limit,
				Refusals: counter(i)})
		}
		return f, s
	}
	quiet, _ := course(func(int) float64 { return 7 })
	racing, _ := course(func(i int) float64 { return float64(100 * max(0, i-290)) })
	reset, _ := course(func(i int) float64 { return float64(-i) })
	assert.Greater(t, racing.Confidence, quiet.Confidence)
	assert.Equal(t, "pressing against the limit", racing.Reason)
	assert.Equal(t, quiet.Confidence, reset.Confidence)
}

func TestRestart(t *testing.T) {
	var s Series
	feed(&s, 0, 300, leak)
	s.Restart()
	f := s.Observe(Sample{Time: start.Add(301 * tick), Used: 0.9 * limit, Limit: limit})
	assert.False(t, f.Predicts())
	assert.Equal(t, "no prediction yet: 1 of 12 samples", f.Reason)
	require.Len(t, s.Memory.Lives, 1)
	assert.True(t, s.Memory.Lives[0].Killed)
	late := s.Observe(Sample{Time: start.Add(10 * tick), Used: 0.9 * limit, Limit: limit})
	assert.Equal(t, f, late, "time goes on over a restart")
}

// What earlier lives did at this level is worth more than any curve.
func TestEarlierLivesCount(t *testing.T) {
	with := func(lives ...Life) float64 {
		s := Series{Memory: Memory{Lives: lives}}
		return feed(&s, 0, 62*4, leak).Confidence // at 81 %
	}
	nothing := with()
	assert.Greater(t, with(Life{1, true}, Life{1, true}), nothing)
	assert.Less(t, with(Life{0.95, false}, Life{0.94, false}), nothing, "they came as far and lived")
	assert.InDelta(t, nothing, with(Life{0.5, false}), 1e-9, "it never came as far")
}

func TestMemoryIsBounded(t *testing.T) {
	var m Memory
	for i := range 100 {
		m.Add(Life{Peak: float64(i) / 100})
	}
	m.Add(Life{Peak: math.NaN()})
	m.Add(Life{Peak: -1})
	m.Add(Life{Peak: 1e9})
	require.Len(t, m.Lives, remembered)
	assert.Equal(t, 0.99, m.Lives[remembered-1].Peak)
}

func TestASeriesSurvivesJSON(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	level := func(m float64) float64 { return leak(m/4) + 0.05*math.Mod(m, 7)/7 + 0.002*r.Float64() }
	for _, n := range []int{0, 1, 11, 12, 200, 1000} {
		var s, back Series
		s.Memory.Add(Life{Peak: 0.7})
		want := feed(&s, 0, n, level)
		b, err := json.Marshal(struct{ S Series }{s})
		require.NoError(t, err)
		require.Less(t, len(b), 16<<10)
		require.NoError(t, json.Unmarshal(b, &struct{ S *Series }{&back}))
		assert.Equal(t, want, back.forecasted)
		seed := r.Int63()
		r.Seed(seed)
		want = feed(&s, n, 50, level)
		r.Seed(seed)
		got := feed(&back, n, 50, level)
		assert.Equal(t, want, got, "after %d samples", n)
	}
}

func TestGarbageIsNotRestored(t *testing.T) {
	good := Series{}
	feed(&good, 0, 100, leak)
	for name, b := range map[string]string{
		"no JSON":           `x`,
		"another version":   `{"version":1}`,
		"no version":        `{}`,
		"too many rows":     `{"version":2,"course":[[],[],[],[],[],[],[],[],[],[],[],[],[]]}`,
		"too many points":   `{"version":2,"samples":20,"limit":5,"origin":"2026-01-01T00:00:00Z","last":"2026-01-02T00:00:00Z","course":[[[0,1],[1,1],[2,1],[3,1],[4,1],[5,1],[6,1],[7,1],[8,1],[9,1],[10,1],[11,1],[12,1],[13,1],[14,1],[15,1],[16,1]]]}`,
		"times that fall":   `{"version":2,"samples":20,"limit":5,"origin":"2026-01-01T00:00:00Z","last":"2026-01-02T00:00:00Z","course":[[[5,1],[4,1]]]}`,
		"a negative level":  `{"version":2,"samples":20,"limit":5,"origin":"2026-01-01T00:00:00Z","last":"2026-01-02T00:00:00Z","course":[[[5,-1]]]}`,
		"no limit":          `{"version":2,"samples":20,"origin":"2026-01-01T00:00:00Z","last":"2026-01-02T00:00:00Z","course":[[[5,1]]]}`,
		"a course too late": `{"version":2,"samples":20,"limit":5,"origin":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:01Z","course":[[[5,1]]]}`,
		"samples, nothing":  `{"version":2,"samples":20,"limit":5}`,
		"huge noise":        `{"version":2,"noise":1e300}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			assert.Error(t, s.UnmarshalJSON([]byte(b)))
			assert.Equal(t, good, s, "nothing is changed")
		})
	}
}

// FuzzObserve: any samples make either silence or a sound prediction, and the state always survives JSON.
func FuzzObserve(f *testing.F) {
	f.Add(int64(1), 0.5, 1.0, 1e6, 0.01)
	f.Add(int64(2), 1e300, 1e-300, -5.0, 1e18)
	f.Add(int64(3), math.NaN(), math.Inf(1), 0.0, math.MaxFloat64)
	f.Fuzz(func(t *testing.T, seed int64, a, b, c, d float64) {
		r := rand.New(rand.NewSource(seed))
		values := []float64{a, b, c, d, 0, limit, limit / 2, r.Float64() * limit}
		var s Series
		at := start
		for i := range 120 {
			at = at.Add(time.Duration(r.Int63n(int64(time.Hour)) - int64(time.Minute)))
			used := values[r.Intn(len(values))]
			if i%3 > 0 {
				used = r.Float64() * a
			}
			got := s.Observe(Sample{Time: at, Used: used, Limit: values[r.Intn(len(values))], MajorFaults: a, Refusals: b})
			if !got.Predicts() {
				if got.Confidence != 0 || got.Reason == "" {
					t.Fatalf("silence with confidence %v and reason %q", got.Confidence, got.Reason)
				}
				continue
			}
			if !(got.Confidence >= 0 && got.Confidence <= 1) || got.Earliest.After(got.At) || got.Latest.Before(got.At) ||
				!(got.Rate > 0) || math.IsInf(got.Rate, 0) {
				t.Fatalf("not sound: %+v", got)
			}
		}
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Series
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatalf("what was saved is not restored: %v", err)
		}
	})
}

// FuzzRestore: whatever was stored, a series either refuses it or goes on soundly.
func FuzzRestore(f *testing.F) {
	for _, n := range []int{0, 5, 100, 400} {
		var s Series
		feed(&s, 0, n, leak)
		b, _ := json.Marshal(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Series
		if json.Unmarshal(b, &s) != nil {
			return
		}
		for i := range 30 {
			got := s.Observe(Sample{Time: s.last.Add(tick), Used: leak(float64(i)) * limit, Limit: limit})
			if math.IsNaN(got.Confidence) || math.IsNaN(got.Rate) {
				t.Fatalf("not sound: %+v", got)
			}
		}
	})
}

// Days of quiet don't make a leak harder to see, nor its time worse.
func TestALeakAfterDaysOfQuiet(t *testing.T) {
	for _, days := range []float64{0.1, 1, 3, 10} {
		r := rand.New(rand.NewSource(1))
		quiet := days * 24 * 60 // minutes; then 0.5 % of the limit a minute
		level := func(m float64) float64 {
			return 0.3 + 0.05*math.Sin(2*math.Pi*m/1440) + 0.004*r.NormFloat64() + 0.005*math.Max(0, m-quiet)
		}
		var s Series
		n := int(quiet) * 4
		for i := range n {
			f := feed(&s, i, 1, level)
			require.Less(t, f.Confidence, 0.5, "after %.1f of %g quiet days", float64(i)/4/24/60, days)
		}
		f := feed(&s, n, 105*4, level)
		require.True(t, f.Predicts(), f.Reason)
		t.Logf("after %g days: confidence %.2f, %.1f minutes off", days, f.Confidence, f.At.Sub(start).Minutes()-quiet-140)
		assert.Greater(t, f.Confidence, 0.5)
		assert.InDelta(t, 140, f.At.Sub(start).Minutes()-quiet, 10, "35 minutes before, after %g days; the daily wave shifts it, too", days)
	}
}
