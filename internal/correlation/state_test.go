package correlation_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// restart is kill -9: a new engine with what was stored, a while later.
func (w *world) restart(s correlation.Settings, away time.Duration, parts ...correlation.Part) *world {
	again := newWorld(w.t, s)
	again.now = w.now.Add(away)
	for _, part := range parts {
		b, err := w.engine.Save(part)
		require.NoError(w.t, err)
		require.NoError(w.t, again.engine.Restore(again.now, b))
	}
	return again
}

func TestFindingsOutliveARestart(t *testing.T) {
	for name, parts := range map[string][]correlation.Part{"with all entities": correlation.Parts(), "with the findings alone": {correlation.Findings}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, settings(t))
			leaking, killed := w.cgroup("/leaking"), w.cgroup("/killed")
			w.observe(killed, counter(signal.OOMKill, 0, time.Time{}))
			w.leak(leaking, 64*mi, 7*time.Minute)
			w.observe(killed, counter(signal.OOMKill, 1, time.Time{}))
			w.look()
			require.True(t, w.engine.Unsaved())
			before := map[string]finding.Finding{}
			for _, f := range w.engine.Findings() {
				before[f.ID] = f
			}
			require.Len(t, before, 2)

			again := w.restart(settings(t), 10*time.Second, parts...)
			assert.False(t, w.engine.Unsaved(), "all is saved")
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

// The two parts are stored at different times: the later one must not hide what the other has.
func TestPartsOfDifferentAge(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.pass(time.Second, func(int) { w.observe(e, counter(signal.OOMKill, 1, time.Time{})) })
	older, err := w.engine.Save(correlation.Findings)
	require.NoError(t, err)
	w.pass(time.Minute, func(int) { w.observe(e, counter(signal.OOMKill, 1, time.Time{})) })
	later, err := w.engine.Save(correlation.Entities)
	require.NoError(t, err)
	again := newWorld(t, settings(t))
	again.now = w.now
	require.NoError(t, again.engine.Restore(again.now, later))
	require.NoError(t, again.engine.Restore(again.now, older))
	again.pass(5*time.Minute, func(int) { again.observe(e, counter(signal.OOMKill, 1, again.now)) })
	assert.Equal(t, finding.Active, again.find("oom-killed", e).State, "for ten minutes, as without a restart")
	again.pass(5*time.Minute, nil)
	assert.Equal(t, finding.Resolved, again.find("oom-killed", e).State)
}

func TestAKillWhileNobodyWatchedIsNews(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 2, time.Time{}))
	again := w.restart(settings(t), time.Minute, correlation.Parts()...)
	again.observe(e, counter(signal.OOMKill, 3, again.now.Add(-time.Millisecond)))
	again.look()
	assert.NotNil(t, again.find("oom-killed", e))
}

// When it happened is not known: nothing is said of how right the prediction was.
func TestAForeseenKillWhileNobodyWatched(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.leak(e, 64*mi, 7*time.Minute)
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	read := w.now
	again := w.restart(settings(t), time.Hour, correlation.Parts()...)
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
		return w.restart(settings(t), time.Second, correlation.Parts()...)
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

func TestFindingsOfPatternsThatAreGoneAreLeftOut(t *testing.T) {
	w := newWorld(t, settings(t))
	w.observe(w.cgroup("/app"), counter(signal.OOMKill, 0, time.Time{}))
	w.pass(time.Second, func(int) { w.observe(w.cgroup("/app"), counter(signal.OOMKill, 1, time.Time{})) })
	require.Len(t, w.engine.Findings(), 1)
	again := w.restart(hot(t, ""), time.Second, correlation.Parts()...)
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
	again := w.restart(s, time.Second, correlation.Parts()...)
	assert.Equal(t, 3, again.engine.Stats().Entities)
	assert.Equal(t, 2, again.engine.Stats().Findings)
}

// A state that was spoiled is refused as a whole, says why, and leaves the engine as it was.
func TestRestoreOfGarbage(t *testing.T) {
	w := newWorld(t, settings(t))
	w.observe(w.cgroup("/app"), counter(signal.OOMKill, 0, time.Time{}))
	w.pass(time.Second, func(int) { w.observe(w.cgroup("/app"), counter(signal.OOMKill, 1, time.Time{})) })
	good, err := w.engine.Save(correlation.Findings)
	require.NoError(t, err)
	id := correlation.ID("oom-killed", w.cgroup("/app").ID)
	tests := []struct {
		name, state, want string
	}{
		{"empty", "", "unexpected end of JSON input"},
		{"cut off", string(good[:len(good)/2]), "unexpected end of JSON input"},
		{"of another version", `{"version":1}`, "has version 1, want 2"},
		{"not an object", `[]`, "cannot unmarshal array"},
		{"a null finding", `{"version":2,"lives":{"x":null}}`, "lives[x]: is null"},
		{"a finding under another id", strings.Replace(string(good), `"`+id+`":`, `"x":`, 1), "its id is not that of its pattern and entity"},
		{"an unknown stage", strings.Replace(string(good), `"stage":"active"`, `"stage":"asleep"`, 1), `stage is "asleep"`},
		{"stages that contradict each other", strings.Replace(string(good), `"stage":"active"`, `"stage":"resolved"`, 1), `the finding is "active"`},
		{"a finding that nobody could read", strings.Replace(string(good), `"kind":"diagnosis"`, `"kind":"poem"`, 1), `kind is "poem"`},
		{"an entity that is none", `{"version":2,"known":[3]}`, "known[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			again := newWorld(t, settings(t))
			assert.ErrorContains(t, again.engine.Restore(start, []byte(tt.state)), tt.want)
			assert.Empty(t, again.engine.Findings())
			assert.Zero(t, again.engine.Stats().Entities)
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
	for _, part := range correlation.Parts() {
		b, err := w.engine.Save(part)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"version":2,"known":[{"entity":{"ID":"x"},"heard":"9999-01-01T00:00:00Z","outlooks":{"memory":{"history":{"step":0,"values":[1]}}}}]}`))
	s := settings(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t, s)
		if w.engine.Restore(start, b) != nil {
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
		for _, part := range correlation.Parts() {
			b, err := w.engine.Save(part)
			if err != nil || !json.Valid(b) {
				t.Errorf("save %s: %v", part, err)
			}
		}
	})
}
