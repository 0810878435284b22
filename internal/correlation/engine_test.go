package correlation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const mi = 1 << 20

// world is an engine, a clock, and what people were told.
type world struct {
	t       testing.TB
	engine  *correlation.Engine
	now     time.Time
	told    []finding.Finding
	machine string
	stored  map[correlation.Shard][]byte
}

func settings(t testing.TB) correlation.Settings {
	all, err := pattern.Builtin()
	require.NoError(t, err)
	return correlation.Settings{Patterns: all, MaxEntities: 1000, MaxFindings: 1000, EntityTTL: 10 * time.Minute,
		Retention: time.Hour, Refresh: 30 * time.Second}
}

func newWorld(t testing.TB, s correlation.Settings) *world {
	e, err := correlation.New(s)
	require.NoError(t, err)
	return &world{t: t, engine: e, now: start, machine: "n1", stored: map[correlation.Shard][]byte{}}
}

// hot is a pattern that holds while a reading is above 1: it makes lives easy to lead.
func hot(t testing.TB, more string) correlation.Settings {
	p, err := pattern.Parse([]byte(`
name: hot
summary: It is hot.
kind: diagnosis
for: 10s
keep: 20s
signals:
  - {id: heat, role: trigger, any: [heat], when: value > 1.0, weight: 0.5, text: it is hot}
severity:
  - {is: critical, when: 'r["heat"] > 10.0'}
  - {is: warning}
title: '{{.Entity.Display}} is hot'
explanation: The heat is {{number (.Reading "heat")}}.
` + more))
	require.NoError(t, err)
	s := settings(t)
	s.Patterns = []*pattern.Pattern{p}
	return s
}

type attributes map[string]string

func (a attributes) String(name string) string { return a[name] }

func (w *world) cgroup(path string) entity.Entity {
	e, ok := entity.New(attributes{"cgroup.path": path, "cgroup.version": "2"}, w.machine)
	require.True(w.t, ok)
	return e
}

func (w *world) observe(e entity.Entity, signals ...signal.Signal) {
	for i := range signals {
		if signals[i].Time.IsZero() {
			signals[i].Time = w.now
		}
		signals[i].Entity, signals[i].Layer = e.ID, finding.LayerCgroup
	}
	w.engine.Observe(w.now, signal.Batch{Entity: e, Signals: signals})
}

func gauge(kind string, v float64) signal.Signal {
	return signal.Signal{Kind: kind, Shape: signal.Gauge, Value: v}
}

func counter(kind string, v float64, since time.Time) signal.Signal {
	return signal.Signal{Kind: kind, Shape: signal.Counter, Value: v, Start: since}
}

// look is one second of the engine's life; it returns what people are told in it.
func (w *world) look() []finding.Finding {
	told := w.engine.Evaluate(w.now)
	w.told = append(w.told, told...)
	return told
}

// pass lets time pass, doing something in every second of it.
func (w *world) pass(d time.Duration, each func(second int)) {
	for i := range int(d / time.Second) {
		w.now = w.now.Add(time.Second)
		if each != nil {
			each(i)
		}
		w.look()
	}
}

// leak lets an entity's memory grow by 1 MiB a second, read every 2 s.
func (w *world) leak(e entity.Entity, from float64, d time.Duration) {
	w.pass(d, func(i int) {
		if i%2 == 0 {
			w.observe(e, gauge(signal.MemoryUsed, from+float64(i)*mi), gauge(signal.MemoryLimit, 512*mi))
		}
	})
}

func (w *world) find(pattern string, e entity.Entity) *finding.Finding {
	for _, f := range w.engine.Findings() {
		if f.ID == correlation.ID(pattern, e.ID) {
			return &f
		}
	}
	return nil
}

// history is what people were told of a finding: its states and severities, in order, without repetition.
func (w *world) history() string {
	var course []string
	for _, f := range w.told {
		s := fmt.Sprintf("%s %s", f.State, f.Severity)
		if len(course) == 0 || course[len(course)-1] != s {
			course = append(course, s)
		}
	}
	return strings.Join(course, ", ")
}

