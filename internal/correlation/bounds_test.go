package correlation

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// Records may name nodes and layers without end: nothing grows by that.
func TestNamesWithoutEndAreNotKept(t *testing.T) {
	all, err := pattern.Builtin()
	require.NoError(t, err)
	e, err := New(Settings{Patterns: all, MaxEntities: 10, MaxFindings: 10, EntityTTL: time.Minute, Retention: time.Hour, Refresh: time.Minute})
	require.NoError(t, err)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3 * maxOwned {
		node := entity.Entity{ID: entity.ID(fmt.Sprint("node:", i)), Kind: entity.Node, Name: fmt.Sprint(i), Node: fmt.Sprint(i)}
		now = now.Add(time.Second)
		e.Observe(now, signal.Batch{Entity: node, Signals: []signal.Signal{
			{Time: now, Kind: signal.KernelOOMGroup, Value: 1, Layer: finding.LayerJournald},
			{Time: now, Kind: signal.Coverage, Layer: finding.Layer(fmt.Sprint("layer", i)), Attributes: map[string]string{"part": "x", "state": "ok"}},
		}})
		if i%60 == 0 {
			e.Evaluate(now)
			e.Status(now)
		}
	}
	assert.LessOrEqual(t, len(e.victims.groups), maxOwned)
	assert.LessOrEqual(t, len(e.layers), len(layers))
	assert.LessOrEqual(t, len(e.epochs), 10)
}
