package correlation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/signal"
)

// Who holds the memory is asked before people are told of a prediction: the answer takes its time. It is asked of the inner of two
// cgroups, and not of what is at rest or gone.
func TestGrowing(t *testing.T) {
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
		growing := w.engine.Growing()
		if len(growing) > 0 {
			asked++
			require.Len(t, growing, 1)
			require.Equal(t, inner, growing[inner.ID].Entity)
			assert.True(t, growing[inner.ID].Earliest.After(w.now))
		}
	}
	assert.Greater(t, asked, 10, "seconds before it was told")
	w.gone(inner)
	w.gone(outer)
	assert.Empty(t, w.engine.Growing())
}
