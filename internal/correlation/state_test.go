package correlation_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// save stores what is not stored yet.
func (w *world) save(shards ...correlation.Shard) {
	saved, err := w.engine.Save(shards...)
	require.NoError(w.t, err)
	for at, b := range saved {
		if b == nil {
			delete(w.stored, at)
		} else {
			w.stored[at] = b
		}
	}
}

// saveAll is a turn of all shards.
func (w *world) saveAll() {
	for turn := range correlation.Turns {
		w.save(w.engine.Touched(turn)...)
	}
}

// restart is kill -9: a new engine with what was stored, a while later.
func (w *world) restart(s correlation.Settings, away time.Duration) *world {
	again := newWorld(w.t, s)
	again.now, again.stored = w.now.Add(away), maps.Clone(w.stored)
	require.Empty(w.t, again.engine.Restore(again.now, again.stored))
	return again
}

func TestFindingsOutliveARestart(t *testing.T) {
	for name, save := range map[string]func(*world){"with all entities": (*world).saveAll, "with the findings alone": func(w *world) { w.save(w.engine.Unsaved()...) }} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, settings(t))
			leaking, killed := w.cgroup("/leaking"), w.cgroup("/killed")
			w.observe(killed, counter(signal.OOMKill, 0, time.Time{}))
			w.leak(leaking, 64*mi, 7*time.Minute)
			w.observe(killed, counter(signal.OOMKill, 1, time.Time{}))
			w.look()
			require.NotEmpty(t, w.engine.Unsaved())
			before := map[string]finding.Finding{}
			for _, f := range w.engine.Findings() {
				before[f.ID] = f
			}
			require.Len(t, before, 2)

			save(w)
			again := w.restart(settings(t), 10*time.Second)
			assert.Empty(t, w.engine.Unsaved(), "all is saved")
			told := again.look()
			require.Len(t, told, 2, "those who listen only now are told again")
			for _, f := range told {
				assert.Equal(t, before[f.ID].FirstSeen, f.FirstSeen)
				assert.Equal(t, finding.Active, f.State)
			}
			// The leak goes on, and the receivers began anew: they name another start for the same counters.
			again.observe(killed, counter(signal.OOMKill, 1, again.now.Add(-time.Millisecond)))
			again.told = nil
			again.leak(leaking, (64+425)*mi, 20*time.Second)
			assert.Equal(t, before[correlation.ID("memory-exhaustion", leaking.ID)].FirstSeen, again.find("memory-exhaustion", leaking).FirstSeen)
			for _, f := range again.told {
				assert.Equal(t, finding.Active, f.State, "nothing is withdrawn in between: %s", f.Title)
			}
			assert.Equal(t, "killed was OOM-killed", again.find("oom-killed", killed).Title, "and the kill is not counted again")
		})
	}
}

// What was not stored for a while is restored as it was then, beside what was stored later.
func TestShardsOfDifferentAge(t *testing.T) {
	w := newWorld(t, settings(t))
	told, other := w.cgroup("/app"), w.cgroup("/other")
	w.observe(told, counter(signal.OOMKill, 0, time.Time{}))
	w.observe(other, counter(signal.OOMKill, 2, time.Time{}))
	w.saveAll()
	w.pass(time.Second, func(int) { w.observe(told, counter(signal.OOMKill, 1, time.Time{})) })
	w.save(w.engine.Unsaved()...)
	w.pass(time.Minute, func(int) {
		w.observe(told, counter(signal.OOMKill, 1, time.Time{}))
		w.observe(other, counter(signal.OOMKill, 3, time.Time{}))
	})
	again := w.restart(settings(t), 0)
	again.pass(5*time.Minute, func(int) {
		again.observe(told, counter(signal.OOMKill, 1, again.now))
		again.observe(other, counter(signal.OOMKill, 3, again.now))
	})
	assert.Equal(t, finding.Active, again.find("oom-killed", told).State, "for ten minutes, as without a restart")
	assert.NotNil(t, again.find("oom-killed", other), "what was never stored is found again")
	again.pass(5*time.Minute, nil)
	assert.Equal(t, finding.Resolved, again.find("oom-killed", told).State)
}