// The life of a finding: the heat second by second, and what people are told. It takes 10 s until it is told, and 20 s until
// it is taken back.
func TestLife(t *testing.T) {
	const on, very, off = 2, 20, 0
	type span struct {
		heat float64
		d    time.Duration
	}
	tests := []struct {
		name   string
		course []span
		want   string
	}{
		{"nothing", []span{{off, time.Minute}}, ""},
		{"too short to be told", []span{{on, 9 * time.Second}, {off, time.Minute}}, ""},
		{"it is told, and taken back", []span{{on, 15 * time.Second}, {off, 30 * time.Second}}, "active warning, resolved warning"},
		{"a short lull is not told", []span{{on, 15 * time.Second}, {off, 15 * time.Second}, {on, 15 * time.Second}}, "active warning"},
		{"it gets worse", []span{{on, 15 * time.Second}, {very, 5 * time.Second}}, "active warning, active critical"},
		{"it comes back", []span{{on, 15 * time.Second}, {off, 30 * time.Second}, {on, 15 * time.Second}}, "active warning, resolved warning, active warning"},
		{"every second on and off, before it is told", []span{{on, 1e9}, {off, 1e9}, {on, 1e9}, {off, 1e9}, {on, 1e9}, {off, 1e9}, {on, 1e9},
			{off, 1e9}, {on, 1e9}, {off, 1e9}, {on, 1e9}, {off, 1e9}, {on, 1e9}, {off, 1e9}, {on, 1e9}, {off, 1e9}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, hot(t, ""))
			e := w.cgroup("/app")
			for _, s := range tt.course {
				w.pass(s.d, func(int) { w.observe(e, gauge("heat", s.heat)) })
			}
			assert.Equal(t, tt.want, w.history())
		})
	}
}

func TestAnOscillatingSignalDoesNotFlap(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	e := w.cgroup("/app")
	w.pass(15*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
	w.pass(10*time.Minute, func(i int) { w.observe(e, gauge("heat", float64(2*(i%2)))) })
	assert.Equal(t, "active warning", w.history())
	assert.LessOrEqual(t, len(w.told), 2+10*60/30, "and is told again as often as it is refreshed, not more")
}

func TestAFindingIsToldWhenSomethingAboutItChanged(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	e := w.cgroup("/app")
	w.pass(12*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
	require.Len(t, w.told, 1)
	first := w.told[0]
	assert.Equal(t, "app is hot", first.Title)
	assert.Equal(t, correlation.ID("hot", e.ID), first.ID)
	assert.Equal(t, "Cgroup", first.Entity.Kind)
	w.pass(28*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
	assert.Len(t, w.told, 1, "nothing changed")
	w.pass(5*time.Second, func(int) { w.observe(e, gauge("heat", 2)) })
	require.Len(t, w.told, 2, "half a minute is over")
	assert.Equal(t, first.FirstSeen, w.told[1].FirstSeen)
	assert.True(t, w.told[1].LastSeen.After(first.LastSeen))
}

func TestAnUnwatchedEntityEndsItsFindings(t *testing.T) {
	w := newWorld(t, hot(t, ""))
	w.pass(15*time.Second, func(int) { w.observe(w.cgroup("/app"), gauge("heat", 2)) })
	w.pass(12*time.Minute, nil)
	assert.Equal(t, "active warning, resolved warning", w.history(), "a reading counts while it is fresh")
	assert.Zero(t, w.engine.Stats().Entities, "and its entity is forgotten in time")
	w.pass(time.Hour, nil)
	assert.Zero(t, w.engine.Stats().Findings, "and so is the finding")
}

// A prediction's title says how long there is. It is told again before that is off by more than a twentieth and a second.
func TestAServedPredictionIsNotStale(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	var served *finding.Finding
	var servedAt time.Time
	tellings := 0
	w.pass(440*time.Second, func(i int) {
		if i%2 == 0 {
			w.observe(e, gauge(signal.MemoryUsed, float64(64+i)*mi), gauge(signal.MemoryLimit, 512*mi))
		}
		for _, f := range w.look() {
			served, servedAt = &f, w.now
			tellings++
		}
		if served == nil {
			return
		}
		now := w.find("memory-exhaustion", e)
		said, left := served.Forecast.At.Sub(servedAt), now.Forecast.At.Sub(w.now)
		require.LessOrEqual(t, (said - left).Abs(), max(left/20, 0)+time.Second, "at %s: %q was served, but %s are left", w.now.Sub(start), served.Title, left)
	})
	require.NotNil(t, served)
	assert.Less(t, tellings, 200, "though it is told much less often than every second")
}

func TestPredictionsOfWhatIsGoneAreWithdrawn(t *testing.T) {
	for name, end := range map[string]func(*world, entity.Entity){
		"it is removed": func(w *world, e entity.Entity) {
			w.observe(e, signal.Signal{Kind: signal.Removed, Shape: signal.Event, Value: 1})
		},
		"nothing is heard": func(w *world, e entity.Entity) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, settings(t))
			e := w.cgroup("/app")
			w.leak(e, 64*mi, 7*time.Minute)
			require.Equal(t, finding.Active, w.find("memory-exhaustion", e).State)
			end(w, e)
			w.pass(3*time.Minute, nil)
			assert.Equal(t, finding.Resolved, w.find("memory-exhaustion", e).State)
		})
	}
}

