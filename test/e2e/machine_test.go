//go:build linux

// Package e2e runs the real programs on this machine: cgroups of its own, real leaks, real OOM kills.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/harness"
)

const mebi = 1 << 20

// bin is where the programs are; test/run.sh builds them.
func bin(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("TAPIO_TEST_BIN")
	if folder == "" {
		folder = "../../bin"
	}
	folder, err := filepath.Abs(folder)
	require.NoError(t, err)
	for _, name := range []string{"tapio", "tapio-collector", "workload", "demo"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Skipf("%s is not built: make test builds it", name)
		}
	}
	return folder
}

// newCgroup makes a cgroup that the test removes again.
func newCgroup(t *testing.T, name string, limit int64) *harness.Cgroup {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make memory cgroups")
	}
	c, err := harness.NewCgroup(fmt.Sprintf("tapio-test-%s-%d", name, os.Getpid()), limit)
	if err != nil {
		t.Skipf("needs memory cgroups: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Remove(); err != nil { // a kernel that is busy takes its time with the dead: no fault of what is tested
			procs, _ := c.Read("cgroup.procs")
			t.Logf("%v: processes %q are left in it", err, procs)
		}
	})
	return c
}

func startWorkload(t *testing.T, c *harness.Cgroup, args ...string) *harness.Workload {
	t.Helper()
	w, err := harness.StartWorkload(bin(t), c, args...)
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	return w
}

// newCollector prepares a collector on the default local configuration; args add to it.
func newCollector(t *testing.T, env []string, args ...string) *harness.Collector {
	t.Helper()
	c, err := harness.NewCollector(bin(t), t.TempDir(), env, args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Stop())
		if t.Failed() {
			if log, err := os.ReadFile(c.LogFile); err == nil {
				t.Logf("the collector's log:\n%s", log[max(0, len(log)-6000):])
			}
		}
	})
	return c
}

func start(t *testing.T, c *harness.Collector) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // it is a second, but on an emulated machine beside others
	defer cancel()
	require.NoError(t, c.Start(ctx))
}

// everySecond is the environment of a collector that reads cgroups every second.
var everySecond = []string{"TAPIO_INTERVAL=1s"}

// wait asks until there is a finding that ok accepts. The bound is generous: machines are noisy.
func wait(t *testing.T, c *harness.Collector, pattern, entity string, ok func(finding.Finding) bool) finding.Finding {
	t.Helper()
	var f *finding.Finding
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var err error
		f, err = c.Finding(t.Context(), pattern, entity)
		require.NoError(t, err)
		if f != nil && ok(*f) {
			return *f
		}
	}
	t.Fatalf("no %s finding about %s as expected; the last one: %+v", pattern, entity, f)
	return finding.Finding{}
}

func anyState(finding.Finding) bool    { return true }
func isActive(f finding.Finding) bool  { return f.State == finding.Active }
func killed(w *harness.Workload) error { return waitKilled(w, 3*time.Minute) }

// waitKilled waits for the kernel to kill a workload.
func waitKilled(w *harness.Workload, most time.Duration) error {
	select {
	case <-w.Ended():
	case <-time.After(most):
		return errors.New("the workload was not killed")
	}
	if _, ok := w.Killed(); !ok {
		return errors.New("the workload ended, but not by SIGKILL")
	}
	return nil
}

// get returns what a URL answers.
func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", url, body)
	return string(body)
}

// lines are those of a text that contain a word.
func lines(text, word string) []string {
	var out []string
	for _, l := range strings.Split(text, "\n") {
		if strings.Contains(l, word) {
			out = append(out, l)
		}
	}
	return out
}
