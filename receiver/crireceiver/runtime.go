package crireceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// patience is how long a runtime may take to answer one call.
	patience = 10 * time.Second
	// maxMessage bounds an answer (bytes); it is the kubelet's own bound (internal/cri remote utils, maxMsgSize).
	maxMessage = 16 << 20
	// maxEvents bounds the events that wait to be taken in; more wait in the runtime.
	maxEvents = 256
)

// runtime is a connection to a container runtime.
type runtime struct {
	name, version string

	conn   *grpc.ClientConn
	client cri.RuntimeServiceClient
	images cri.ImageServiceClient
	// addresses are the IP addresses of sandboxes, by their ids; empty for those of the machine's network.
	addresses map[string]string
}

// connect connects to the runtime at a socket and makes sure that one answers there.
func connect(ctx context.Context, socket string) (*runtime, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	conn, err := grpc.NewClient("passthrough:///localhost", grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // a socket of this machine; its permissions protect it
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("connect to the container runtime at %s: %w", socket, err)
	}
	r := &runtime{conn: conn, client: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn), addresses: map[string]string{}}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := r.client.Version(ctx, &cri.VersionRequest{})
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ask the container runtime at %s for its version: %w", socket, err)
	}
	r.name, r.version = cut(v.GetRuntimeName()), cut(v.GetRuntimeVersion())
	return r, nil
}

func (r *runtime) close() { _ = r.conn.Close() }

// inventory is all that a runtime has at a time.
type inventory struct {
	sandboxes  []*cri.PodSandbox
	containers []*cri.Container
	images     []*cri.Image
}

// list asks for all that there is. Sandboxes come first: a container that is listed then has its sandbox listed too, or is so
// young that it is found the next time.
func (r *runtime) list(ctx context.Context) (*inventory, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sandboxes, err := r.client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes: %w", err)
	}
	containers, err := r.client.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	images, err := r.images.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", err)
	}
	return &inventory{sandboxes: sandboxes.GetItems(), containers: containers.GetContainers(), images: images.GetImages()}, nil
}

// status asks how one container is. It returns nil when there is none of that id any more.
func (r *runtime) status(ctx context.Context, id string) (*cri.ContainerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := r.client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the status of container %s: %w", id, err)
	}
	return s.GetStatus(), nil
}

// locate learns the addresses of sandboxes, and forgets those of the ones that are gone. Each is asked for once: it does not change. Of
// which there was no answer is asked again the next time; the error is about the first of them.
func (r *runtime) locate(ctx context.Context, sandboxes []*cri.PodSandbox) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := r.addresses
	r.addresses = make(map[string]string, len(sandboxes))
	var failed error
	for _, s := range sandboxes {
		if known, ok := before[s.GetId()]; ok {
			r.addresses[s.GetId()] = known
			continue
		}
		if s.GetState() != cri.PodSandboxState_SANDBOX_READY || ctx.Err() != nil {
			continue
		}
		answer, err := r.client.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: s.GetId()})
		if status.Code(err) == codes.NotFound {
			continue // gone meanwhile
		}
		if err != nil {
			if failed == nil {
				failed = fmt.Errorf("ask for the status of sandbox %s: %w", s.GetId(), err)
			}
			continue
		}
		address, of := "", answer.GetStatus()
		if of.GetLinux().GetNamespaces().GetOptions().GetNetwork() == cri.NamespaceMode_POD {
			address = cut(of.GetNetwork().GetIp())
		}
		r.addresses[s.GetId()] = address
	}
	return failed
}

// shares says whether all who ask for events get all of them. containerd before 2.0 gives each event to one only of those who
// asked: we would take the kubelet's away (containerd#7318).
func (r *runtime) shares() bool {
	major, _, _ := strings.Cut(strings.TrimPrefix(r.version, "v"), ".")
	n, err := strconv.Atoi(major)
	return r.name != "containerd" || err == nil && n >= 2
}

// errNoEvents says that a runtime sends no events.
var errNoEvents = errors.New("the runtime sends no events")

// subscribe asks for events. The channel of them is closed when there are no more, and the reason is in the other then:
// errNoEvents where the runtime has none.
func (r *runtime) subscribe(ctx context.Context) (<-chan *cri.ContainerEventResponse, <-chan error) {
	events, why := make(chan *cri.ContainerEventResponse, maxEvents), make(chan error, 1)
	if !r.shares() {
		why <- errNoEvents
		close(events)
		return events, why
	}
	go func() {
		defer close(events)
		stream, err := r.client.GetContainerEvents(ctx, &cri.GetEventsRequest{})
		for err == nil {
			var e *cri.ContainerEventResponse
			if e, err = stream.Recv(); err == nil {
				select {
				case events <- e:
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
		}
		// CRI-O without enable_pod_events ends the stream at once, others do not know the call.
		if code := status.Code(err); errors.Is(err, io.EOF) || code == codes.Unimplemented {
			err = errNoEvents
		}
		why <- err
	}()
	return events, why
}
