//go:build linux

package crireceiver

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

// double speaks the CRI and runs nothing: it stands for what a containerd cannot be made to do, such as to break a stream, and
// for how CRI-O answers where no events are configured. What runtimes really do is tested on real ones (TestReal…).
type double struct {
	cri.UnimplementedRuntimeServiceServer
	cri.UnimplementedImageServiceServer

	name, version string
	stream        func(cri.RuntimeService_GetContainerEventsServer) error

	mu         sync.Mutex
	containers []*cri.ContainerStatus
	sandboxes  []*cri.PodSandboxStatus
	asked      []string // the sandboxes that were asked about
	broken     string   // the one of which nothing is known
	streams    int
}

func (d *double) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	if d.name == "" {
		return nil, grpcstatus.Error(codes.Unimplemented, "unknown service runtime.v1.RuntimeService")
	}
	return &cri.VersionResponse{RuntimeName: d.name, RuntimeVersion: d.version}, nil
}

func (d *double) ListPodSandbox(context.Context, *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &cri.ListPodSandboxResponse{}
	for _, s := range d.sandboxes {
		r.Items = append(r.Items, &cri.PodSandbox{Id: s.GetId(), State: s.GetState(), Metadata: s.GetMetadata()})
	}
	return r, nil
}

func (d *double) PodSandboxStatus(_ context.Context, r *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.GetPodSandboxId())
	if r.GetPodSandboxId() == d.broken {
		return nil, grpcstatus.Error(codes.Unknown, "failed to query controller status: ttrpc: closed")
	}
	for _, s := range d.sandboxes {
		if s.GetId() == r.GetPodSandboxId() && s.GetNetwork() != nil {
			return &cri.PodSandboxStatusResponse{Status: s}, nil
		}
	}
	return nil, grpcstatus.Error(codes.NotFound, "no such sandbox")
}

func (d *double) ListImages(context.Context, *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	return &cri.ListImagesResponse{}, nil
}

func (d *double) ListContainers(context.Context, *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &cri.ListContainersResponse{}
	for _, s := range d.containers {
		r.Containers = append(r.Containers, &cri.Container{Id: s.GetId(), State: s.GetState(), Metadata: s.GetMetadata(), Labels: s.GetLabels(), CreatedAt: s.GetCreatedAt()})
	}
	return r, nil
}

func (d *double) ContainerStatus(_ context.Context, r *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.containers {
		if s.GetId() == r.GetContainerId() {
			return &cri.ContainerStatusResponse{Status: s}, nil
		}
	}
	return nil, grpcstatus.Error(codes.NotFound, "no such container")
}

func (d *double) GetContainerEvents(_ *cri.GetEventsRequest, s cri.RuntimeService_GetContainerEventsServer) error {
	d.mu.Lock()
	d.streams++
	d.mu.Unlock()
	return d.stream(s)
}

func (d *double) set(containers ...*cri.ContainerStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.containers = containers
}

func (d *double) subscribed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.streams
}

// serve serves the double at a socket.
func (d *double) serve(t testing.TB) (socket string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "tapio") // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket = filepath.Join(folder, "sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	s := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(s, d)
	cri.RegisterImageServiceServer(s, d)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return socket
}

