package crireceiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

const (
	isCreated = cri.ContainerState_CONTAINER_CREATED
	isRunning = cri.ContainerState_CONTAINER_RUNNING
	isExited  = cri.ContainerState_CONTAINER_EXITED
	isUnknown = cri.ContainerState_CONTAINER_UNKNOWN
)

// world is a tracker with the containers that there are, by what the test says of them.
type world struct {
	*tracker
	containers map[string]*cri.ContainerStatus
	sandboxes  map[string]cri.PodSandboxState
	images     []*cri.Image
	asked      int
	told       []string
}

func newWorld(t testing.TB, most int) *world {
	telemetry, err := metadata.NewTelemetryBuilder(componenttest.NewNopTelemetrySettings())
	require.NoError(t, err)
	w := &world{containers: map[string]*cri.ContainerStatus{}, sandboxes: map[string]cri.PodSandboxState{}}
	w.tracker = newTracker(most, telemetry, func(_ context.Context, h happening) {
		w.told = append(w.told, strings.TrimPrefix(h.event, "cri.")+": "+h.text)
	})
	return w
}

func state(id, name string, attempt uint32, is cri.ContainerState) *cri.ContainerStatus {
	s := &cri.ContainerStatus{Id: id, State: is, CreatedAt: 10, Metadata: &cri.ContainerMetadata{Name: name, Attempt: attempt},
		Labels: map[string]string{labelUID: "u1", labelPod: "api-1", labelNamespace: "shop"}}
	if is != isCreated {
		s.StartedAt = 20
	}
	if is == isExited {
		s.FinishedAt, s.Reason = 30, "Completed"
	}
	return s
}

// list lets the tracker see all there is, and returns what it told.
func (w *world) list(t testing.TB) []string {
	t.Helper()
	inv := &inventory{images: w.images}
	for id, state := range w.sandboxes {
		inv.sandboxes = append(inv.sandboxes, &cri.PodSandbox{Id: id, State: state, Metadata: &cri.PodSandboxMetadata{Name: "api-1", Namespace: "shop", Uid: "u1"}})
	}
	for _, s := range w.containers {
		inv.containers = append(inv.containers, &cri.Container{Id: s.GetId(), State: s.GetState(), Metadata: s.GetMetadata(), Labels: s.GetLabels(), CreatedAt: s.GetCreatedAt()})
	}
	require.NoError(t, w.sync(t.Context(), inv, func(_ context.Context, id string) (*cri.ContainerStatus, error) {
		w.asked++
		return w.containers[id], nil
	}))
	return w.tell()
}

func (w *world) tell() []string {
	told := w.told
	w.told = nil
	return told
}

// What two lists, one after the other, say happened between them to a container that was as before, and is as after.
func TestDifference(t *testing.T) {
	const who = "container api of shop/api-1"
	created, started := "container.created: "+who+" was created from ", "container.started: "+who+" was started"
	ended := "container.stopped: " + who + " ended with exit code 0, reason Completed"
	removed := "container.removed: " + who + " was removed"
	for name, c := range map[string]struct {
		before, after *cri.ContainerStatus
		want          []string
	}{
		"new":                         {nil, state("c1", "api", 0, isCreated), []string{created}},
		"new, and running":            {nil, state("c1", "api", 0, isRunning), []string{created, started}},
		"new, and over":               {nil, state("c1", "api", 0, isExited), []string{created, started, ended}},
		"it was started":              {state("c1", "api", 0, isCreated), state("c1", "api", 0, isRunning), []string{started}},
		"it ended":                    {state("c1", "api", 0, isRunning), state("c1", "api", 0, isExited), []string{ended}},
		"it was started, and ended":   {state("c1", "api", 0, isCreated), state("c1", "api", 0, isExited), []string{started, ended}},
		"it still runs":               {state("c1", "api", 0, isRunning), state("c1", "api", 0, isRunning), nil},
		"it is over":                  {state("c1", "api", 0, isExited), state("c1", "api", 0, isExited), nil},
		"removed":                     {state("c1", "api", 0, isExited), nil, []string{removed}},
		"removed before it was seen":  {state("c1", "api", 0, isRunning), nil, []string{removed}},
		"the runtime has lost it":     {state("c1", "api", 0, isRunning), state("c1", "api", 0, isUnknown), nil},
		"and found it again, over":    {state("c1", "api", 0, isUnknown), state("c1", "api", 0, isExited), []string{ended}},
		"states do not go back":       {state("c1", "api", 0, isExited), state("c1", "api", 0, isRunning), nil},
		"the next one of its name":    {state("c1", "api", 0, isExited), state("c2", "api", 1, isRunning), []string{created, started, "container.restarted: " + who + " was started anew (restart 1)", removed}},
		"another one of another name": {state("c1", "api", 0, isExited), state("c2", "log", 1, isRunning), []string{"container.created: container log of shop/api-1 was created from ", "container.started: container log of shop/api-1 was started", removed}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 10)
			if c.before != nil {
				w.containers[c.before.GetId()] = c.before
			}
			assert.Empty(t, w.list(t), "what is there at first is no news")
			assert.Zero(t, w.asked, "and is not asked about")
			w.containers = map[string]*cri.ContainerStatus{}
			if c.after != nil {
				w.containers[c.after.GetId()] = c.after
			}
			assert.Equal(t, c.want, w.list(t))
			assert.Empty(t, w.list(t), "it is told once")
		})
	}
}

