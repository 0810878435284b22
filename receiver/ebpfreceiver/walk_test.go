//go:build linux

package ebpfreceiver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Where cgroups cannot be listed for a while, for want of descriptors, none of them is taken for gone, and nothing that it counted is given up.
func TestWalkWithoutDescriptors(t *testing.T) {
	mount := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(mount, "cgroup.controllers"), []byte("cpu memory pids\n"), 0o600))
	inner := filepath.Join(mount, "system.slice", "api.service")
	require.NoError(t, os.MkdirAll(inner, 0o700))
	c := openCgroups(mount)
	require.True(t, c.look())
	require.Len(t, c.places, 3)
	gone := func() (paths []string) {
		for _, p := range c.places {
			if p.gone > 0 {
				paths = append(paths, p.path)
			}
		}
		return paths
	}
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max}))
	whole := c.walk()
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	assert.False(t, whole)
	assert.Empty(t, gone())
	assert.Empty(t, c.told(tellsMetrics, c.walks, tellsMetrics, 10))

	require.NoError(t, os.Remove(inner))
	require.True(t, c.walk())
	assert.Equal(t, []string{"/system.slice/api.service"}, gone())
	assert.Len(t, c.told(tellsMetrics, c.walks, tellsMetrics, 10), 1)
}
