//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A program that leaks threads: that the kernel will refuse one is foreseen before it does.
func TestThreadsRunOut(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "pids", 256*mebi)
	if err := cgroup.LimitPIDs(200); err != nil {
		t.Skipf("needs the pids controller: %v", err)
	}
	collector := newCollector(t, everySecond)
	start(t, collector)
	w := startWorkload(t, cgroup, "threads", "2")
	f := wait(t, collector, "pids-exhaustion", cgroup.Name, isActive)
	select {
	case <-w.Ended():
	case <-time.After(3 * time.Minute):
		t.Fatal("the kernel never refused a thread")
	}
	ended := time.Now()
	require.Contains(t, w.Said(), "failed to create new OS thread")
	assert.True(t, f.FirstSeen.Before(ended))
	t.Logf("foreseen %s before, as first said off by %s", ended.Sub(f.FirstSeen), f.Forecast.At.Sub(ended))
	assert.InDelta(t, 0, f.Forecast.At.Sub(ended).Seconds(), 20)
}