// How a container ended, in words.
func TestEndings(t *testing.T) {
	for name, c := range map[string]struct {
		status *cri.ContainerStatus
		want   string
	}{
		"killed for want of memory": {&cri.ContainerStatus{StartedAt: 1, ExitCode: 137, Reason: "OOMKilled"}, "ended with exit code 137 (SIGKILL), reason OOMKilled"},
		"crashed":                   {&cri.ContainerStatus{StartedAt: 1, ExitCode: 139, Reason: "Error"}, "ended with exit code 139 (SIGSEGV), reason Error"},
		"never ran":                 {&cri.ContainerStatus{ExitCode: 128, Reason: "StartError"}, "could not be started: exit code 128, reason StartError"},
		"no reason":                 {&cri.ContainerStatus{StartedAt: 1, ExitCode: 2}, "ended with exit code 2"},
	} {
		t.Run(name, func(t *testing.T) {
			ended := &container{identity: identity{id: "c1"}}
			c.status.State = isExited
			ended.take(c.status)
			assert.Equal(t, "container c1 "+c.want, ended.stoppedNow().text)
		})
	}
}

// A runtime may learn a moment later why a container was killed; and its reason is of that end only if the first process ended by it.
func TestOOMKilled(t *testing.T) {
	ended := func(code int32, reason string) *cri.ContainerStatus {
		s := state("c1", "api", 0, isExited)
		s.ExitCode, s.Reason = code, reason
		return s
	}
	const kill = "container.oom_killed: the container runtime was told that the kernel killed container api of shop/api-1 for want of memory"
	w := newWorld(t, 10)
	w.containers["c1"] = state("c1", "api", 0, isRunning)
	w.list(t)
	w.containers["c1"] = ended(137, "OOMKilled")
	assert.Equal(t, []string{kill, "container.stopped: container api of shop/api-1 ended with exit code 137 (SIGKILL), reason OOMKilled"}, w.list(t))
	assert.Empty(t, w.list(t))

	w = newWorld(t, 10)
	w.list(t)
	w.containers["c1"] = ended(137, "Error")
	assert.Len(t, w.list(t), 3)
	assert.Empty(t, w.list(t))
	w.containers["c1"] = ended(137, "OOMKilled")
	assert.Equal(t, []string{kill}, w.list(t))
	assert.Empty(t, w.list(t))
	assert.Empty(t, w.doubtful)

	w = newWorld(t, 10)
	w.list(t)
	w.containers["c1"] = ended(137, "Error")
	w.list(t)
	w.doubtful["c1"] = time.Now().Add(-2 * settled)
	w.list(t)
	assert.Empty(t, w.doubtful, "it was just killed")

	w = newWorld(t, 10)
	w.list(t)
	w.containers["c1"] = ended(1, "OOMKilled")
	assert.NotContains(t, w.list(t), kill, "a child was killed, at some time")
}