// What has to be stored is what changed, however much there is.
func TestOnlyWhatChangedIsToBeStored(t *testing.T) {
	touched := func(w *world) (n int) {
		for turn := range correlation.Turns {
			n += len(w.engine.Touched(turn))
		}
		return n
	}
	w := newWorld(t, hot(t, ""))
	every := func(heat float64, paths ...string) func(int) {
		return func(int) {
			for _, path := range paths {
				w.observe(w.cgroup(path), gauge("heat", heat))
			}
		}
	}
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprintf("/c%d", i))
	}
	w.pass(11*time.Second, every(2, all...))
	require.Len(t, w.engine.Findings(), 100)
	w.saveAll()
	assert.Empty(t, w.engine.Unsaved())
	assert.Zero(t, touched(w))

	w.pass(5*time.Second, nil)
	assert.Zero(t, touched(w), "where nothing is heard, nothing is to be stored")
	w.pass(time.Second, every(2, "/c1"))
	assert.Empty(t, w.engine.Unsaved(), "what goes on is not news")
	assert.Equal(t, 1, touched(w), "but stored with the others")
	w.pass(time.Second, every(20, "/c2"))
	require.Len(t, w.engine.Unsaved(), 1)
	size := 0
	for _, b := range w.stored {
		size += len(b)
	}
	saved, err := w.engine.Save(w.engine.Unsaved()...)
	require.NoError(t, err)
	require.Len(t, saved, 1)
	for at, b := range saved {
		assert.Contains(t, string(b), `"/c2"`)
		assert.Less(t, len(b), size/10)
		w.engine.Lost(at)
	}
	assert.Equal(t, 2, touched(w), "what could not be stored is stored with the others")
}

// An entity that is forgotten, and a finding that nobody remembers, are gone from what is stored as well.
func TestWhatIsForgottenIsNotStored(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	w.pass(11*time.Second, func(int) { w.observe(w.cgroup("/app"), gauge("heat", 2)) })
	w.saveAll()
	require.Len(t, w.stored, 1)
	w.pass(11*time.Minute, func(int) { w.observe(w.cgroup("/app"), gauge("heat", 0)) })
	w.pass(time.Hour, nil)
	require.Zero(t, w.engine.Stats().Findings+w.engine.Stats().Entities)
	w.saveAll()
	assert.Empty(t, w.stored)
}

func TestAKillWhileNobodyWatchedIsNews(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 2, time.Time{}))
	w.saveAll()
	for _, away := range []time.Duration{time.Minute, time.Hour} {
		again := w.restart(settings(t), away)
		again.pass(5*time.Second, nil) // nothing is read yet
		again.observe(e, counter(signal.OOMKill, 3, again.now.Add(-time.Millisecond)))
		again.look()
		assert.NotNil(t, again.find("oom-killed", e), "away for %s", away)
	}
	again := w.restart(settings(t), time.Hour)
	again.pass(11*time.Minute, nil)
	assert.Zero(t, again.engine.Stats().Entities, "what is not heard of any more is forgotten")
}

// A machine that slept, or whose clock was set forward, goes on as after a restart: nothing is over, or forgotten, before it is heard of
// again.
func TestAnAbsence(t *testing.T) {
	w := newWorld(t, settings(t))
	leaking, full, quiet := w.cgroup("/leaking"), entity.Entity{ID: "filesystem:n1:/var", Kind: entity.Filesystem, Name: "/var", Node: "n1"}, w.cgroup("/quiet")
	fills := func(int) {
		w.observe(full, gauge(signal.FilesystemUsed, 100), gauge(signal.FilesystemLimit, 100))
		w.observe(quiet, counter(signal.OOMKill, 0, time.Time{}))
	}
	w.pass(time.Minute, fills)
	w.leak(leaking, 64*mi, 7*time.Minute)
	w.pass(time.Second, fills)
	require.Equal(t, finding.Active, w.find("memory-exhaustion", leaking).State)
	require.Equal(t, finding.Active, w.find("filesystem-full", full).State)
	w.told, w.now = nil, w.now.Add(3*time.Hour)
	w.pass(4*time.Second, nil) // nothing is read yet
	w.leak(leaking, (64+420)*mi, 10*time.Second)
	w.pass(time.Second, func(int) {
		w.observe(full, gauge(signal.FilesystemUsed, 100), gauge(signal.FilesystemLimit, 100))
		w.observe(quiet, counter(signal.OOMKill, 1, time.Time{}))
	})
	for _, f := range w.told {
		assert.Equal(t, finding.Active, f.State, f.Title)
	}
	assert.NotNil(t, w.find("oom-killed", quiet))
	w.pass(15*time.Minute, nil)
	assert.Equal(t, finding.Resolved, w.find("filesystem-full", full).State, "what is not heard of again is over")
}

