package correlation_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

func TestACounterOfTheWorldBeforeUsIsNoNews(t *testing.T) {
	w := newWorld(t, settings(t))
	before := start.Add(-time.Second) // the scrape began a moment before its result arrived
	old := w.cgroup("/old")
	w.observe(old, counter(signal.OOMKill, 5, before))
	w.look()
	assert.Nil(t, w.find("oom-killed", old), "kills from before the start are no news, though the receiver cannot know them as such")

	w.pass(time.Minute, nil)
	young := w.cgroup("/young")
	w.observe(young, counter(signal.OOMKill, 1, w.now.Add(-time.Second)))
	w.look()
	assert.NotNil(t, w.find("oom-killed", young), "a cgroup that began later and was killed in before its first scrape is")

	w.pass(time.Minute, nil)
	w.observe(old, counter(signal.OOMKill, 5, w.now.Add(-time.Second)))
	w.look()
	assert.Nil(t, w.find("oom-killed", old), "a receiver that was restarted names a later start")
	w.observe(old, signal.Signal{Kind: signal.OOMKill, Shape: signal.Counter, Value: 6, Time: w.now.Add(time.Second)})
	w.look()
	assert.NotNil(t, w.find("oom-killed", old))
}

func TestASourceThatBeginsLaterBringsNoOldNews(t *testing.T) {
	w := newWorld(t, settings(t))
	w.observe(w.cgroup("/app"), gauge(signal.MemoryUsed, 1))
	w.pass(time.Minute, nil)
	w.machine = "n2"
	other := w.cgroup("/old")
	w.observe(other, counter(signal.OOMKill, 5, w.now.Add(-time.Millisecond)))
	w.look()
	assert.Nil(t, w.find("oom-killed", other))
}

func TestAForgottenEntityBringsNoOldNews(t *testing.T) {
	s := settings(t)
	s.MaxEntities = 2
	w := newWorld(t, s)
	w.observe(w.cgroup("/first"), counter(signal.OOMKill, 0, start))
	w.pass(time.Minute, nil)
	began := w.now
	app := w.cgroup("/app")
	w.pass(time.Second, nil)
	w.observe(app, counter(signal.OOMKill, 1, began))
	w.look()
	require.NotNil(t, w.find("oom-killed", app))
	w.pass(time.Second, nil)
	for _, other := range []string{"/a", "/b"} {
		w.observe(w.cgroup(other), counter(signal.OOMKill, 0, w.now))
	}
	assert.EqualValues(t, 2, w.engine.Stats().EntitiesEvicted)
	w.pass(2*time.Hour, nil)
	require.Nil(t, w.find("oom-killed", app))
	w.observe(app, counter(signal.OOMKill, 1, began))
	w.look()
	assert.Nil(t, w.find("oom-killed", app), "it was told, and forgotten since")
}

func TestBounds(t *testing.T) {
	s := hot(t, "")
	s.MaxEntities, s.MaxFindings = 10, 5
	w := newWorld(t, s)
	w.pass(15*time.Second, func(int) {
		for i := range 20 {
			w.observe(w.cgroup(fmt.Sprint("/", i)), gauge("heat", 2))
		}
	})
	stats := w.engine.Stats()
	assert.Equal(t, 10, stats.Entities)
	assert.Positive(t, stats.EntitiesEvicted)
	assert.Equal(t, 5, stats.Findings)
	assert.Positive(t, stats.FindingsRefused)
	assert.LessOrEqual(t, len(w.engine.Findings()), 5)
}

func TestAResolvedFindingMakesRoomForANewOne(t *testing.T) {
	s := hot(t, "")
	s.MaxFindings = 1
	w := newWorld(t, s)
	a, b := w.cgroup("/a"), w.cgroup("/b")
	w.pass(15*time.Second, func(int) { w.observe(a, gauge("heat", 2)) })
	w.pass(30*time.Second, func(int) { w.observe(a, gauge("heat", 0)) })
	require.NotNil(t, w.find("hot", a))
	w.pass(15*time.Second, func(int) { w.observe(b, gauge("heat", 2)) })
	assert.NotNil(t, w.find("hot", b))
	assert.Nil(t, w.find("hot", a))
}

// At the bound what is worse counts: it takes the place of what is less bad, whose end is told, and which does not come and go with it.
func TestAWorseFindingTakesThePlaceOfALesserOne(t *testing.T) {
	s := hot(t, "")
	s.MaxFindings = 2
	w := newWorld(t, s)
	const warm, glowing = 2, 20
	heat := map[string]float64{"/a": warm, "/b": warm}
	pass := func(d time.Duration) (course string) {
		w.told = nil
		w.pass(d, func(int) {
			for path, v := range heat {
				w.observe(w.cgroup(path), gauge("heat", v))
			}
		})
		return w.history()
	}
	require.Equal(t, "active warning", pass(15*time.Second))
	heat["/c"] = glowing
	assert.Equal(t, "resolved warning, active critical", pass(15*time.Second))
	assert.Len(t, w.engine.Findings(), 2)
	assert.NotContains(t, pass(5*time.Minute), "resolved")
	heat["/d"], heat["/e"] = glowing, glowing
	pass(15 * time.Second)
	for _, f := range w.engine.Findings() {
		assert.Equal(t, finding.Critical, f.Severity)
	}
	assert.Equal(t, "active critical", pass(5*time.Minute), "of those that are equally bad the first stay")
	assert.Positive(t, w.engine.Stats().FindingsRefused)
	heat["/c"], heat["/d"], heat["/e"] = 0, 0, 0
	pass(time.Minute)
	for _, path := range []string{"/a", "/b"} {
		f := w.find("hot", w.cgroup(path))
		require.NotNil(t, f, "when the worse ones are over, they are told again")
		assert.Equal(t, finding.Active, f.State)
	}
}

