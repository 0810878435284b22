//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	newCgroup(t, "probe", 16*mebi) // skips where the demo cannot run
	out, err := exec.Command(filepath.Join(bin(t), "demo"), "-bin", bin(t)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Regexp(t, `RESULT: predicted for \S+, \d+ s before the kill; killed at \S+: the prediction was \d+\.\d s (late|early), (within|outside) the interval given`, string(out))
	assert.NoDirExists(t, "/sys/fs/cgroup/memory/tapio-demo")
	assert.NoDirExists(t, "/sys/fs/cgroup/tapio-demo")
}

func TestDemoCleansUpWhenInterrupted(t *testing.T) {
	t.Parallel()
	c := newCgroup(t, "probe2", 16*mebi)
	cmd := exec.Command(filepath.Join(bin(t), "demo"), "-bin", bin(t), "-name", "tapio-test-interrupted")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	folder := filepath.Join(filepath.Dir(c.Folder), "tapio-test-interrupted")
	require.Eventually(t, func() bool { _, err := os.Stat(folder); return err == nil }, 30*time.Second, 50*time.Millisecond)
	time.Sleep(3 * time.Second) // in the middle of it
	require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	_ = cmd.Wait()
	assert.Equal(t, 130, cmd.ProcessState.ExitCode())
	assert.NoDirExists(t, folder)
}

// A leak is foreseen; the collector is killed with -9 in the middle, and nothing that was served is lost: not the prediction,
// nor since when it is known, nor how right it proves.
func TestNothingServedIsLostByKill9(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "kill9", 96*mebi)
	collector := newCollector(t, everySecond)
	start(t, collector)
	leak := startWorkload(t, cgroup, "leak", "16Mi", "0.8Mi")

	before := wait(t, collector, "memory-exhaustion", cgroup.Name, isActive)
	require.NoError(t, collector.Kill())
	start(t, collector)
	after, err := collector.Finding(t.Context(), "memory-exhaustion", cgroup.Name)
	require.NoError(t, err)
	for deadline := time.Now().Add(5 * time.Second); after == nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		after, err = collector.Finding(t.Context(), "memory-exhaustion", cgroup.Name)
		require.NoError(t, err)
	}
	require.NotNil(t, after, "the prediction is gone")
	assert.Equal(t, before.ID, after.ID)
	assert.Equal(t, before.FirstSeen, after.FirstSeen)
	assert.Equal(t, finding.Active, after.State)

	require.NoError(t, killed(leak))
	diagnosis := wait(t, collector, "oom-killed", cgroup.Name, func(f finding.Finding) bool { return f.Outcome != nil })
	assert.Equal(t, before.ID, diagnosis.Outcome.Prediction)
	assert.Equal(t, before.FirstSeen, diagnosis.Outcome.MadeAt)
	wait(t, collector, "memory-exhaustion", cgroup.Name, func(f finding.Finding) bool { return f.State == finding.Resolved })
	require.NoError(t, collector.Kill())
	start(t, collector)
	again := wait(t, collector, "oom-killed", cgroup.Name, anyState)
	assert.Equal(t, diagnosis.Outcome, again.Outcome)
}

// Page cache fills the limit, which is healthy: nobody may be told anything.
func TestPageCacheRaisesNothing(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "cache", 48*mebi)
	collector := newCollector(t, everySecond)
	start(t, collector)
	startWorkload(t, cgroup, "cache", "96Mi", filepath.Join(t.TempDir(), "file"))
	usage := "memory.usage_in_bytes"
	if cgroup.V2() {
		usage = "memory.current"
	}
	full := 0
	for range 45 {
		time.Sleep(time.Second)
		text, err := cgroup.Read(usage)
		require.NoError(t, err)
		if n, err := strconv.Atoi(text); err == nil && n > 45*mebi {
			full++
		}
		body := get(t, "http://"+collector.Findings+"/v1/findings?state=active,resolved&entity="+cgroup.Name)
		require.Contains(t, body, `"findings":[]`, "%s", body)
	}
	assert.Greater(t, full, 20, "the cache never filled the limit: the test shows nothing")
}

