//go:build linux

package crireceiver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
	"github.com/your-org/tapio/test/containerd"
)

const (
	mebi       = 1 << 20
	waitAtMost = 20 * time.Second
	pause      = 20 * time.Millisecond
)

// program builds the program that runs in the containers.
func program(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.Command("go", "build", "-o", folder, "../../test/workload")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(folder, "workload")
}

// each runs a test on every containerd that there is: the machine's, and the one that TAPIO_CONTAINERD names.
func each(t *testing.T, test func(*testing.T, *containerd.Daemon)) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run a containerd")
	}
	found := 0
	for _, at := range []string{"/usr/bin/containerd", os.Getenv("TAPIO_CONTAINERD")} {
		if _, err := os.Stat(at); err != nil {
			continue
		}
		found++
		version, err := exec.Command(at, "--version").Output()
		require.NoError(t, err)
		t.Run(strings.Fields(string(version))[2], func(t *testing.T) {
			t.Parallel()
			d, err := containerd.Start(t.Context(), at, program(t))
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, d.Stop()) })
			test(t, d)
		})
	}
	if found == 0 {
		t.Skip("containerd is missing (make setup, as root)")
	}
}

// TestReal is the life of containers under a real containerd, as the receiver tells it.
func TestReal(t *testing.T) {
	each(t, func(t *testing.T, d *containerd.Daemon) {
		old, err := d.NewPod(t.Context(), "shop", "old-1", "11111111-2222-3333-4444-555555555555")
		require.NoError(t, err)
		_, err = old.Start(t.Context(), "old", 0, 0, "pause")
		require.NoError(t, err)
		sink, _ := follow(t, d.Socket)

		pod, err := d.NewPod(t.Context(), "shop", "api-1", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
		require.NoError(t, err)
		id, s := kill(t, d, pod)
		stopped := await(t, sink, id, eventStopped)
		killed := await(t, sink, id, eventOOMKilled)
		assert.Equal(t, s.GetFinishedAt(), killed.rec.Timestamp().AsTime().UnixNano())
		assert.Equal(t, "the container runtime was told that the kernel killed container api of shop/api-1 for want of memory", killed.rec.Body().Str())
		assert.EqualValues(t, 137, stopped.rec.Attributes().AsRaw()[attrExitCode])
		assert.Equal(t, s.GetFinishedAt(), stopped.rec.Timestamp().AsTime().UnixNano())
		assert.Contains(t, stopped.rec.Body().Str(), "container api of shop/api-1 ended with exit code 137 (SIGKILL), reason ") // OOMKilled, if it is known yet
		assert.Equal(t, plog.SeverityNumberError, stopped.rec.SeverityNumber())
		assert.Subset(t, stopped.resource.AsRaw(), map[string]any{"container.id": id, "k8s.container.name": "api", "k8s.pod.name": "api-1", "k8s.namespace.name": "shop",
			"k8s.pod.uid": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "k8s.container.restart_count": int64(0),
			"container.image.name": "tapio.test/workload", "container.image.tags": []any{"1"}, "container.runtime.name": "containerd"})
		assert.ElementsMatch(t, []string{eventCreated, eventStarted, eventOOMKilled, eventStopped}, events(sink, id))

		next, err := pod.Start(t.Context(), "api", 1, 0, "exit", "3", "300")
		require.NoError(t, err)
		restarted := await(t, sink, id, eventRestarted)
		assert.Equal(t, next, attribute(restarted.rec, attrNext))
		assert.Equal(t, "container api of shop/api-1 was started anew (restart 1)", restarted.rec.Body().Str())
		assert.Equal(t, "container api of shop/api-1 ended with exit code 3, reason Error", await(t, sink, next, eventStopped).rec.Body().Str())
		require.NoError(t, d.Remove(t.Context(), id))
		await(t, sink, id, eventRemoved)

		gentle, err := pod.Start(t.Context(), "gentle", 0, 0, "pause")
		require.NoError(t, err)
		await(t, sink, gentle, eventStarted)
		require.NoError(t, d.Terminate(t.Context(), gentle, 10*time.Second))
		ended := await(t, sink, gentle, eventStopped)
		assert.Equal(t, "container gentle of shop/api-1 ended with exit code 0, reason Completed", ended.rec.Body().Str())
		assert.Equal(t, plog.SeverityNumberInfo, ended.rec.SeverityNumber())

		missing, err := pod.StartCommand(t.Context(), "missing", "/no-such-program")
		require.Error(t, err)
		failed := await(t, sink, missing, eventStopped)
		assert.Contains(t, failed.rec.Body().Str(), "could not be started: exit code 128, reason StartError")
		assert.Contains(t, attribute(failed.rec, attrMessage), "no-such-program")
		assert.NotContains(t, events(sink, missing), eventStarted)

		require.NoError(t, pod.Stop(t.Context()))
		require.Eventually(t, func() bool { return slices.Contains(events(sink, ""), eventSandboxStopped) }, waitAtMost, pause)
		require.NoError(t, pod.Remove(t.Context()))
		require.Eventually(t, func() bool { return slices.Contains(events(sink, ""), eventSandboxRemoved) }, waitAtMost, pause)
		assert.Equal(t, []string{eventSandboxCreated, eventSandboxStopped, eventSandboxRemoved}, events(sink, ""), "what was there before is no news")
	})
}

// kill lets the kernel kill a container api, of which containerd comes to know why. 1.6 misses one now and then, on a busy machine:
// then it is done once more.
func kill(t *testing.T, d *containerd.Daemon, pod *containerd.Pod) (id string, s *cri.ContainerStatus) {
	t.Helper()
	for range 5 {
		id, err := pod.Start(t.Context(), "api", 0, 24*mebi, "hold", "96Mi")
		require.NoError(t, err)
		s, err := d.Wait(t.Context(), id)
		for late := time.Now().Add(5 * time.Second); err == nil && s.GetReason() != oomKilled && time.Now().Before(late); time.Sleep(pause) {
			s, err = d.Wait(t.Context(), id) // it may learn of it after the end
		}
		require.NoError(t, err)
		if s.GetReason() == oomKilled {
			return id, s
		}
		t.Logf("containerd does not know why it ended: %s", s)
		require.NoError(t, d.Remove(t.Context(), id))
	}
	require.Fail(t, "containerd never knows of a kill")
	return "", nil
}

// A container that comes and goes faster than the runtime is asked is told as far as it was seen, or not at all: but where the
// runtime sends events, it is told whole.
func TestRealBriefContainers(t *testing.T) {
	each(t, func(t *testing.T, d *containerd.Daemon) {
		sink, version := follow(t, d.Socket)
		pod, err := d.NewPod(t.Context(), "shop", "brief-1", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
		require.NoError(t, err)
		var ids []string
		for range 5 {
			id, err := pod.Start(t.Context(), "brief", 0, 0, "exit", "7", "0")
			require.NoError(t, err)
			_, err = d.Wait(t.Context(), id)
			require.NoError(t, err)
			require.NoError(t, d.Remove(t.Context(), id))
			ids = append(ids, id)
		}
		last, err := pod.Start(t.Context(), "last", 0, 0, "pause")
		require.NoError(t, err)
		await(t, sink, last, eventStarted)
		whole := []string{eventCreated, eventStarted, eventStopped, eventRemoved}
		for _, id := range ids {
			if !strings.HasPrefix(version, "1.") {
				await(t, sink, id, eventRemoved)
				assert.Equal(t, whole, events(sink, id))
				continue
			}
			at := -1
			for _, event := range events(sink, id) {
				assert.Greater(t, slices.Index(whole, event), at, "%v", events(sink, id))
				at = slices.Index(whole, event)
			}
		}
	})
}

// containerd is away for a while, and so is what it ran: all of it is told afterwards, once.
func TestRealRuntimeRestart(t *testing.T) {
	each(t, func(t *testing.T, d *containerd.Daemon) {
		sink, _ := follow(t, d.Socket)
		pod, err := d.NewPod(t.Context(), "shop", "api-1", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
		require.NoError(t, err)
		id, err := pod.Start(t.Context(), "api", 0, 0, "pause")
		require.NoError(t, err)
		await(t, sink, id, eventStarted)
		d.Halt()
		time.Sleep(time.Second)
		require.NoError(t, d.Run(t.Context()))
		await(t, sink, id, eventStopped)
		second, err := pod.Start(t.Context(), "other", 0, 0, "pause")
		if err == nil { // its sandbox died with it; some versions find that out at once
			await(t, sink, second, eventStarted)
		}
		assert.Equal(t, []string{eventCreated, eventStarted, eventStopped}, events(sink, id))
	})
}

// An image that comes is told, one that is there is not.
func TestRealImages(t *testing.T) {
	each(t, func(t *testing.T, d *containerd.Daemon) {
		sink, _ := follow(t, d.Socket)
		require.NoError(t, d.Import(t.Context(), "tapio.test/another:2", program(t)))
		pulled := func() (all []string) {
			for _, ld := range sink.AllLogs() {
				rl := ld.ResourceLogs().At(0)
				if rec := rl.ScopeLogs().At(0).LogRecords().At(0); rec.EventName() == eventImagePulled {
					all = append(all, fmt.Sprintf("%s %v", rec.Body().Str(), rl.Resource().Attributes().AsRaw()["container.image.tags"]))
				}
			}
			return all
		}
		require.Eventually(t, func() bool { return len(pulled()) > 0 }, waitAtMost, pause)
		assert.Equal(t, []string{"the image tapio.test/another:2 is there [2]"}, pulled())
	})
}

// The metrics say who each container and pod is.
func TestRealMetrics(t *testing.T) {
	each(t, func(t *testing.T, d *containerd.Daemon) {
		pod, err := d.NewPod(t.Context(), "shop", "api-1", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
		require.NoError(t, err)
		running, err := pod.Start(t.Context(), "api", 4, 0, "pause")
		require.NoError(t, err)
		over, err := pod.Start(t.Context(), "setup", 0, 0, "exit", "0", "0")
		require.NoError(t, err)
		_, err = d.Wait(t.Context(), over)
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{
			"pod shop/api-1 cri.sandbox.state=ready",
			"container api (restart 4) of shop/api-1 from tapio.test/workload:1 is " + running + " cri.container.state=running",
			"container setup (restart 0) of shop/api-1 from tapio.test/workload:1 is " + over + " cri.container.state=exited",
		}, scrapeOnce(t, d.Socket))
	})
}

// told is a log record with its resource.
type told struct {
	resource pcommon.Map
	rec      plog.LogRecord
}

// follow starts the logs half and waits until it has seen what is there. It returns the runtime's version.
func follow(t *testing.T, socket string) (*consumertest.LogsSink, string) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints, cfg.PollInterval = []string{"unix://" + socket}, 100*time.Millisecond
	require.NoError(t, cfg.Validate())
	sink := &consumertest.LogsSink{}
	made, err := NewFactory().CreateLogs(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	r := made.(*eventsReceiver)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	rt, err := connect(t.Context(), socket)
	require.NoError(t, err)
	defer rt.close()
	time.Sleep(500 * time.Millisecond) // the list is read
	return sink, rt.version
}

// recordsOf are the records about a container so far; without an id, those about sandboxes.
func recordsOf(sink *consumertest.LogsSink, id string) []told {
	var all []told
	for _, ld := range sink.AllLogs() {
		rl := ld.ResourceLogs().At(0)
		rec := rl.ScopeLogs().At(0).LogRecords().At(0)
		who, ok := rl.Resource().Attributes().Get("container.id")
		if ok && who.Str() == id || !ok && id == "" && strings.HasPrefix(rec.EventName(), "cri.sandbox.") {
			all = append(all, told{rl.Resource().Attributes(), rec})
		}
	}
	return all
}

func events(sink *consumertest.LogsSink, id string) []string {
	var all []string
	for _, r := range recordsOf(sink, id) {
		all = append(all, r.rec.EventName())
	}
	return all
}

func await(t *testing.T, sink *consumertest.LogsSink, id, event string) told {
	t.Helper()
	for deadline := time.Now().Add(waitAtMost); time.Now().Before(deadline); time.Sleep(pause) {
		for _, r := range recordsOf(sink, id) {
			if r.rec.EventName() == event {
				return r
			}
		}
	}
	t.Fatalf("no %s of %s, but %v", event, id, events(sink, id))
	return told{}
}

func attribute(rec plog.LogRecord, name string) string {
	v, _ := rec.Attributes().Get(name)
	return v.Str()
}

// scrapeOnce reads the metrics once, and returns each data point with its resource.
func scrapeOnce(t *testing.T, socket string) []string {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints = []string{socket}
	set := receivertest.NewNopSettings(metadata.Type)
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	require.NoError(t, err)
	s := newMetricsScraper(cfg, set, telemetry)
	t.Cleanup(func() { require.NoError(t, s.shutdown(context.Background())) })
	md, err := s.scrape(t.Context())
	require.NoError(t, err)
	var all []string
	for _, rm := range md.ResourceMetrics().All() {
		a := rm.Resource().Attributes().AsRaw()
		who := fmt.Sprintf("pod %v/%v", a["k8s.namespace.name"], a["k8s.pod.name"])
		if a["container.id"] != nil {
			who = fmt.Sprintf("container %v (restart %v) of %v/%v from %v:%v is %v", a["k8s.container.name"], a["k8s.container.restart_count"],
				a["k8s.namespace.name"], a["k8s.pod.name"], a["container.image.name"], a["container.image.tags"].([]any)[0], a["container.id"])
		}
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			for _, p := range m.Gauge().DataPoints().All() {
				state, _ := p.Attributes().Get(m.Name())
				all = append(all, fmt.Sprintf("%s %s=%s", who, m.Name(), state.Str()))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return strings.Index("pc", a[:1]) - strings.Index("pc", b[:1]) })
	return all
}
