//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/containerd"
	"github.com/your-org/tapio/test/harness"
)

// newContainerd runs a real containerd; start is one of those of test/containerd.
func newContainerd(t *testing.T, start func(context.Context, string, string) (*containerd.Daemon, error)) *containerd.Daemon {
	t.Helper()
	const program = "/usr/bin/containerd"
	if _, err := os.Stat(program); err != nil {
		t.Skip("containerd is missing (make setup, as root)")
	}
	d, err := start(t.Context(), program, filepath.Join(bin(t), "workload"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Stop()) })
	return d
}

// layersOf are the layers that saw a kill, by what they call it, in the order of the evidence.
func layersOf(f finding.Finding) (all []string) {
	for _, e := range f.Evidence {
		switch e.Signal {
		case "kernel.oom_kill", "cgroup.oom_kill", "unit.oom_kill", "runtime.oom_kill":
			if what := fmt.Sprintf("%s %s", e.Layer, e.Signal); !slices.Contains(all, what) {
				all = append(all, what)
			}
		}
	}
	return all
}

// Containers are told by the names of their pods, without an API server; one kill that the cgroup's counter, the kernel's log and
// the container runtime tell is one finding; and a child that is killed is told as that.
func TestContainersByName(t *testing.T) {
	t.Parallel()
	newCgroup(t, "probe4", 16*mebi) // skips where containers cannot have limits
	d := newContainerd(t, containerd.Start)
	collector := newCollector(t, everySecond,
		"--config=yaml:receivers::cri::endpoints: ["+d.Socket+"]",
		"--config=yaml:receivers::cri::collection_interval: 2s",
		"--config=yaml:receivers::cgroup::roots: ["+d.Cgroup+"]",
		fmt.Sprintf("--config=yaml:receivers::journald::directories: [%s]", kernelJournal(t)),
		"--config=yaml:service::pipelines::logs::receivers: [cgroup, cri, journald]")
	const uid = "0a1b2c3d-0000-4000-8000-000000000001"
	pod, err := d.NewPod(t.Context(), "shop", "api-7d4", uid)
	require.NoError(t, err)
	start(t, collector)
	time.Sleep(2 * time.Second) // the first reading is done, and the end of the journal found

	id, err := pod.Start(t.Context(), "api", 0, 32*mebi, "leak", "4Mi", "10Mi")
	require.NoError(t, err)
	_, err = d.Wait(t.Context(), id)
	require.NoError(t, err)
	_, err = pod.Start(t.Context(), "api", 1, 32*mebi, "pause")
	require.NoError(t, err)
	f := wait(t, collector, "oom-killed", "api-7d4", func(f finding.Finding) bool {
		return len(layersOf(f)) == 3 && slices.ContainsFunc(f.Evidence, func(e finding.Evidence) bool { return e.Signal == "runtime.restarted" })
	})
	assert.Equal(t, "api-7d4/api was OOM-killed", f.Title)
	assert.Equal(t, finding.Entity{Kind: "Container", Namespace: "shop", Name: "api-7d4", Container: "api", UID: uid, ContainerID: id, Node: f.Entity.Node}, f.Entity)
	assert.ElementsMatch(t, []string{"cgroup cgroup.oom_kill", "journald kernel.oom_kill", "runtime runtime.oom_kill"}, layersOf(f))
	assert.True(t, slices.IsSortedFunc(f.Evidence, func(a, b finding.Evidence) int { return a.Time.Compare(b.Time) }))
	assert.Contains(t, f.Explanation, "It ended with that. It was started anew.")
	assert.Len(t, titles(t, collector, "oom-killed", uid), 1, "one kill is one finding, whoever saw it")
	story, _, _ := collector.Tapio(t.Context(), "why", "api-7d4")
	for _, want := range []string{"api-7d4/api was OOM-killed", "the kernel killed workload (pid ", "in this cgroup for want of memory",
		"the container runtime was told that the kernel killed container api of shop/api-7d4", "ended with exit code 137 (SIGKILL)", "kubectl patch pod api-7d4 -n shop"} {
		assert.Contains(t, story, want)
	}

	_, err = pod.Start(t.Context(), "batch", 0, 32*mebi, "parent", "96Mi")
	require.NoError(t, err)
	lives := wait(t, collector, "oom-killed", "batch", func(f finding.Finding) bool { return f.Severity == finding.Warning })
	assert.Contains(t, lives.Title, "a process of api-7d4/batch")
	assert.Contains(t, lives.Title, "was OOM-killed, and it runs on without")
	assert.NotContains(t, layersOf(lives), "runtime runtime.oom_kill", "no container ended")
	checked, _, _ := collector.Tapio(t.Context(), "check")
	assert.Contains(t, checked, "api-7d4/api: was OOM-killed")
	assert.Len(t, titles(t, collector, "oom-killed", uid), 2)
}

// titles are those of the findings of a pattern, but for what tests beside this one have killed, which the kernel tells everybody: their
// cgroups by their names, and any pod but these.
func titles(t *testing.T, c *harness.Collector, pattern string, pods ...string) (all []string) {
	t.Helper()
	fs, err := c.All(t.Context(), "pattern="+pattern)
	require.NoError(t, err)
	for _, f := range fs {
		others := f.Entity.UID != "" && !slices.Contains(pods, f.Entity.UID)
		if !others && !strings.HasPrefix(f.Entity.Name, "tapio-test-") && f.Entity.Name != "tapio-demo" {
			all = append(all, f.Title)
		}
	}
	return all
}
