//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