// Where there is no limit any more none is told, as after `systemctl set-property app.service MemoryMax=infinity`: nothing ends at the one
// that there was. One that is set again is another one.
func TestALimitThatIsTakenAway(t *testing.T) {
	grows := func(w *world, e entity.Entity, from float64, d time.Duration) {
		w.pass(d, func(i int) {
			if i%2 == 0 {
				w.observe(e, gauge(signal.MemoryUsed, from+float64(i)*mi))
			}
		})
	}
	t.Run("while it is watched", func(t *testing.T) {
		w := newWorld(t, settings(t))
		e := w.cgroup("/app")
		w.leak(e, 64*mi, 7*time.Minute)
		require.Equal(t, finding.Active, w.find("memory-exhaustion", e).State)
		grows(w, e, 484*mi, 3*time.Minute)
		require.Equal(t, finding.Resolved, w.find("memory-exhaustion", e).State)
		assert.Empty(t, w.engine.Status(w.now).Watched)
		w.observe(e, counter(signal.OOMKill, 0, time.Time{}))
		w.pass(time.Second, func(int) { w.observe(e, counter(signal.OOMKill, 1, time.Time{})) })
		assert.NotContains(t, w.find("oom-killed", e).Explanation, "512 MiB", "it is the limit of another one")
		w.pass(4*time.Minute, func(i int) {
			w.observe(e, gauge(signal.MemoryUsed, float64(664+i)*mi), gauge(signal.MemoryLimit, 1024*mi))
		})
		assert.Equal(t, finding.Active, w.find("memory-exhaustion", e).State)
	})
	t.Run("while nobody watches", func(t *testing.T) {
		w := newWorld(t, settings(t))
		e := w.cgroup("/app")
		w.leak(e, 64*mi, 7*time.Minute)
		w.saveAll()
		again := w.restart(settings(t), 5*time.Minute)
		grows(again, e, 480*mi, 4*time.Minute)
		assert.Equal(t, finding.Resolved, again.find("memory-exhaustion", e).State)
		assert.Empty(t, again.engine.Status(again.now).Watched)
	})
	t.Run("one that is told more rarely than what is in use counts", func(t *testing.T) {
		w := newWorld(t, settings(t))
		e := w.cgroup("/app")
		w.pass(7*time.Minute, func(i int) {
			if i%60 == 0 {
				w.observe(e, gauge(signal.MemoryLimit, 512*mi))
			}
			w.observe(e, gauge(signal.MemoryUsed, float64(64+i)*mi))
		})
		assert.Equal(t, finding.Active, w.find("memory-exhaustion", e).State)
	})
}