// Whether what was watched before a restart is there still is not known before it is heard of.
func TestWhatIsTakenUpIsNotWatchedYet(t *testing.T) {
	w := newWorld(t, settings(t))
	w.leak(w.cgroup("/app"), 64*mi, time.Minute)
	w.saveAll()
	again := w.restart(settings(t), time.Hour)
	again.look()
	st := again.engine.Status(again.now)
	assert.Empty(t, st.Watched)
	assert.Empty(t, st.Learning)
	again.leak(w.cgroup("/app"), 124*mi, 2*time.Second)
	assert.Equal(t, map[string]int{"Cgroup": 1}, again.engine.Status(again.now).Watched)
}

// When it happened is not known: nothing is said of how right the prediction was.
func TestAForeseenKillWhileNobodyWatched(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.leak(e, 64*mi, 7*time.Minute)
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	read := w.now
	w.saveAll()
	again := w.restart(settings(t), time.Hour)
	again.observe(e, counter(signal.OOMKill, 1, again.now.Add(-time.Millisecond)))
	again.pass(time.Minute, nil)
	d, p := again.find("oom-killed", e), again.find("memory-exhaustion", e)
	require.NotNil(t, d)
	assert.Nil(t, d.Outcome)
	assert.NotContains(t, d.Explanation, "foreseen")
	assert.Equal(t, []string{p.ID}, d.Causes)
	assert.Equal(t, finding.Resolved, p.State)
	require.NotEmpty(t, d.Evidence)
	assert.Contains(t, d.Evidence[len(d.Evidence)-1].Text, "(at some time since "+read.Format("2006-01-02 15:04:05")+" UTC, when it was read last)")
}

// A restored prediction is neither withdrawn before there are samples to judge it by, nor kept for ever without.
func TestARestoredPredictionWaitsToBeJudged(t *testing.T) {
	leaking := func(t *testing.T) *world {
		w := newWorld(t, settings(t))
		w.leak(w.cgroup("/app"), 64*mi, 7*time.Minute)
		require.NotNil(t, w.find("memory-exhaustion", w.cgroup("/app")))
		w.saveAll()
		return w.restart(settings(t), time.Second)
	}
	state := func(w *world) finding.State { return w.find("memory-exhaustion", w.cgroup("/app")).State }

	t.Run("its entity is not heard of", func(t *testing.T) {
		w := leaking(t)
		w.pass(55*time.Second, nil)
		assert.Equal(t, finding.Active, state(w))
		w.pass(time.Minute, nil)
		assert.Equal(t, finding.Resolved, state(w))
	})
	t.Run("its entity is removed", func(t *testing.T) {
		w := leaking(t)
		w.observe(w.cgroup("/app"), signal.Signal{Kind: signal.Removed, Shape: signal.Event, Value: 1})
		w.pass(35*time.Second, nil)
		assert.Equal(t, finding.Resolved, state(w))
	})
	t.Run("samples come too seldom to judge it", func(t *testing.T) {
		w := leaking(t)
		w.pass(4*time.Minute, func(i int) {
			if i%50 == 0 {
				w.observe(w.cgroup("/app"), gauge(signal.MemoryUsed, 490*mi), gauge(signal.MemoryLimit, 512*mi))
			}
		})
		assert.Equal(t, finding.Active, state(w))
	})
	t.Run("it leaks no more", func(t *testing.T) {
		w := leaking(t)
		w.pass(10*time.Minute, func(i int) {
			w.observe(w.cgroup("/app"), gauge(signal.MemoryUsed, 60*mi), gauge(signal.MemoryLimit, 512*mi))
		})
		assert.Equal(t, finding.Resolved, state(w))
	})
}

// The clock may be set back while nobody watches: what was sampled is of another one, and a leak is seen by what comes now.
func TestTheClockIsSetBackBetweenARestart(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.leak(e, 64*mi, time.Minute)
	w.saveAll()
	again := w.restart(settings(t), -2*time.Hour)
	again.leak(e, 124*mi, 6*time.Minute)
	f := again.find("memory-exhaustion", e)
	require.NotNil(t, f)
	assert.Equal(t, finding.Active, f.State)
	assert.True(t, f.Forecast.At.Before(start))
	assert.True(t, f.Series.Start.Before(start))
}

