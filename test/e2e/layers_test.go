//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
)

// kernelJournal runs a real systemd-journald that takes in what the kernel logs, in a mount namespace of its own, and returns
// the folder of its journal.
func kernelJournal(t *testing.T) string {
	const daemon = "/lib/systemd/systemd-journald"
	if _, err := os.Stat(daemon); err != nil {
		t.Skip("systemd-journald is missing (make setup, as root)")
	}
	dir, err := os.MkdirTemp("", "tapio") // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, d := range []string{"run", "run-log", "log"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "conf"),
		[]byte("[Journal]\nStorage=persistent\nRateLimitBurst=0\nReadKMsg=yes\nAudit=no\nSyncIntervalSec=1s\n"), 0o600))
	c := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", `
		mkdir -p /run/systemd /run/log /var/log/journal
		mount --bind "$1/run" /run/systemd && mount --bind "$1/run-log" /run/log && mount --bind "$1/log" /var/log/journal || exit
		mount --bind "$1/conf" /etc/systemd/journald.conf || exit
		mkdir -p /run/systemd/journal; touch /run/systemd/journal/flushed
		`+daemon+` & read stop; kill $!; wait`, "sh", dir)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if files, _ := filepath.Glob(filepath.Join(dir, "log", "*", "*.journal")); len(files) > 0 {
			return filepath.Join(dir, "log")
		}
	}
	t.Skip("journald does not run here")
	return ""
}

// One kill, which a cgroup's counter, the kernel's own log and its tracepoints tell, is one finding with all three; and what was killed
// was not all.
func TestAKillThatThreeLayersSaw(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "layers", 48*mebi)
	require.NoError(t, cgroup.LimitPIDs(500)) // so that its processes are counted
	journal := kernelJournal(t)
	collector := newCollector(t, everySecond,
		fmt.Sprintf("--config=yaml:receivers::journald::directories: [%s]", journal),
		"--config=yaml:service::pipelines::logs::receivers: [cgroup, ebpf, journald]")
	start(t, collector)
	time.Sleep(2 * time.Second) // the first reading is done, and the end of the journal found
	startWorkload(t, cgroup, "hold", "2Mi")
	victim := startWorkload(t, cgroup, "hold", "96Mi")
	require.NoError(t, killed(victim))

	f := wait(t, collector, "oom-killed", cgroup.Name, func(f finding.Finding) bool {
		layers := map[finding.Layer]bool{}
		for _, e := range f.Evidence {
			if e.Signal == "kernel.oom_kill" || e.Signal == "cgroup.oom_kill" {
				layers[e.Layer] = true
			}
		}
		return len(layers) == 3 && f.Severity == finding.Warning
	})
	assert.Contains(t, f.Title, "(workload) was OOM-killed, and it runs on without")
	assert.Contains(t, f.Explanation, "workload, pid ")
	assert.True(t, slices.IsSortedFunc(f.Evidence, func(a, b finding.Evidence) int { return a.Time.Compare(b.Time) }))
	story, _, _ := collector.Tapio(t.Context(), "why", cgroup.Name)
	assert.Contains(t, story, "the kernel killed workload (pid ")
	assert.Contains(t, story, "in this cgroup for want of memory")
}