func TestSandboxesAndImages(t *testing.T) {
	w := newWorld(t, 10)
	w.sandboxes["old"] = cri.PodSandboxState_SANDBOX_READY
	w.images = []*cri.Image{{Id: "i0", RepoTags: []string{"old:1"}}}
	assert.Empty(t, w.list(t))
	w.sandboxes["s1"] = cri.PodSandboxState_SANDBOX_READY
	w.images = append(w.images, &cri.Image{Id: "i1", RepoTags: []string{"docker.io/library/nginx:1.27"}, Size: 7})
	assert.Equal(t, []string{"image.pulled: the image nginx:1.27 is there", "sandbox.created: the sandbox of shop/api-1 was created"}, w.list(t))
	w.sandboxes["s1"] = cri.PodSandboxState_SANDBOX_NOTREADY
	assert.Equal(t, []string{"sandbox.stopped: the sandbox of shop/api-1 is not ready any more"}, w.list(t))
	delete(w.sandboxes, "s1")
	w.images = w.images[:1]
	assert.Equal(t, []string{"sandbox.removed: the sandbox of shop/api-1 was removed"}, w.list(t))
	w.images = append(w.images, &cri.Image{Id: "i1"})
	assert.Equal(t, []string{"image.pulled: the image i1 is there"}, w.list(t), "it was removed and pulled again")
}

func event(at int64, what cri.ContainerEventType, id string, statuses ...*cri.ContainerStatus) *cri.ContainerEventResponse {
	return &cri.ContainerEventResponse{ContainerId: id, ContainerEventType: what, CreatedAt: at, ContainersStatuses: statuses,
		PodSandboxStatus: &cri.PodSandboxStatus{Id: "s1", Metadata: &cri.PodSandboxMetadata{Name: "api-1", Namespace: "shop", Uid: "u1"}}}
}

// Events and lists tell of the same things, and either may be late.
func TestEventsAndLists(t *testing.T) {
	const (
		started = cri.ContainerEventType_CONTAINER_STARTED_EVENT
		stopped = cri.ContainerEventType_CONTAINER_STOPPED_EVENT
		deleted = cri.ContainerEventType_CONTAINER_DELETED_EVENT
	)
	w := newWorld(t, 10)
	w.sandboxes["s1"] = cri.PodSandboxState_SANDBOX_READY
	w.list(t)
	w.since = 100
	w.take(t.Context(), event(50, started, "c0", state("c0", "api", 0, isRunning)))
	assert.Empty(t, w.tell(), "the runtime repeats what happened before")
	w.take(t.Context(), event(110, started, "c1", state("c1", "api", 0, isRunning)))
	assert.Len(t, w.tell(), 2)
	w.containers["c1"] = state("c1", "api", 0, isExited)
	assert.Len(t, w.list(t), 1, "the list is ahead")
	w.take(t.Context(), event(120, stopped, "c1", state("c1", "api", 0, isExited)))
	assert.Empty(t, w.tell())
	delete(w.containers, "c1")
	assert.Len(t, w.list(t), 1)
	w.take(t.Context(), event(130, stopped, "c1", state("c1", "api", 0, isExited)))
	w.take(t.Context(), event(131, deleted, "c1"))
	assert.Empty(t, w.tell(), "what is late does not bring it back")
	w.take(t.Context(), event(140, deleted, "s1"))
	assert.Equal(t, []string{"sandbox.removed: the sandbox of shop/api-1 was removed"}, w.tell())
}

// Events that come when the clock was set back are told, whatever came before.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t, 10)
	w.list(t)
	now := time.Now()
	take := func(at time.Time, id string) []string {
		w.take(t.Context(), event(at.UnixNano(), cri.ContainerEventType_CONTAINER_CREATED_EVENT, id, state(id, "api", 0, isCreated)))
		return w.tell()
	}
	assert.NotEmpty(t, take(now, "c1"))
	assert.Empty(t, take(now.Add(-time.Hour), "c0"), "an old one")
	assert.NotEmpty(t, take(now.Add(time.Hour), "c2"), "the clock was an hour fast")
	assert.NotEmpty(t, take(now, "c3"))
	assert.Empty(t, take(now.Add(-time.Hour), "c4"))
}