// start starts the logs half, and returns what it logs.
func start(t *testing.T, cfg *Config, next consumer.Logs) *observer.ObservedLogs {
	t.Helper()
	core, said := observer.New(zap.DebugLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	r, err := NewFactory().CreateLogs(context.Background(), set, cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return said
}

func config(socket string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints, cfg.PollInterval = []string{socket}, leastPoll
	return cfg
}

// Where there is no runtime, the receiver starts, and says so once to whoever asked for one, and to nobody else.
func TestNoRuntime(t *testing.T) {
	cfg := config(filepath.Join(t.TempDir(), "missing"))
	said := start(t, cfg, &consumertest.LogsSink{})
	require.Eventually(t, func() bool { return said.FilterLevelExact(zap.WarnLevel).Len() == 1 }, waitAtMost, pause)
	assert.Contains(t, said.All()[0].ContextMap()["error"], "no such file")
	time.Sleep(1500 * time.Millisecond) // it tries again in a second
	assert.Equal(t, 1, said.Len())
	assert.Empty(t, scrapeOnce(t, cfg.Endpoints[0]))

	core, silent := observer.New(zap.InfoLevel)
	(&follower{logger: zap.New(core), tracker: &tracker{}}).say(errTwice)
	assert.Empty(t, silent.All(), "nobody asked")
}

// A runtime that sends no events, as CRI-O without enable_pod_events, is asked again and again.
func TestARuntimeWithoutEvents(t *testing.T) {
	d := &double{name: "cri-o", version: "1.33.0", stream: func(cri.RuntimeService_GetContainerEventsServer) error { return nil }}
	sink := &consumertest.LogsSink{}
	start(t, config(d.serve(t)), sink)
	require.Eventually(t, func() bool { return d.subscribed() == 1 }, waitAtMost, pause)
	time.Sleep(3 * leastPoll)
	d.set(state("c1", "api", 0, isRunning))
	await(t, sink, "c1", eventStarted)
	d.set(state("c1", "api", 0, isExited))
	await(t, sink, "c1", eventStopped)
	d.set()
	await(t, sink, "c1", eventRemoved)
	assert.Equal(t, 1, d.subscribed())
}

// containerd before 2.0 gives each event to one of those who asked for them: it is not asked, or the kubelet would miss some.
func TestEventsAreTakenFromNobody(t *testing.T) {
	for version, want := range map[string]bool{"1.6.20~ds1": false, "v1.7.28": false, "v2.0.0": true, "2.4.2": true, "": false, "v2-dev": false} {
		assert.Equal(t, want, (&runtime{name: "containerd", version: version}).shares(), version)
	}
	assert.True(t, (&runtime{name: "cri-o", version: "1.33.0"}).shares())
}

// A stream of events that breaks is asked for again, and what was missed is told by the difference, once.
func TestAStreamThatBreaks(t *testing.T) {
	broken := make(chan struct{})
	d := &double{name: "containerd", version: "v2.0.0"}
	d.stream = func(s cri.RuntimeService_GetContainerEventsServer) error {
		if d.subscribed() == 1 {
			<-broken
			return errors.New("broken")
		}
		<-s.Context().Done()
		return s.Context().Err()
	}
	sink := &consumertest.LogsSink{}
	said := start(t, config(d.serve(t)), sink)
	require.Eventually(t, func() bool { return d.subscribed() == 1 }, waitAtMost, pause)
	time.Sleep(3 * leastPoll) // the first list is read
	d.set(state("c1", "api", 0, isExited))
	close(broken)
	await(t, sink, "c1", eventStopped)
	assert.Equal(t, []string{eventCreated, eventStarted, eventStopped}, events(sink, "c1"))
	assert.Equal(t, 1, said.FilterLevelExact(zap.WarnLevel).Len())
}

// What the next component refuses for now is offered again; nothing is lost.
func TestARefusalIsNoLoss(t *testing.T) {
	d := &double{name: "cri-o", version: "1.33.0", stream: func(cri.RuntimeService_GetContainerEventsServer) error { return nil }}
	sink := &consumertest.LogsSink{}
	refused := 0
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if refused++; refused <= 3 {
			return errors.New("full")
		}
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	start(t, config(d.serve(t)), next)
	time.Sleep(3 * leastPoll)
	d.set(state("c1", "api", 0, isExited))
	await(t, sink, "c1", eventStopped)
	assert.Equal(t, []string{eventCreated, eventStarted, eventStopped}, events(sink, "c1"))
}

// What answers, but is no CRI (Docker's own containerd has it switched off), is left alone.
func TestNotTheCRI(t *testing.T) {
	d := &double{}
	said := start(t, config(d.serve(t)), &consumertest.LogsSink{})
	require.Eventually(t, func() bool { return said.Len() == 1 }, waitAtMost, pause)
	assert.Contains(t, said.All()[0].ContextMap()["error"], "ask the container runtime at")
	assert.Contains(t, said.All()[0].ContextMap()["error"], "unknown service")
}

// A socket by a second name is followed once.
func TestTwoNamesOfOneSocket(t *testing.T) {
	d := &double{name: "cri-o"}
	socket := d.serve(t)
	link := socket + "-link"
	require.NoError(t, os.Symlink(socket, link))
	before := usual
	usual = []string{link, socket}
	t.Cleanup(func() { usual = before })
	assert.ErrorIs(t, there(link, false), errTwice)
	assert.NoError(t, there(link, true))
	assert.NoError(t, there(socket, false))
	assert.ErrorContains(t, there(filepath.Dir(socket), false), "is no socket")
}

// A pod is told with its address, which is asked for once, unless it has that of the node.
func TestAddresses(t *testing.T) {
	box := func(name string, state cri.PodSandboxState, network cri.NamespaceMode, ip string) *cri.PodSandboxStatus {
		return &cri.PodSandboxStatus{Id: name, State: state, Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "shop", Uid: name},
			Network: &cri.PodSandboxNetworkStatus{Ip: ip}, Linux: &cri.LinuxPodSandboxStatus{Namespaces: &cri.Namespace{Options: &cri.NamespaceOption{Network: network}}}}
	}
	gone := box("gone", cri.PodSandboxState_SANDBOX_READY, cri.NamespaceMode_POD, "")
	gone.Network = nil
	d := &double{name: "double", sandboxes: []*cri.PodSandboxStatus{
		box("api", cri.PodSandboxState_SANDBOX_READY, cri.NamespaceMode_POD, "10.244.0.9"),
		box("proxy", cri.PodSandboxState_SANDBOX_READY, cri.NamespaceMode_NODE, "10.1.0.3"),
		box("over", cri.PodSandboxState_SANDBOX_NOTREADY, cri.NamespaceMode_POD, "10.244.0.8"),
		gone,
	}}
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoints = []string{"unix://" + d.serve(t)}
	set := receivertest.NewNopSettings(metadata.Type)
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	require.NoError(t, err)
	s := newMetricsScraper(cfg, set, telemetry)
	t.Cleanup(func() { require.NoError(t, s.shutdown(t.Context())) })
	look := func() map[string]string {
		md, err := s.scrape(t.Context())
		require.NoError(t, err)
		ips := map[string]string{}
		for _, rm := range md.ResourceMetrics().All() {
			name, _ := rm.Resource().Attributes().Get("k8s.pod.name")
			ips[name.Str()] = ""
			if ip, ok := rm.Resource().Attributes().Get("k8s.pod.ip"); ok {
				ips[name.Str()] = ip.Str()
			}
		}
		return ips
	}
	want := map[string]string{"api": "10.244.0.9", "proxy": "", "over": "", "gone": ""}
	assert.Equal(t, want, look())
	assert.Equal(t, want, look())
	assert.Equal(t, []string{"api", "proxy", "gone", "gone"}, d.asked)

	// One whose shim has died is no reason to tell nothing of the others, nor to forget what is known.
	d.broken, d.sandboxes[3] = "broken", box("broken", cri.PodSandboxState_SANDBOX_READY, cri.NamespaceMode_POD, "10.244.0.7")
	d.sandboxes = append(d.sandboxes, box("late", cri.PodSandboxState_SANDBOX_READY, cri.NamespaceMode_POD, "10.244.0.6"))
	want = map[string]string{"api": "10.244.0.9", "proxy": "", "over": "", "broken": "", "late": "10.244.0.6"}
	assert.Equal(t, want, look())
	assert.Equal(t, want, look())
	d.broken, want["broken"] = "", "10.244.0.7"
	assert.Equal(t, want, look())
	assert.Equal(t, []string{"broken", "late", "broken", "broken"}, d.asked[4:])

	d.sandboxes[0].State = cri.PodSandboxState_SANDBOX_NOTREADY
	assert.Empty(t, look()["api"], "its address may be another's by now")
	d.sandboxes = nil
	assert.Empty(t, look())
	assert.Empty(t, s.runtimes[strings.TrimPrefix(cfg.Endpoints[0], "unix://")].addresses)
}