func TestStatus(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	layer := func() finding.Coverage {
		st := w.engine.Status(w.now)
		for _, c := range st.Coverage {
			if c.Layer == finding.LayerCgroup {
				return c
			}
		}
		t.Fatal("no such layer")
		return finding.Coverage{}
	}
	assert.Equal(t, finding.CoverageAbsent, layer().State)
	w.leak(e, 64*mi, 4*time.Second)
	assert.Equal(t, finding.CoverageOK, layer().State)
	st := w.engine.Status(w.now)
	assert.Equal(t, map[string]int{"Cgroup": 1}, st.Watched)
	require.Len(t, st.Learning, 1)
	assert.Equal(t, 2, st.Learning[0].Samples)
	assert.Equal(t, "memory", st.Learning[0].Resource)
	w.pass(2*time.Minute, nil)
	c := layer()
	assert.Equal(t, finding.CoverageDegraded, c.State)
	assert.Contains(t, c.Reason, "nothing received from the cgroup receiver since 00:00:03")
	for i := range 30 {
		w.leak(w.cgroup(fmt.Sprint("/", i)), mi, 2*time.Second)
	}
	st = w.engine.Status(w.now)
	assert.Len(t, st.Learning, 20, "some are named")
	assert.Equal(t, 31, st.LearningTotal, "all are counted")
}

// What was killed and is gone is still somebody's trouble: it is watched for as long as that is told, and then no more.
func TestWhatIsGoneButToldCounts(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	w.leak(e, 64*mi, 4*time.Second)
	w.observe(e, signal.Signal{Kind: signal.OOMKill, Shape: signal.Event, Value: 1}, signal.Signal{Kind: signal.Removed, Shape: signal.Event, Value: 1})
	w.look()
	require.NotNil(t, w.find("oom-killed", e))
	assert.Equal(t, map[string]int{"Cgroup": 1}, w.engine.Status(w.now).Watched)
	w.pass(15*time.Minute, nil)
	assert.Empty(t, w.engine.Status(w.now).Watched)
}

// Nothing is heard of what is gone: what was found about it stays for as long as it holds, and what is heard late joins it at once.
func TestWhatIsGoneStays(t *testing.T) {
	w := newWorld(t, settings(t))
	e := w.cgroup("/app")
	killed := signal.Signal{Kind: signal.OOMKill, Shape: signal.Event, Value: 1}
	w.observe(e, killed, signal.Signal{Kind: signal.Removed, Shape: signal.Event, Value: 1})
	w.look()
	w.pass(9*time.Minute+50*time.Second, func(second int) {
		require.Equal(t, finding.Active, w.find("oom-killed", e).State, "after %d s", second)
	})
	late := killed
	late.Kind, late.Time = signal.KernelOOMKill, w.now.Add(-5*time.Minute)
	w.observe(e, late)
	w.look()
	assert.Len(t, w.find("oom-killed", e).Evidence, 2)
	w.pass(5*time.Minute, nil)
	assert.Equal(t, finding.Active, w.find("oom-killed", e).State, "the kernel told it 10 minutes ago")
	w.pass(2*time.Minute, nil)
	assert.Equal(t, finding.Resolved, w.find("oom-killed", e).State)
}

func TestSettings(t *testing.T) {
	for name, spoil := range map[string]func(*correlation.Settings){
		"patterns":    func(s *correlation.Settings) { s.Patterns = nil },
		"MaxEntities": func(s *correlation.Settings) { s.MaxEntities = 0 },
		"MaxFindings": func(s *correlation.Settings) { s.MaxFindings = 0 },
		"EntityTTL":   func(s *correlation.Settings) { s.EntityTTL = 0 },
		"Retention":   func(s *correlation.Settings) { s.Retention = -1 },
		"Refresh":     func(s *correlation.Settings) { s.Refresh = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			spoil(&s)
			_, err := correlation.New(s)
			assert.ErrorContains(t, err, "every setting must be positive")
		})
	}
}

func TestCheck(t *testing.T) {
	s := settings(t)
	require.NoError(t, correlation.Check(s.Patterns))
	lonely := hot(t, "confirms: memory-leak\n").Patterns
	assert.ErrorContains(t, correlation.Check(lonely), `pattern hot: confirms is "memory-leak", want the name of a pattern of kind prediction`)
}