func TestBounds(t *testing.T) {
	w := newWorld(t, 3)
	for i := range 10 {
		id := fmt.Sprint("c", i)
		w.containers[id], w.sandboxes["s"+id] = state(id, "api", 0, isRunning), cri.PodSandboxState_SANDBOX_READY
		w.images = append(w.images, &cri.Image{Id: id})
	}
	w.list(t)
	assert.Len(t, w.tracker.containers, 3)
	assert.Len(t, w.tracker.sandboxes, 3)
	assert.Len(t, w.tracker.images, 3)
	for i := range 2 * maxGone {
		w.containers = map[string]*cri.ContainerStatus{}
		w.list(t)
		id := fmt.Sprint("d", i)
		w.containers[id] = state(id, "api", 0, isExited)
		w.list(t)
	}
	assert.Len(t, w.gone, maxGone)
}

// A runtime that fails in the middle of a list has told nothing wrong: the next one goes on where it ended.
func TestAListThatFails(t *testing.T) {
	w := newWorld(t, 10)
	w.list(t)
	w.containers["c1"] = state("c1", "api", 0, isRunning)
	err := w.sync(t.Context(), &inventory{containers: []*cri.Container{{Id: "c1", State: isRunning}}},
		func(context.Context, string) (*cri.ContainerStatus, error) { return nil, errors.New("busy") })
	require.Error(t, err)
	assert.Empty(t, w.tell())
	assert.Len(t, w.list(t), 2)
}

// One container of which the runtime cannot say how it is does not keep it from telling of the others.
func TestAContainerThatCannotBeAskedAbout(t *testing.T) {
	w := newWorld(t, 10)
	w.list(t)
	for _, id := range []string{"c1", "c2", "c3"} {
		w.containers[id] = state(id, "api", 0, isRunning)
	}
	err := w.sync(t.Context(), &inventory{containers: []*cri.Container{{Id: "c1", State: isRunning}, {Id: "c2", State: isRunning}, {Id: "c3", State: isRunning}}},
		func(_ context.Context, id string) (*cri.ContainerStatus, error) {
			if id == "c2" {
				return nil, errors.New("its shim has died")
			}
			return w.containers[id], nil
		})
	require.ErrorContains(t, err, "its shim has died")
	assert.Len(t, w.tell(), 4)
	assert.Len(t, w.list(t), 2, "it is asked about again")
}

// Whatever a runtime says, what is told is bounded and has a name, and states only go forward.
func FuzzTracker(f *testing.F) {
	f.Add("c1", "api", "api-1", "nginx:1", "OOMKilled", "out of memory", int32(2), int32(137), int64(10), int64(20), uint8(2))
	f.Add("", "", "", "@", "\xff", strings.Repeat("x", 3000), int32(-5), int32(-1), int64(-1), int64(1<<62), uint8(3))
	f.Fuzz(func(t *testing.T, id, name, podName, img, reason, message string, state, code int32, at, finished int64, what uint8) {
		w := newWorld(t, 4)
		w.happened = func(_ context.Context, h happening) {
			require.NotEmpty(t, h.event)
			require.NotEmpty(t, h.text)
			require.LessOrEqual(t, len(h.text), 6*maxText)
			h.of.put(metadata.NewResourceBuilder(metadata.DefaultResourceAttributesConfig()), "containerd")
		}
		w.list(t)
		s := &cri.ContainerStatus{Id: id, State: cri.ContainerState(state), ExitCode: code, Reason: reason, Message: message, StartedAt: at, FinishedAt: finished,
			Metadata: &cri.ContainerMetadata{Name: name}, Labels: map[string]string{labelPod: podName}, Image: &cri.ImageSpec{Image: img}}
		w.containers[id] = s
		w.images = []*cri.Image{{Id: img, RepoTags: []string{img}, Size: uint64(at)}}
		w.list(t)
		w.take(t.Context(), event(at, cri.ContainerEventType(what), id, s))
		w.take(t.Context(), &cri.ContainerEventResponse{})
		delete(w.containers, id)
		w.list(t)
		require.Empty(t, w.tracker.containers)
	})
}
