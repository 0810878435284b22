package correlation_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// Who holds the memory is asked before people are told of a prediction: the answer takes its time. It is asked of the inner of two
// cgroups, and not of what is at rest or gone.
func TestQuestionsAboutMemory(t *testing.T) {
	w := newWorld(t, settings(t))
	outer, inner, calm := w.cgroup("/app"), w.cgroup("/app/worker"), w.cgroup("/calm")
	asked := 0
	for i := 0; w.find("memory-exhaustion", inner) == nil; i++ {
		require.Less(t, i, 512, "it was never foreseen")
		w.pass(time.Second, func(int) {
			used, limit := gauge(signal.MemoryUsed, float64(i)*mi), gauge(signal.MemoryLimit, 512*mi)
			w.observe(outer, used, limit)
			w.observe(inner, used, limit)
			w.observe(calm, gauge(signal.MemoryUsed, 500*mi), limit)
		})
		if questions := w.engine.Questions(); len(questions) > 0 {
			asked++
			require.Len(t, questions, 1)
			require.Equal(t, inner, questions[0].Entity)
			require.Equal(t, attribution.Memory, questions[0].Kind)
			assert.True(t, questions[0].Before.After(w.now))
		}
	}
	assert.Greater(t, asked, 10, "seconds before it was told")
	w.gone(inner)
	w.gone(outer)
	assert.Empty(t, w.engine.Questions())
}

// Whose calls fail is asked of what is at its limit, also where that is nobody's own.
func TestQuestionsAboutErrors(t *testing.T) {
	w := newWorld(t, settings(t))
	app, calm := w.cgroup("/app"), w.cgroup("/calm")
	disk, ok := entity.New(attributes{"system.filesystem.mountpoint": "/data"}, w.machine)
	require.True(t, ok)
	claim, ok := entity.New(attributes{"k8s.persistentvolumeclaim.name": "data", "k8s.namespace.name": "shop"}, w.machine)
	require.True(t, ok)
	full := func(hits float64) {
		w.pass(time.Second, func(int) {
			w.observe(app, gauge(signal.PIDsUsed, 100), gauge(signal.PIDsLimit, 100), counter(signal.PIDsLimitHits, hits, w.now.Add(-time.Hour)))
			w.observe(calm, gauge(signal.PIDsUsed, 100), gauge(signal.PIDsLimit, 100))
			for _, e := range []entity.Entity{disk, claim} {
				w.observe(e, gauge(signal.FilesystemUsed, 60*mi), gauge(signal.FilesystemLimit, 60*mi))
			}
		})
	}
	full(0)
	full(3)
	require.NotNil(t, w.find("filesystem-full", claim), "of a volume nobody knows where it is mounted, so that it cannot be asked about")
	asked := map[entity.ID]attribution.Kind{}
	for _, q := range w.engine.Questions() {
		assert.Zero(t, q.Before)
		asked[q.Entity.ID] = q.Kind
	}
	assert.Equal(t, map[entity.ID]attribution.Kind{app.ID: attribution.Errors, disk.ID: attribution.Errors}, asked)
	named, ok := w.engine.Named("/data", "")
	assert.True(t, ok)
	assert.Equal(t, disk, named)
	_, ok = w.engine.Named("data", "shop")
	assert.False(t, ok)
	api, ok := entity.New(attributes{"container.id": "c1", "k8s.container.name": "app", "k8s.pod.name": "api-1", "k8s.pod.uid": "u1", "k8s.namespace.name": "shop",
		"k8s.deployment.name": "api", "cgroup.path": "/kubepods/c1"}, w.machine)
	require.True(t, ok)
	w.observe(api, gauge(signal.PIDsUsed, 1))
	for _, name := range []string{"api", "api-1", "app", "api-1/app", "pod/api-1", "deploy/api", "deployments.apps/api"} { // as `tapio check` takes it
		named, ok = w.engine.Named(name, "shop")
		assert.True(t, ok, name)
		assert.Equal(t, "api-1", named.Name, name)
	}
	_, ok = w.engine.Named("sts/api", "shop")
	assert.False(t, ok)

	node, ok := entity.New(attributes{"host.name": w.machine}, w.machine)
	require.True(t, ok)
	w.observe(node, signal.Signal{Kind: "files.limit_reached", Value: 1, Text: "all files are open"})
	w.look()
	assert.True(t, slices.ContainsFunc(w.engine.Questions(), func(q correlation.Question) bool { return q.Entity.ID == node.ID && q.Kind == attribution.Errors }))
}
