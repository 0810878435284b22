//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	go func() {
		// 20 a second: none is left after some 100 s.
		for i := 0; ; i++ {
			f, err := os.Create(filepath.Join(mount, fmt.Sprint(i)))
			if errors.Is(err, syscall.ENOSPC) {
				full <- time.Now()
			}
			if err != nil {
				return
			}
			f.Close()
			time.Sleep(50 * time.Millisecond)
		}
	}()
	foreseen := wait(t, collector, "inodes-exhaustion", mount, isActive)
	var at time.Time
	select {
	case at = <-full:
	case <-time.After(3 * time.Minute):
		t.Fatal("the inodes never ran out")
	}
	t.Logf("foreseen %s before, off by %s", at.Sub(foreseen.FirstSeen), foreseen.Forecast.At.Sub(at))
	assert.True(t, foreseen.FirstSeen.Before(at))
	wait(t, collector, "filesystem-full", mount, isActive)
}

// A real file system fills: it is foreseen, and when the kernel says ENOSPC the diagnosis tells how right that was.
func TestFilesystemFills(t *testing.T) {
	t.Parallel()
	mount, collector := newFilesystem(t, "size=64m")

	full := make(chan time.Time, 1)
	go func() {
		f, err := os.Create(filepath.Join(mount, "log"))
		if err != nil {
			return
		}
		defer f.Close()
		// 0.6 MiB a second, in tenths: full after some 107 s.
		block := make([]byte, 6*mebi/100)
		for range time.Tick(100 * time.Millisecond) {
			if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
				full <- time.Now()
				return
			}
		}
	}()
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
}
