//go:build linux

package e2e

import (
	"os"
	"os/exec"
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

// underSystemd skips a test where systemd is not the first process, on cgroup v2; test/systemd/vm.sh runs it in a machine where it is.
func underSystemd(t *testing.T) {
	t.Helper()
	init, err := os.ReadFile("/proc/1/comm")
	_, v2 := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	if err != nil || strings.TrimSpace(string(init)) != "systemd" || v2 != nil || os.Geteuid() != 0 {
		if os.Getenv("TAPIO_TEST_REAL") != "" {
			t.Fatal("systemd is not PID 1 here, or its cgroups are not v2, or this is not root")
		}
		t.Skip("needs root, cgroup v2, and systemd as PID 1: test/systemd/vm.sh runs it in such a machine")
	}
}

// everyLayer is a collector that reads all that a node has.
func everyLayer(t *testing.T, args ...string) *harness.Collector {
	t.Helper()
	c := newCollector(t, everySecond, append([]string{"--config=tapio:journal",
		`--config=yaml:receivers::systemd::units: ["*.service", "*.scope"]`,
		"--config=yaml:receivers::cri::collection_interval: 5s"}, args...)...)
	start(t, c)
	time.Sleep(5 * time.Second) // the first readings are done, and the end of the journal found: machines without KVM are slow
	return c
}

// One OOM kill of a container, which all layers of a node saw, each in its own way and at its own time, is one finding about the
// container, by its pod's name, with the word of each of them in order. Its first process is a shell of sorts, which ends a second after the
// one that is killed: a cgroup that is gone at once has no time to tell Debian's containerd. A layer may miss a kill all the same, when
// the machine is slow: then there is another one, and each of them is one finding.
func TestEveryLayerTellsOneKill(t *testing.T) {
	underSystemd(t)
	d := newContainerd(t, containerd.StartSystemd)
	collector := everyLayer(t, "--config=yaml:receivers::cri::endpoints: ["+d.Socket+"]")
	pod, err := d.NewPod(t.Context(), "shop", "api-7d4", "0a1b2c3d-0000-4000-8000-000000000001")
	require.NoError(t, err)
	want := []string{"cgroup cgroup.oom_kill", "ebpf kernel.oom_kill", "journald kernel.oom_kill", "journald unit.oom_kill", "runtime runtime.oom_kill"}
	var f *finding.Finding
	var id string
	for kill := range uint32(4) {
		id, err = pod.Start(t.Context(), "api", kill, 32*mebi, "parent", "64Mi", "1000")
		require.NoError(t, err)
		_, err = d.Wait(t.Context(), id)
		require.NoError(t, err)
		for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(time.Second) {
			if f = findingOf(t, collector, id, int(kill)+1); f != nil && len(layersOf(*f)) == len(want) {
				break
			}
		}
		require.NotNil(t, f, "nothing is found of kill %d", kill)
		if len(layersOf(*f)) == len(want) {
			break
		}
		t.Logf("of kill %d only these told: %v", kill, layersOf(*f))
	}
	assert.ElementsMatch(t, want, layersOf(*f))
	assert.Equal(t, "api-7d4/api was OOM-killed", f.Title)
	assert.True(t, slices.IsSortedFunc(f.Evidence, func(a, b finding.Evidence) int { return a.Time.Compare(b.Time) }))
	assert.Contains(t, f.Explanation, "(workload, pid ")
	assert.Contains(t, f.Explanation, "limit of 32 MiB")
	story, _, _ := collector.Tapio(t.Context(), "why", f.ID)
	for _, says := range []string{"the kernel killed workload (pid ", "in this cgroup for want of memory", "systemd saw that a process of cri-containerd-" + id,
		"the container runtime was told that the kernel killed container api of shop/api-7d4", "ended with exit code 137 (SIGKILL)"} {
		assert.Contains(t, story, says)
	}
	t.Log(story)
}

// findingOf is what is found of a container's kill; nil when nothing is. There is no more than one finding for each kill.
func findingOf(t *testing.T, c *harness.Collector, id string, kills int) (found *finding.Finding) {
	t.Helper()
	all, err := c.All(t.Context(), "")
	require.NoError(t, err)
	told := 0
	for _, f := range all {
		if f.Pattern == "memory-exhaustion" || f.Pattern == "cpu-starved" { // it may have been foreseen, and an emulated machine is short of CPU
			continue
		}
		if f.Entity.Name == "tapio.service" { // which runs this test, and connects to the collector until there is one
			continue
		}
		assert.Equal(t, "oom-killed", f.Pattern, "%s", f.Title)
		if told++; f.Entity.ContainerID == id {
			found = &f
		}
	}
	require.LessOrEqual(t, told, kills, "a kill is one finding: %+v", all)
	return found
}

// The same of a service: systemd itself tells it over its bus, with the end of the main process.
func TestAKillThatSystemdSaw(t *testing.T) {
	underSystemd(t)
	collector := everyLayer(t)
	run := exec.Command("systemd-run", "--unit=shop.service", "-p", "MemoryMax=32M", "-p", "MemorySwapMax=0", filepath.Join(bin(t), "workload"), "leak", "4Mi", "4Mi")
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	want := []string{"cgroup cgroup.oom_kill", "ebpf kernel.oom_kill", "journald kernel.oom_kill", "journald unit.oom_kill", "systemd unit.oom_kill"}
	f := wait(t, collector, "oom-killed", "shop.service", func(f finding.Finding) bool { return len(layersOf(f)) == len(want) })
	assert.ElementsMatch(t, want, layersOf(f))
	assert.Equal(t, "shop.service was OOM-killed", f.Title, "once, however often it was told")
	assert.Contains(t, f.Explanation, "It ended with that.")
	assert.Len(t, titles(t, collector, "oom-killed"), 1)
	story, _, _ := collector.Tapio(t.Context(), "why", "shop.service")
	assert.Contains(t, story, "the main process of shop.service (pid ")
	t.Log(story)
}
