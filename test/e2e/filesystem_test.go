//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/harness"
)

// newFilesystem mounts a file system of the test's own, and starts a collector that reads it every second.
func newFilesystem(t *testing.T, options string) (mount string, c *harness.Collector) {
	t.Helper()
	mount = t.TempDir()
	if err := syscall.Mount("tapio-test", mount, "tmpfs", 0, options); err != nil {
		t.Skipf("needs to mount a file system of its own: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(mount, 0)) })
	c = newCollector(t, everySecond,
		"--config", "yaml:receivers::hostmetrics::collection_interval: 1s",
		"--config", "yaml:receivers::hostmetrics::scrapers::filesystem::include_virtual_filesystems: true",
		"--config", fmt.Sprintf("yaml:receivers::hostmetrics::scrapers::filesystem::include_mount_points: {mount_points: [%q], match_type: strict}", mount))
	start(t, c)
	return mount, c
}

// Small files use up the inodes of a real file system, which has space left.
func TestInodesRunOut(t *testing.T) {
	t.Parallel()
	mount, collector := newFilesystem(t, "size=64m,nr_inodes=2000")
	full := make(chan time.Time, 1)
	whileTesting(t, 50*time.Millisecond, func(i int) error { // 20 a second: none is left after some 100 s
		f, err := os.Create(filepath.Join(mount, fmt.Sprint(i)))
		if errors.Is(err, syscall.ENOSPC) {
			once(full)
			return nil
		}
		return errors.Join(err, f.Close())
	})
	foreseen := wait(t, collector, "inodes-exhaustion", mount, isActive)
	var at time.Time
	select {
	case at = <-full:
	case <-time.After(3 * time.Minute):
		t.Fatal("the inodes never ran out")
	}
	t.Logf("foreseen %s before, off by %s", at.Sub(foreseen.FirstSeen), foreseen.Forecast.At.Sub(at))
	assert.True(t, foreseen.FirstSeen.Before(at))
	f := wait(t, collector, "filesystem-full", mount, func(f finding.Finding) bool { return failedCalls(f) != "" })
	assert.Regexp(t, `^openat failed with ENOSPC \d+ times in \d+s \(e2e\.test`, failedCalls(f))
}

// whileTesting does something again and again, also after it has failed for want of space, until the test is over.
func whileTesting(t *testing.T, every time.Duration, step func(i int) error) {
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			if err := step(i); err != nil {
				t.Error(err)
				return
			}
		}
	})
	t.Cleanup(done.Wait)
}

// once notes when something happened for the first time.
func once(at chan<- time.Time) {
	select {
	case at <- time.Now():
	default:
	}
}

// failedCalls is what a finding tells of system calls that failed.
func failedCalls(f finding.Finding) string {
	for _, e := range f.Evidence {
		if strings.HasPrefix(e.Signal, "syscall.failed.") {
			return e.Text
		}
	}
	return ""
}

// A real file system fills: it is foreseen, and when the kernel says ENOSPC the diagnosis tells how right that was.
func TestFilesystemFills(t *testing.T) {
	t.Parallel()
	mount, collector := newFilesystem(t, "size=64m")

	full := make(chan time.Time, 1)
	log, err := os.Create(filepath.Join(mount, "log"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	block := make([]byte, 6*mebi/100)
	whileTesting(t, 100*time.Millisecond, func(int) error { // 0.6 MiB a second: full after some 107 s
		if _, err := log.Write(block); !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		once(full)
		return nil
	})
	foreseen := wait(t, collector, "filesystem-exhaustion", mount, isActive)
	var at time.Time
	select {
	case at = <-full:
	case <-time.After(3 * time.Minute):
		t.Fatal("the file system never filled")
	}
	assert.True(t, foreseen.FirstSeen.Before(at))
	diagnosis := wait(t, collector, "filesystem-full", mount, func(f finding.Finding) bool { return f.Outcome != nil })
	t.Logf("foreseen %s before, off by %.1f s", at.Sub(diagnosis.Outcome.MadeAt), diagnosis.Outcome.ErrorSeconds)
	assert.Equal(t, foreseen.ID, diagnosis.Outcome.Prediction)

	// Whose writes fail, by a look that nobody asked for by hand.
	f := wait(t, collector, "filesystem-full", mount, func(f finding.Finding) bool { return failedCalls(f) != "" })
	assert.Regexp(t, `^write failed with ENOSPC \d+ times in \d+s \(e2e\.test`, failedCalls(f))
	assert.Contains(t, f.Explanation, failedCalls(f))
}

// machine is a machine with a disk of its own, and on it a container that has its own root directory, and the machine's at /host:
// as the manifest of a node makes it. The disk is where the machine has mounted it, and full.
const machine = `
disk=$1 root=$2 bin=$3; shift 3
mount --make-rprivate /
mount -t proc proc /proc # its first process is this one
mount -t tmpfs -o size=1m /dev/tapio-test "$disk"
! head -c 2m /dev/zero > "$disk/file" 2> /dev/null
export disk root bin
unshare --mount sh -euc '
mount -t tmpfs container "$root"
cd "$root"
mkdir host proc sys tmp state collector usr
mount --rbind / host
mount -t proc proc proc
mount --rbind /sys sys
mount --bind /usr usr
mount --bind "$bin" collector
for lib in /lib*; do cp -a "$lib" . ; done
exec chroot . /collector/tapio-collector "$@"
' sh "$@"
`

// The collector in a container sees the disks of the machine, which are not in the container's root directory.
func TestDisksOfTheMachineFromAContainer(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root: for a container of its own")
	}
	folder, disk := t.TempDir(), t.TempDir()
	c := newCollector(t, nil) // it lends its addresses only
	cmd := exec.Command("sh", "-euc", machine, "sh", disk, folder, bin(t), "--config", "tapio:local",
		"--config", "yaml:receivers::hostmetrics::collection_interval: 1s",
		"--config", "yaml:service::pipelines::metrics::receivers: [hostmetrics]", "--config", "yaml:service::pipelines::logs::receivers: [cgroup]")
	cmd.Env = append(os.Environ(), "TAPIO_ROOT_PATH=/host", "TAPIO_STATE_DIR=/state", "TAPIO_FINDINGS_ENDPOINT="+c.Findings, "TAPIO_METRICS_ENDPOINT="+c.Metrics)
	log, err := os.Create(c.LogFile)
	require.NoError(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { // with it end all that it has started, and its mounts
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.EventuallyWithT(t, func(ct *assert.CollectT) {
		f, err := c.Finding(t.Context(), "filesystem-full", disk)
		assert.NoError(ct, err)
		assert.NotNil(ct, f)
	}, time.Minute, 200*time.Millisecond)
	f, err := c.Finding(t.Context(), "filesystem-full", disk)
	require.NoError(t, err)
	assert.Equal(t, "Filesystem", f.Entity.Kind)
	assert.Contains(t, f.Evidence[0].Text, "1 MiB of 1 MiB are in use")
	// The machine's memory is what it is outside.
	var outside syscall.Sysinfo_t
	require.NoError(t, syscall.Sysinfo(&outside))
	limit := lines(get(t, "http://"+c.Metrics+"/metrics"), "system_memory_limit_bytes{")
	require.Len(t, limit, 1)
	total, err := strconv.ParseFloat(limit[0][strings.LastIndex(limit[0], " ")+1:], 64)
	require.NoError(t, err)
	assert.Equal(t, float64(outside.Totalram), total)
}