// A kill ends a life once, though the finding about it goes on after a restart: what is told of the next life since is gone on with.
func TestALifeEndsOnce(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	kills := func(n float64) func(int) { return func(int) { w.observe(e, counter(signal.OOMKill, n, time.Time{})) } }
	w.pass(time.Second, kills(0))
	w.leak(e, 64*mi, 5*time.Minute)
	w.pass(time.Second, kills(1))
	w.leak(e, 64*mi, time.Minute)
	require.Equal(t, finding.Active, w.find("oom-killed", e).State)
	require.Empty(t, w.engine.Status(w.now).Learning)
	w.saveAll()
	again := w.restart(settings(t), 2*time.Second)
	again.leak(e, 124*mi, 4*time.Second)
	require.Equal(t, finding.Active, again.find("oom-killed", e).State)
	assert.Empty(t, again.engine.Status(again.now).Learning)
	again.saveAll()
	var pasts string
	for _, b := range again.stored {
		_, found, _ := strings.Cut(string(b), `"pasts":`)
		found, _, _ = strings.Cut(found, `"known":`)
		pasts += found
	}
	assert.Equal(t, 1, strings.Count(pasts, `"killed":true`), pasts)
}

// What rests on a reading is not judged by one from before the restart: the next is waited for, for a while.
func TestARestoredDiagnosisWaitsToBeJudged(t *testing.T) {
	s := hot(t, "")
	s.Patterns[0].Keep = 0
	heat := func(v float64) func(*world, int) {
		return func(w *world, second int) {
			if second >= 20 {
				w.observe(w.cgroup("/app"), gauge("heat", v))
			}
		}
	}
	for name, tt := range map[string]struct {
		each               func(w *world, second int)
		soon, in55s, in70s finding.State
	}{
		"it is as before":          {heat(2), finding.Active, finding.Active, finding.Active},
		"it is over":               {heat(0), finding.Active, finding.Resolved, finding.Resolved},
		"it is never read again":   {func(*world, int) {}, finding.Active, finding.Active, finding.Resolved},
		"only something else is":   {func(w *world, _ int) { w.observe(w.cgroup("/app"), gauge(signal.MemoryUsed, 1)) }, finding.Active, finding.Active, finding.Resolved},
		"what it is about is gone": {func(w *world, _ int) { w.gone(w.cgroup("/app")) }, finding.Resolved, finding.Resolved, finding.Resolved},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			e := w.cgroup("/app")
			w.pass(15*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
			before := w.find("hot", e)
			require.NotNil(t, before)
			w.saveAll()
			again, second := w.restart(s, 2*time.Minute), 0
			for _, at := range []struct {
				second int
				want   finding.State
			}{{10, tt.soon}, {55, tt.in55s}, {70, tt.in70s}} {
				again.pass(time.Duration(at.second-second)*time.Second, func(i int) { tt.each(again, second+i) })
				second = at.second
				assert.Equal(t, at.want, again.find("hot", e).State, "after %d s", second)
			}
			if tt.in70s == finding.Active {
				assert.Equal(t, "active warning", again.history())
				assert.Equal(t, before.FirstSeen, again.find("hot", e).FirstSeen)
			}
		})
	}
}

func TestFindingsOfPatternsThatAreGoneAreLeftOut(t *testing.T) {
	w := newWorld(t, settings(t))
	w.observe(w.cgroup("/app"), counter(signal.OOMKill, 0, time.Time{}))
	w.pass(time.Second, func(int) { w.observe(w.cgroup("/app"), counter(signal.OOMKill, 1, time.Time{})) })
	require.Len(t, w.engine.Findings(), 1)
	w.saveAll()
	again := w.restart(hot(t, ""), time.Second)
	assert.Empty(t, again.engine.Findings())
	assert.Empty(t, again.look())
}

func TestRestoreKeepsTheBounds(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	w.pass(15*time.Second, func(int) {
		for _, path := range strings.Split("/a /b /c /d /e /f", " ") {
			w.observe(w.cgroup(path), gauge("heat", 2))
		}
	})
	s := hot(t, "")
	s.MaxEntities, s.MaxFindings = 3, 2
	w.saveAll()
	again := w.restart(s, time.Second)
	assert.Equal(t, 3, again.engine.Stats().Entities)
	assert.Equal(t, 2, again.engine.Stats().Findings)
}

