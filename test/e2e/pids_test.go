//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
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

// A program that leaks processes and goes on when the kernel refuses one: it is foreseen, and when it has come true it is seen whose
// calls fail, by a look that nobody asked for by hand.
func TestProcessesAreRefused(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "refused", 256*mebi)
	if err := cgroup.LimitPIDs(200); err != nil {
		t.Skipf("needs the pids controller: %v", err)
	}
	collector := newCollector(t, everySecond)
	start(t, collector)
	startWorkload(t, cgroup, "processes", "2")
	wait(t, collector, "pids-exhaustion", cgroup.Name, isActive)
	f := wait(t, collector, "pids-exhausted", cgroup.Name, func(f finding.Finding) bool { return failedCalls(f) != "" && f.Confidence > 0.99 })
	assert.Regexp(t, `^clone failed with EAGAIN (once|\d+ times) in \d+s \(workload\)$`, failedCalls(f))
	assert.Contains(t, f.Explanation, failedCalls(f))
	require.NotNil(t, f.Outcome, "it was foreseen")
	t.Logf("%s\n%s", f.Title, f.Explanation)

	asked, stderr, status := collector.Tapio(t.Context(), "why", cgroup.Name, "--errors", "2s")
	require.Zero(t, status, stderr)
	assert.Contains(t, asked, "clone: EAGAIN, ")
	assert.Contains(t, asked, "     workload (pid ")
	_, stderr, status = collector.Tapio(t.Context(), "why", cgroup.Name, "--errors", "2m")
	assert.NotZero(t, status)
	assert.Contains(t, stderr, "--errors is 2m0s, want 1s to 30s")
}
