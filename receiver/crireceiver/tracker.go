package crireceiver

import (
	"context"
	"slices"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

// maxGone bounds the ids of removed containers that are remembered, so that what is late about one does not bring it back.
const maxGone = 256

// tracker knows the containers, sandboxes and images of one runtime, and tells what happens to them: by the difference to what
// was known, whether a list or an event shows it. It is used by one goroutine.
type tracker struct {
	max       int
	telemetry *metadata.TelemetryBuilder
	happened  func(context.Context, happening)

	containers map[string]*container
	sandboxes  map[string]*sandbox
	images     names
	gone       []string
	// doubtful are the containers that ended by SIGKILL just now, since when: a runtime may learn why a moment after it learned that.
	doubtful map[string]time.Time
	// synced says that all was listed before: what is not known then is new.
	synced bool
	// since is when the latest event that was taken in happened (ns since 1970): a runtime repeats older ones.
	since int64
}

// container is what is known of a container.
type container struct {
	identity
	state cri.ContainerState
	// created, started and finished are in ns since 1970; 0 is not known, or not yet.
	created, started, finished int64
	exit                       int32
	reason, message            string
}

// sandbox is what is known of a pod's sandbox.
type sandbox struct {
	id      string
	pod     pod
	state   cri.PodSandboxState
	created int64
}

func newTracker(most int, telemetry *metadata.TelemetryBuilder, happened func(context.Context, happening)) *tracker {
	return &tracker{max: most, telemetry: telemetry, happened: happened, containers: map[string]*container{},
		sandboxes: map[string]*sandbox{}, doubtful: map[string]time.Time{}}
}

// sync takes in all that there is. Of what it finds for the first time, or changed, it asks status for more. A container of which there was
// no answer stays as it was known, and is asked about again the next time; the error is about the first of them.
func (t *tracker) sync(ctx context.Context, inv *inventory, status func(context.Context, string) (*cri.ContainerStatus, error)) error {
	t.syncImages(ctx, inv.images)
	var failed error
	until := time.Now().Add(patience)
	listed := make(map[string]bool, len(inv.sandboxes)+len(inv.containers))
	for _, s := range inv.sandboxes {
		listed[s.GetId()] = true
		t.seeSandbox(ctx, &sandbox{id: s.GetId(), pod: podOf(s.GetLabels(), s.GetMetadata()), state: s.GetState(), created: s.GetCreatedAt()})
	}
	for _, c := range inv.containers {
		listed[c.GetId()] = true
		known := t.containers[c.GetId()]
		if known != nil && stage(c.GetState()) <= stage(known.state) || !valid(c.GetId()) {
			continue
		}
		now := &container{identity: identify(c, t.podOf(c.GetPodSandboxId()), t.images), state: c.GetState(), created: c.GetCreatedAt()}
		if t.synced {
			if failed != nil && time.Now().After(until) {
				continue
			}
			s, err := status(ctx, c.GetId())
			if err != nil && failed == nil {
				failed = err
			}
			if s == nil {
				continue // gone already, or nobody knows
			}
			now.take(s)
		}
		t.see(ctx, now)
	}
	for _, id := range missing(t.containers, listed) {
		t.remove(ctx, id)
	}
	for _, id := range missing(t.sandboxes, listed) {
		t.removeSandbox(ctx, id)
	}
	t.synced = true
	if err := t.doubt(ctx, status); err != nil && failed == nil {
		failed = err
	}
	return failed
}

// missing are the ids of what is known and not listed, in order.
func missing[T any](known map[string]T, listed map[string]bool) []string {
	var ids []string
	for id := range known {
		if !listed[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// take takes in an event. It carries the states of the whole pod at the time.
func (t *tracker) take(ctx context.Context, e *cri.ContainerEventResponse) {
	if e.GetCreatedAt() < t.since && t.since <= time.Now().UnixNano() { // else the clock was set back
		return
	}
	t.since = e.GetCreatedAt()
	box := e.GetPodSandboxStatus()
	of := podOf(box.GetLabels(), box.GetMetadata())
	t.seeSandbox(ctx, &sandbox{id: box.GetId(), pod: of, state: box.GetState(), created: box.GetCreatedAt()})
	for _, s := range e.GetContainersStatuses() {
		c := &cri.Container{Id: s.GetId(), Metadata: s.GetMetadata(), Labels: s.GetLabels(), Image: s.GetImage(), ImageRef: s.GetImageRef(), ImageId: s.GetImageId()}
		now := &container{identity: identify(c, of, t.images), created: s.GetCreatedAt()}
		now.take(s)
		t.see(ctx, now)
	}
	if e.GetContainerEventType() == cri.ContainerEventType_CONTAINER_DELETED_EVENT {
		t.remove(ctx, e.GetContainerId())
		t.removeSandbox(ctx, e.GetContainerId())
	}
}

// take takes in what the runtime says of a container when it is asked.
func (c *container) take(s *cri.ContainerStatus) {
	c.state, c.started, c.finished = s.GetState(), s.GetStartedAt(), s.GetFinishedAt()
	c.exit, c.reason, c.message = s.GetExitCode(), cut(s.GetReason()), cut(s.GetMessage())
}

func (t *tracker) podOf(sandbox string) pod {
	if s := t.sandboxes[sandbox]; s != nil {
		return s.pod
	}
	return pod{}
}

// room says whether one more of what there are n can be followed.
func (t *tracker) room(ctx context.Context, n int) bool {
	if n < t.max {
		return true
	}
	t.telemetry.ReceiverCriDropped.Add(ctx, 1)
	return false
}

func (t *tracker) tell(ctx context.Context, h happening) {
	if t.synced {
		t.happened(ctx, h)
	}
}

// valid says whether an id is one: runtimes use 64 hexadecimal digits.
func valid(id string) bool { return id != "" && len(id) <= maxText }

// stage is how far a container is in its life. One whose state a runtime does not know after its own restart was running when
// it was known.
func stage(s cri.ContainerState) int {
	switch s {
	case cri.ContainerState_CONTAINER_CREATED:
		return 0
	case cri.ContainerState_CONTAINER_EXITED:
		return 2
	}
	return 1
}

// see takes in how a container is now. States only go forward: what is older than what is known says nothing.
func (t *tracker) see(ctx context.Context, now *container) {
	known := t.containers[now.id]
	before := cri.ContainerState_CONTAINER_CREATED
	switch {
	case !valid(now.id), known == nil && (slices.Contains(t.gone, now.id) || !t.room(ctx, len(t.containers))):
		return
	case known == nil:
		t.tell(ctx, now.createdNow())
	case stage(now.state) <= stage(known.state):
		return
	default:
		before = known.state
		now.identity = known.identity
	}
	t.containers[now.id] = now
	ran := now.state == cri.ContainerState_CONTAINER_RUNNING || now.state == cri.ContainerState_CONTAINER_EXITED && now.started > 0
	if before == cri.ContainerState_CONTAINER_CREATED && ran {
		t.tell(ctx, now.startedNow())
		if p := t.previous(now); p != nil {
			t.tell(ctx, p.restartedNow(now))
		}
	}
	if now.state != cri.ContainerState_CONTAINER_EXITED {
		return
	}
	if now.outOfMemory() {
		t.tell(ctx, now.oomKilledNow())
	} else if now.exit == killed && t.synced {
		t.doubtful[now.id] = time.Now()
	}
	t.tell(ctx, now.stoppedNow())
}

// settled is how long a runtime may take to learn why a container was killed. (containerd learns of the end of a process and of
// its cgroup's shortage in two ways, in either order; 2.x waits for the second for 1 s itself.)
const settled = 10 * time.Second

// doubt asks once more about the containers of which it was not known yet why they were killed.
func (t *tracker) doubt(ctx context.Context, status func(context.Context, string) (*cri.ContainerStatus, error)) error {
	for id, since := range t.doubtful {
		c := t.containers[id]
		if c == nil || time.Since(since) > settled {
			delete(t.doubtful, id)
			continue
		}
		s, err := status(ctx, id)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		if c.reason = cut(s.GetReason()); c.outOfMemory() {
			delete(t.doubtful, id)
			t.tell(ctx, c.oomKilledNow())
		}
	}
	return nil
}

// previous is the container that this one takes the place of: the one of its name in its pod before it.
func (t *tracker) previous(now *container) *container {
	var found *container
	for _, c := range t.containers {
		if c.pod.uid == now.pod.uid && c.name == now.name && c.restarts < now.restarts && (found == nil || c.restarts > found.restarts) {
			found = c
		}
	}
	return found
}

func (t *tracker) remove(ctx context.Context, id string) {
	c := t.containers[id]
	if c == nil {
		return
	}
	delete(t.containers, id)
	if t.gone = append(t.gone, id); len(t.gone) > maxGone {
		t.gone = slices.Delete(t.gone, 0, 1)
	}
	if c.state != cri.ContainerState_CONTAINER_EXITED {
		t.telemetry.ReceiverCriUnseen.Add(ctx, 1)
	}
	t.tell(ctx, c.removedNow())
}

func (t *tracker) seeSandbox(ctx context.Context, now *sandbox) {
	known := t.sandboxes[now.id]
	switch {
	case !valid(now.id), known == nil && (slices.Contains(t.gone, now.id) || !t.room(ctx, len(t.sandboxes))):
		return
	case known == nil:
		t.tell(ctx, now.createdNow())
	case now.state <= known.state:
		return
	}
	t.sandboxes[now.id] = now
	if now.state == cri.PodSandboxState_SANDBOX_NOTREADY {
		t.tell(ctx, now.stoppedNow())
	}
}

func (t *tracker) removeSandbox(ctx context.Context, id string) {
	s := t.sandboxes[id]
	if s == nil {
		return
	}
	delete(t.sandboxes, id)
	if t.gone = append(t.gone, id); len(t.gone) > maxGone {
		t.gone = slices.Delete(t.gone, 0, 1)
	}
	t.tell(ctx, s.removedNow())
}

func (t *tracker) syncImages(ctx context.Context, images []*cri.Image) {
	if extra := len(images) - t.max; extra > 0 {
		t.telemetry.ReceiverCriDropped.Add(ctx, int64(extra))
	}
	now := namesOf(images, t.max)
	for _, i := range images {
		_, known := t.images[i.GetId()]
		if called, followed := now[i.GetId()]; followed && !known {
			t.tell(ctx, pulledNow(imageOf(nil, i.GetId(), called...), i.GetSize()))
		}
	}
	t.images = now
}
