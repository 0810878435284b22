//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/cli/clitest"
)

// `tapio check --watch` tells what happens as it happens, and goes on when the collector is killed and comes back.
func TestWatch(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "watch", 16*mebi)
	collector := newCollector(t, everySecond)
	start(t, collector)
	cmd := exec.Command(filepath.Join(bin(t), "tapio"), "check", "--watch")
	cmd.Env = append(os.Environ(), "TAPIO_ENDPOINT="+collector.Findings)
	out := &clitest.Screen{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	told := func(word string) int { return strings.Count(out.String(), " CRITICAL: "+cgroup.Name+": "+word) }

	require.NoError(t, killed(startWorkload(t, cgroup, "hold", "64Mi")))
	require.Eventually(t, func() bool { return told("was OOM-killed") == 1 }, 20*time.Second, 100*time.Millisecond, "%s", out)
	require.NoError(t, collector.Kill())
	start(t, collector)
	second := newCgroup(t, "watch2", 16*mebi)
	require.NoError(t, killed(startWorkload(t, second, "hold", "64Mi")))
	require.Eventually(t, func() bool { return strings.Contains(out.String(), second.Name+": was OOM-killed") }, 30*time.Second, 100*time.Millisecond, "%s", out)
	assert.Equal(t, 1, told("was OOM-killed"), "what is known is not told again: %s", out)

	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait(), "ending what goes on for ever is no failure: %s", out)
}
