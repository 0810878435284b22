//go:build linux

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/your-org/tapio/internal/finding"
)

// A dependency that is down: whoever wants to connect to it is told, with whom it wants.
func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "refused", 256*mebi)
	address := freePort(t)
	collector := newCollector(t, everySecond, "--config=yaml:receivers::ebpf::collection_interval: 2s")
	start(t, collector)
	startWorkload(t, cgroup, "connect", address)
	f := wait(t, collector, "connection-refused", cgroup.Name, isActive)
	assert.Contains(t, f.Title, "cannot connect to "+address)
	if assert.NotEmpty(t, f.Evidence) {
		assert.Equal(t, finding.LayerEBPF, f.Evidence[0].Layer)
		assert.Contains(t, f.Evidence[0].Text, "attempts to connect to "+address+" were refused")
	}
}