func TestTheClockIsSetBack(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
	w.leak(e, 64*mi, 7*time.Minute)
	w.now = start.Add(-24 * time.Hour)
	w.pass(time.Second, func(int) { w.observe(e, counter(signal.OOMKill, 0, time.Time{})) })
	assert.Nil(t, w.find("oom-killed", e))
	w.leak(e, 64*mi, 7*time.Minute)
	f := w.find("memory-exhaustion", e)
	require.NotNil(t, f)
	assert.Equal(t, finding.Active, f.State, "a day is not waited for")
	assert.True(t, f.Forecast.At.Before(start))
	w.observe(e, counter(signal.OOMKill, 1, time.Time{}))
	w.pass(time.Second, nil)
	assert.NotNil(t, w.find("oom-killed", e))
}

// What began before the clock was set back did not begin in the future.
func TestNothingBeginsInTheFuture(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	e := w.cgroup("/app")
	heat := func(int) { w.observe(e, gauge("heat", 2)) }
	w.pass(15*time.Second, heat)
	w.now = w.now.Add(-time.Hour)
	w.pass(40*time.Second, heat)
	f := w.told[len(w.told)-1]
	assert.Equal(t, finding.Active, f.State)
	assert.False(t, f.FirstSeen.After(f.LastSeen), "%s, %s", f.FirstSeen, f.LastSeen)
}

// A clock that is set back goes on by its monotonic reading: a time that kept that would never be seen to lie behind another.
func TestTheWallClockCounts(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	w.now = time.Now()
	e := w.cgroup("/app")
	w.pass(15*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
	f := w.find("hot", e)
	require.NotNil(t, f)
	for _, at := range []time.Time{f.FirstSeen, f.LastSeen, f.Evidence[0].Time, w.engine.Status(w.now).Time} {
		assert.NotContains(t, at.String(), "m=")
	}
}

// What waits for its owner when the clock is set back is told all the same.
func TestTheClockIsSetBackWhileAKillWaits(t *testing.T) {
	w := newWorld(t, settings(t))
	n, ok := entity.New(attributes{"host.name": "n1"}, w.machine)
	require.True(t, ok)
	w.observe(n, signal.Signal{Kind: signal.KernelOOMKill, Shape: signal.Event, Value: 1, Attributes: map[string]string{"pid": "77", "comm": "java"}})
	w.now = w.now.Add(-time.Hour)
	w.pass(time.Minute, nil)
	assert.NotNil(t, w.find("process-oom-killed", n))
}

func TestASignalOfAWrongClockIsDropped(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	e := w.cgroup("/app")
	s := gauge("heat", 0)
	s.Time = w.now.Add(24 * 365 * time.Hour)
	w.observe(e, s)
	assert.EqualValues(t, 1, w.engine.Stats().SignalsDropped)
	w.pass(15*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
	assert.NotNil(t, w.find("hot", e), "and keeps nothing out that follows")
}

// What is no number, or more than there can be of anything, says nothing: JSON has no form for it or for sums of it, and one finding that
// cannot be written would keep those beside it from being stored as well.
func TestWhatIsNoAmountIsDropped(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	e := w.cgroup("/app")
	absurd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64}
	w.pass(15*time.Second, func(int) {
		for _, v := range absurd {
			w.observe(e, gauge("heat", v), signal.Signal{Kind: "heat", Shape: signal.Event, Value: v})
		}
	})
	assert.EqualValues(t, 15*2*len(absurd), w.engine.Stats().SignalsDropped)
	assert.Empty(t, w.engine.Findings())
	w.saveAll()
	w.pass(15*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
	assert.NotNil(t, w.find("hot", e))
}

// One container, known to one source by its id and to the other by its pod.
func TestOneContainerOfTwoSources(t *testing.T) {
	w := newWorld(t, settings(t))
	byName, _ := entity.New(attributes{"k8s.pod.uid": "u1", "k8s.pod.name": "api-1", "k8s.namespace.name": "shop", "k8s.container.name": "api"}, "n1")
	whole, _ := entity.New(attributes{"container.id": "c1", "k8s.pod.uid": "u1", "k8s.pod.name": "api-1", "k8s.namespace.name": "shop", "k8s.container.name": "api"}, "n1")
	byID, _ := entity.New(attributes{"container.id": "c1", "cgroup.path": "/kubepods/c1", "k8s.pod.uid": "u1"}, "n1")
	w.observe(byName, gauge(signal.MemoryUsed, 60*mi))
	w.pass(7*time.Minute, func(i int) {
		if i%60 == 0 {
			w.observe(whole, gauge(signal.MemoryLimit, 512*mi))
		}
		w.observe(byName, gauge(signal.MemoryUsed, float64(64+i)*mi))
		w.observe(byID, counter(signal.OOMKill, 0, time.Time{}))
	})
	assert.Equal(t, 1, w.engine.Stats().Entities)
	f := w.find("memory-exhaustion", whole)
	require.NotNil(t, f)
	assert.Equal(t, "api", f.Entity.Container)
	assert.Equal(t, "api-1", f.Entity.Name)
}