// A container that comes, is OOM-killed and is gone between two readings is reported all the same.
func TestKilledAndGoneWithinASecond(t *testing.T) {
	t.Parallel()
	newCgroup(t, "probe3", 16*mebi)
	collector := newCollector(t, []string{"TAPIO_INTERVAL=20s"})
	start(t, collector)
	time.Sleep(2 * time.Second) // the first reading is done
	begin := time.Now()
	cgroup := newCgroup(t, "brief", 16*mebi)
	time.Sleep(300 * time.Millisecond) // about what a runtime needs from the cgroup to the first instruction
	w := startWorkload(t, cgroup, "hold", "64Mi")
	require.NoError(t, killed(w))
	require.NoError(t, cgroup.Remove())
	t.Logf("the cgroup lived %s", time.Since(begin))
	f := wait(t, collector, "oom-killed", cgroup.Name, anyState)
	assert.Less(t, f.FirstSeen.Sub(begin), 10*time.Second, "it was found by an event, not by a reading")
}

// Findings go out by OTLP to any backend: here to a second real collector, that serves them in its turn.
func TestFindingsByOTLP(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "otlp", 16*mebi)
	port := freePort(t)
	second := newCollector(t, nil,
		"--config", "yaml:receivers::otlp::protocols::grpc::endpoint: "+port,
		"--config", "yaml:service::pipelines::logs::receivers: [otlp]",
		"--config", "yaml:service::pipelines::logs::processors: [memory_limiter]",
		"--config", "yaml:exporters::debug::verbosity: detailed",
		"--config", "yaml:service::pipelines::logs::exporters: [findings, debug]")
	start(t, second)
	first := newCollector(t, everySecond,
		"--config", "yaml:exporters::otlp::endpoint: "+port,
		"--config", "yaml:exporters::otlp::tls::insecure: true",
		"--config", "yaml:service::pipelines::logs::exporters: [findings, otlp]")
	start(t, first)
	require.NoError(t, killed(startWorkload(t, cgroup, "hold", "64Mi")))
	there := wait(t, second, "oom-killed", cgroup.Name, anyState)
	here := wait(t, first, "oom-killed", cgroup.Name, anyState)
	assert.Equal(t, here.ID, there.ID)
	assert.Equal(t, here.FirstSeen, there.FirstSeen)
	assert.Equal(t, here.Entity, there.Entity)
	seen := readFile(t, second.LogFile)
	for _, want := range []string{"EventName: tapio.diagnosis", "tapio.finding.id: Str(" + here.ID + ")", "tapio.finding.pattern: Str(oom-killed)", "cgroup.path: Str(" + cgroup.Name + ")"} {
		assert.Contains(t, seen, want)
	}
}

// The prometheus exporter and `tapio prometheus` serve the same names.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "metrics", 128*mebi)
	collector := newCollector(t, everySecond)
	start(t, collector)
	startWorkload(t, cgroup, "leak", "16Mi", "0.7Mi") // slow enough that it is not over before it was scraped
	wait(t, collector, "memory-exhaustion", cgroup.Name, isActive)

	port := freePort(t)
	_, number, _ := strings.Cut(port, ":")
	cmd := exec.Command(filepath.Join(bin(t), "tapio"), "prometheus", "--endpoint", collector.Findings, "--address", "127.0.0.1", "--port", number)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	scrape := func(address string) string {
		var body string
		require.Eventually(t, func() bool {
			if !answers(address) {
				return false
			}
			body = get(t, "http://"+address+"/metrics")
			return strings.Contains(body, `name="`+cgroup.Name+`"`) // those of other tests may be there before
		}, time.Minute, 500*time.Millisecond)
		return body
	}
	for name, body := range map[string]string{"collector": scrape(collector.Metrics), "tapio prometheus": scrape(port)} {
		t.Run(name, func(t *testing.T) {
			for _, want := range []string{
				`(?m)^tapio_findings_active\{.*pattern="memory-exhaustion".*severity="(critical|warning)".*\} [1-9]`,
				`(?m)^tapio_prediction_time_to_event_seconds\{.*event="oom_kill".*name="` + cgroup.Name + `".*\} -?\d`,
				`(?m)^tapio_coverage\{.*layer="cgroup".*\} 1$`,
				`(?m)^tapio_coverage\{.*layer="ebpf".*\} 1$`,
				`(?m)^tapio_coverage\{.*layer="kubernetes".*\} 0$`,
				`(?m)^tapio_entities_watched\{.*kind="Cgroup".*\} [1-9]`,
			} {
				if !regexp.MustCompile(want).MatchString(body) {
					t.Errorf("nothing matches %s in\n%s", want, strings.Join(lines(body, "tapio_"), "\n"))
				}
			}
		})
	}
}
