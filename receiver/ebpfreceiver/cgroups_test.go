//go:build linux

package ebpfreceiver

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a cgroup counted is told once more when it is gone, and then deleted; at once, of one that came and went between two readings.
func TestRealGoneCgroups(t *testing.T) {
	m := startMetrics(t, createDefaultConfig().(*Config))
	p := m.scraper.probes
	left := func(id uint64) bool {
		counts, err := p.attached["process"].counts("process")
		require.NoError(t, err)
		return slices.ContainsFunc(counts, func(c counted) bool { return c.cgroup == id })
	}
	// live runs a child in a cgroup of its own; told says whether there is a reading before it is gone.
	live := func(told bool) (name string, id uint64) {
		c, _ := realCgroup(t, 256*mib)
		folder, err := p.cgroups.folder(c.Name)
		require.NoError(t, err)
		info, err := os.Stat(folder)
		require.NoError(t, err)
		require.NoError(t, workload(t, c, "children", "1").Wait())
		if told {
			m.await(t, "/"+c.Name, map[string]int64{"container.process.forks": 1})
		}
		require.NoError(t, c.Remove())
		return "/" + c.Name, info.Sys().(*syscall.Stat_t).Ino
	}

	name, id := live(true)
	require.True(t, left(id))
	_, unseen := live(false) // has the next reading look for it
	require.True(t, left(unseen))
	time.Sleep(rewalk)
	assert.EqualValues(t, 1, m.of(t, name)["container.process.forks"], "its last")
	assert.False(t, left(unseen))
	require.Eventually(t, func() bool { return len(m.of(t, name)) == 0 }, patience, rewalk)
	assert.False(t, left(id))
}
