package correlation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// The kernel tells of a kill in every cgroup around it, the outer ones maybe first: of these nobody is told even for a moment. A kill in
// what contains others, and in none of these, is told a second later.
func TestTheOuterOneIsToldFirst(t *testing.T) {
	killed := signal.Signal{Kind: signal.OOMKill, Value: 1}
	w := newWorld(t, settings(t))
	pod, app := w.cgroup("/pod"), w.cgroup("/pod/app")
	w.observe(app, gauge(signal.PIDsUsed, 3))
	w.observe(pod, killed)
	w.look()
	w.now = w.now.Add(10 * time.Millisecond)
	w.observe(app, killed)
	w.look()
	w.pass(time.Minute, nil)
	for _, f := range w.told {
		assert.Equal(t, "pod/app", f.Entity.Name)
	}
	require.NotEmpty(t, w.told)

	w = newWorld(t, settings(t))
	w.observe(app, gauge(signal.PIDsUsed, 3))
	w.observe(pod, killed)
	assert.Empty(t, w.look())
	w.pass(time.Second, nil)
	require.Len(t, w.told, 1)
	assert.Equal(t, "pod", w.told[0].Entity.Name)

	w = newWorld(t, settings(t))
	w.observe(app, killed)
	assert.Len(t, w.look(), 1, "what contains nothing is told at once")
}

// The kernel's own word of a kill, which waited for its owner, comes while the next one is told already: both are those of the inner one.
func TestFoldOfTwoKills(t *testing.T) {
	w := newWorld(t, settings(t))
	node, _ := entity.New(attributes{"host.name": "n1"}, "n1")
	pod, app := w.cgroup("/pod"), w.cgroup("/pod/app")
	w.pass(time.Minute, func(second int) {
		if second == 0 {
			w.observe(node, signal.Signal{Kind: signal.KernelOOMKill, Value: 1, Attributes: map[string]string{"pid": "77", "comm": "java", "scope": "cgroup"}})
		}
		if second == 0 || second == 28 {
			w.observe(app, signal.Signal{Kind: signal.OOMKill, Value: 1})
			w.observe(pod, signal.Signal{Kind: signal.OOMKill, Value: 1})
		}
	})
	require.NotEmpty(t, w.told)
	for _, f := range w.told {
		assert.Equal(t, "pod/app", f.Entity.Name)
	}
}

func TestFold(t *testing.T) {
	tests := []struct {
		name         string
		inner, outer time.Duration // when each counts a kill
		want         []string
	}{
		{"counted by both at once: the inner one is told", 10 * time.Second, 10 * time.Second, []string{"/pod/app"}},
		{"the outer one counts first", 12 * time.Second, 10 * time.Second, []string{"/pod/app"}},
		{"minutes apart they are two", 10 * time.Second, 5 * time.Minute, []string{"/pod", "/pod/app"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, settings(t))
			pod, app := w.cgroup("/pod"), w.cgroup("/pod/app")
			passed := time.Duration(0)
			w.pass(6*time.Minute, func(int) {
				passed += time.Second
				count := func(after time.Duration) float64 {
					if passed >= after {
						return 1
					}
					return 0
				}
				w.observe(pod, counter(signal.OOMKill, count(tt.outer), time.Time{}))
				w.observe(app, counter(signal.OOMKill, count(tt.inner), time.Time{}))
			})
			var got []string
			for _, f := range w.engine.Findings() {
				if f.State == finding.Active {
					got = append(got, "/"+f.Entity.Name)
				}
			}
			assert.ElementsMatch(t, tt.want, got)
		})
	}
}

