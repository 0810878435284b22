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

// replica is a container of one Deployment.
func (w *world) replica(id string) entity.Entity {
	e, ok := entity.New(attributes{"container.id": id, "k8s.pod.uid": "uid-" + id, "k8s.pod.name": "api-" + id, "k8s.namespace.name": "shop",
		"k8s.container.name": "api", "k8s.deployment.name": "api", "cgroup.path": "/kubepods/" + id}, w.machine)
	require.True(w.t, ok)
	return e
}

// grow is a life that grows by 1 MiB a second up to a level (MiB) of 512, stays there for a while, and ends.
func (w *world) grow(e entity.Entity, level float64, stay time.Duration) {
	w.pass(time.Duration(level)*time.Second+stay, func(i int) {
		if i%2 == 0 {
			w.observe(e, gauge(signal.MemoryUsed, min(float64(i), level)*mi), gauge(signal.MemoryLimit, 512*mi))
		}
	})
}

func (w *world) gone(e entity.Entity) {
	w.observe(e, signal.Signal{Kind: signal.Removed, Shape: signal.Event, Value: 1})
}

// foreseen is how long before its kill (at 512 s) a life that grows by 1 MiB a second is predicted; 0: not at all.
func (w *world) foreseen(e entity.Entity) time.Duration {
	begin := w.now
	for i := range 511 {
		w.pass(time.Second, func(int) {
			w.observe(e, gauge(signal.MemoryUsed, float64(i)*mi), gauge(signal.MemoryLimit, 512*mi))
		})
		if f := w.find("memory-exhaustion", e); f != nil && f.State == finding.Active {
			return begin.Add(512 * time.Second).Sub(w.now)
		}
	}
	return 0
}

// What earlier lives and other replicas did decides how early growth is believed: those that were killed make it sooner,
// those that grew as far and stayed there make it later.
func TestThePastOfAWorkload(t *testing.T) {
	lives := map[string]func(w *world){
		"none": func(*world) {},
		"stayed": func(w *world) {
			for _, id := range []string{"a1", "a2", "a3"} {
				w.grow(w.replica(id), 480, time.Minute)
				w.gone(w.replica(id))
			}
		},
		"killed": func(w *world) {
			for _, id := range []string{"a1", "a2", "a3"} {
				w.grow(w.replica(id), 510, 0)
				w.observe(w.replica(id), signal.Signal{Kind: signal.OOMKill, Shape: signal.Event, Value: 1})
				w.look()
				w.gone(w.replica(id))
			}
		},
		// It is the machine that was out of memory; this one's limit was far.
		"killed by the machine": func(w *world) {
			for _, id := range []string{"a1", "a2", "a3"} {
				w.grow(w.replica(id), 480, time.Minute)
				w.observe(w.replica(id), signal.Signal{Kind: signal.KernelOOMKill, Shape: signal.Event, Value: 1, Attributes: map[string]string{"scope": "node"}},
					signal.Signal{Kind: signal.OOMKill, Shape: signal.Event, Value: 1})
				w.look()
				w.gone(w.replica(id))
			}
		},
		// The container is gone before anybody looked at the kill.
		"killed and gone at once": func(w *world) {
			for _, id := range []string{"a1", "a2", "a3"} {
				w.grow(w.replica(id), 510, 0)
				w.observe(w.replica(id), signal.Signal{Kind: signal.OOMKill, Shape: signal.Event, Value: 1}, signal.Signal{Kind: signal.Removed, Shape: signal.Event, Value: 1})
				w.look()
			}
		},
	}
	leads := map[string]time.Duration{}
	for name, live := range lives {
		w := newWorld(t, settings(t))
		live(w)
		leads[name] = w.foreseen(w.replica("b1"))
		t.Logf("%s: foreseen %s before", name, leads[name])

		// It outlives a restart of the engine.
		w.saveAll()
		again := w.restart(settings(t), time.Minute)
		assert.InDelta(t, leads[name].Seconds(), again.foreseen(again.replica("b2")).Seconds(), 30, name)
	}
	assert.Greater(t, leads["killed"], leads["none"]+30*time.Second)
	assert.InDelta(t, leads["killed"].Seconds(), leads["killed and gone at once"].Seconds(), 5)
	assert.InDelta(t, leads["stayed"].Seconds(), leads["killed by the machine"].Seconds(), 5)
	assert.Less(t, leads["stayed"], leads["none"]-20*time.Second)
}
