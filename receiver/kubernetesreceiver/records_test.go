package kubernetesreceiver

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// When a workload was changed that no controller has looked at since is all that is of interest in who changed it.
func TestWhoChangedIt(t *testing.T) {
	for _, tt := range []struct {
		resource             string
		generation, observed int64
		want                 bool
	}{
		{"deployments", 2, 1, true}, {"statefulsets", 1, 0, true}, {"daemonsets", 2, 2, false}, {"pods", 2, 1, false},
	} {
		s := source{resource: Resource{Name: tt.resource}}
		meta := map[string]any{"generation": tt.generation, "managedFields": []any{map[string]any{"time": "2026-11-23T12:00:00Z"}}}
		s.trim(map[string]any{"metadata": meta, "status": map[string]any{"observedGeneration": tt.observed}})
		assert.Equal(t, tt.want, meta["managedFields"] != nil, tt)
	}
}