// A kill that was foreseen says how right that was, and ends the prediction.
func TestConfirm(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.leak(e, 64*mi, 7*time.Minute)
	p := w.find("memory-exhaustion", e)
	require.NotNil(t, p)
	require.Equal(t, finding.Active, p.State)
	w.pass(30*time.Second, func(int) { w.observe(e, counter(signal.OOMKill, 0, time.Time{})) })
	w.now = w.now.Add(time.Second)
	killed := w.now
	w.observe(e, counter(signal.OOMKill, 1, time.Time{}))
	w.pass(2*time.Second, nil)

	p, d := w.find("memory-exhaustion", e), w.find("oom-killed", e)
	require.NotNil(t, d)
	require.NotNil(t, d.Outcome)
	assert.Equal(t, finding.Resolved, p.State)
	assert.Equal(t, []string{d.ID}, p.Effects)
	assert.Equal(t, []string{p.ID}, d.Causes)
	assert.Equal(t, p.ID, d.Outcome.Prediction)
	assert.Equal(t, p.FirstSeen, d.Outcome.MadeAt)
	assert.Equal(t, killed, d.Outcome.ActualAt)
	assert.InDelta(t, d.Outcome.PredictedAt.Sub(killed).Seconds(), d.Outcome.ErrorSeconds, 0.001)
	var first finding.Finding
	for _, f := range w.told {
		if f.ID == p.ID {
			first = f
			break
		}
	}
	assert.Equal(t, first.Forecast.At, d.Outcome.PredictedAt, "it is measured by what was said first")
	assert.Contains(t, d.Explanation, "It was foreseen")
}

// At the limit a workload may live on for a while, and the prediction is withdrawn: when it comes true after all, that is told.
func TestConfirmOfWhatWasWithdrawn(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.leak(e, 64*mi, 7*time.Minute)
	require.Equal(t, finding.Active, w.find("memory-exhaustion", e).State)
	for w.find("memory-exhaustion", e).State == finding.Active {
		w.pass(time.Second, func(int) {
			w.observe(e, gauge(signal.MemoryUsed, 400*mi), gauge(signal.MemoryLimit, 512*mi), counter(signal.OOMKill, 0, time.Time{}))
		})
	}
	require.Less(t, w.now.Sub(start), 10*time.Minute)
	w.pass(time.Second, nil)
	w.observe(e, counter(signal.OOMKill, 1, time.Time{}))
	w.look()
	p, d := w.find("memory-exhaustion", e), w.find("oom-killed", e)
	require.NotNil(t, d.Outcome)
	told := map[string]finding.Finding{}
	for _, f := range w.told {
		told[f.ID] = f
	}
	assert.Equal(t, finding.Resolved, told[p.ID].State)
	assert.Equal(t, []string{d.ID}, told[p.ID].Effects)
	assert.NotEmpty(t, w.engine.Unsaved())
}

// The victim of a machine that is out of memory was not killed for its own limit: a higher one would not help.
func TestAKillByTheMachine(t *testing.T) {
	for scope, want := range map[string]int{"cgroup": 1, "node": 0} {
		w := newWorld(t, settings(t))
		e := w.cgroup("/app")
		w.leak(e, 64*mi, 7*time.Minute)
		w.observe(e, signal.Signal{Kind: signal.KernelOOMKill, Shape: signal.Event, Value: 1, Attributes: map[string]string{"pid": "77", "scope": scope}})
		w.look()
		d := w.find("oom-killed", e)
		require.NotNil(t, d)
		assert.Len(t, d.Remedies, want, scope)
		assert.Equal(t, want == 1, d.Outcome != nil, scope)
	}
}

func TestAKillThatWasNotForeseenSaysNothingOfThat(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.pass(time.Second, nil)
	w.observe(e, counter(signal.OOMKill, 1, time.Time{}))
	w.look()
	d := w.find("oom-killed", e)
	require.NotNil(t, d)
	assert.Nil(t, d.Outcome)
	assert.NotContains(t, d.Explanation, "foreseen")
}

func TestADisabledPredictionConfirmsNothing(t *testing.T) {
	s := settings(t)
	for i, p := range s.Patterns {
		if p.Name == "memory-exhaustion" {
			s.Patterns = append(s.Patterns[:i:i], s.Patterns[i+1:]...)
			break
		}
	}
	w := newWorld(t, s)
	e := w.cgroup("/app")
	w.leak(e, 64*mi, 7*time.Minute)
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.pass(time.Second, nil)
	w.observe(e, counter(signal.OOMKill, 1, time.Time{}))
	w.look()
	assert.NotNil(t, w.find("oom-killed", e))
	assert.Nil(t, w.find("memory-exhaustion", e))
}