// What is stored has a bound, whatever there is to store: the findings are, and what else of an entity there is room for.
func TestTheStateIsBounded(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	const entities = 40
	w.pass(11*time.Second, func(second int) {
		for i := range entities {
			e := w.cgroup(fmt.Sprintf("/c%d", i))
			w.observe(e, gauge("heat", 2))
			for kind := range 60 * min(1, second) {
				for range 3 {
					w.observe(e, signal.Signal{Kind: fmt.Sprintf("event%d", kind), Shape: signal.Event, Value: 1, Text: strings.Repeat("x", 1024)})
				}
			}
		}
	})
	w.saveAll()
	size := 0
	for _, b := range w.stored {
		size += len(b)
	}
	assert.LessOrEqual(t, size, 64<<20)
	left := w.engine.Stats().EntitiesUnsaved
	assert.NotZero(t, left)
	again := w.restart(hot(t, ""), time.Second)
	assert.Equal(t, entities, again.engine.Stats().Findings)
	assert.EqualValues(t, entities-left, again.engine.Stats().Entities)
}

// A shard that was spoiled is refused as a whole, and says why; the others are restored.
func TestRestoreOfGarbage(t *testing.T) {
	w := newWorld(t, settings(t))
	for _, path := range []string{"/app", "/other"} {
		w.observe(w.cgroup(path), counter(signal.OOMKill, 0, time.Time{}))
		w.pass(time.Second, func(int) { w.observe(w.cgroup(path), counter(signal.OOMKill, 1, time.Time{})) })
	}
	w.saveAll()
	require.Len(t, w.stored, 2)
	id := correlation.ID("oom-killed", w.cgroup("/app").ID)
	var shard correlation.Shard
	var good []byte
	for at, b := range w.stored {
		if strings.Contains(string(b), id) {
			shard, good = at, b
		}
	}
	tests := []struct {
		name, state, want string
	}{
		{"empty", "", "unexpected end of JSON input"},
		{"cut off", string(good[:len(good)/2]), "unexpected end of JSON input"},
		{"of another version", `{"version":2}`, "its version is 2, want 3"},
		{"not an object", `[]`, "cannot unmarshal array"},
		{"a null finding", `{"version":3,"lives":{"x":null}}`, "lives[x]: is null"},
		{"a finding under another id", strings.Replace(string(good), `"`+id+`":`, `"x":`, 1), "its id is not that of its pattern and entity"},
		{"an unknown stage", strings.Replace(string(good), `"stage":"active"`, `"stage":"asleep"`, 1), `stage is "asleep"`},
		{"stages that contradict each other", strings.Replace(string(good), `"stage":"active"`, `"stage":"resolved"`, 1), `the finding is "active"`},
		{"a finding that nobody could read", strings.Replace(string(good), `"kind":"diagnosis"`, `"kind":"poem"`, 1), `kind is "poem"`},
		{"an entity that is none", `{"version":3,"known":[3]}`, "known[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			again := newWorld(t, settings(t))
			stored := maps.Clone(w.stored)
			stored[shard] = []byte(tt.state)
			bad := again.engine.Restore(start, stored)
			assert.Len(t, bad, 1)
			assert.ErrorContains(t, bad[shard], tt.want)
			assert.Nil(t, again.find("oom-killed", w.cgroup("/app")))
			assert.NotNil(t, again.find("oom-killed", w.cgroup("/other")))
			assert.Equal(t, 1, again.engine.Stats().Entities)
		})
	}
}

// Whatever was stored, the engine goes on, within its bounds, and can be stored again.
func FuzzRestore(f *testing.F) {
	w := newWorld(f, settings(f))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.leak(e, 64*mi, 2*time.Minute)
	w.observe(e, counter(signal.OOMKill, 1, time.Time{}))
	w.look()
	w.saveAll()
	for _, b := range w.stored {
		f.Add(b)
	}
	f.Add([]byte(`{"version":3,"known":[{"entity":{"ID":"x"},"heard":"9999-01-01T00:00:00Z","outlooks":{"memory":{"history":{"step":0,"values":[1]}}}}]}`))
	s := settings(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t, s)
		if len(w.engine.Restore(start, map[correlation.Shard][]byte{0: b})) > 0 {
			return
		}
		e := w.cgroup("/app")
		w.look()
		w.leak(e, 64*mi, 20*time.Second)
		w.observe(e, counter(signal.OOMKill, 5, start))
		for _, f := range w.look() {
			if err := f.Validate(); err != nil {
				t.Error(err)
			}
		}
		w.saveAll()
		for at, b := range w.stored {
			if !json.Valid(b) {
				t.Errorf("saved %s: no JSON", at)
			}
		}
	})
}
