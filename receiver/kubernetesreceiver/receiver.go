package kubernetesreceiver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/your-org/tapio/receiver/kubernetesreceiver/internal/metadata"
)

const (
	// heartbeat is how often the state of every resource is told.
	heartbeat = 30 * time.Second
	// atOnce bounds the lists under way: each holds a page.
	atOnce = 3
	// follows is why a replica is on standby: it cannot tell which.
	follows = "this replica is not the leader: another one is, or the lease or the API server is out of reach"
)

// kubernetesReceiver watches a cluster's objects.
type kubernetesReceiver struct {
	cfg       *Config
	set       component.TelemetrySettings
	telemetry *metadata.TelemetryBuilder
	obs       *receiverhelper.ObsReport
	next      consumer.Logs
	salt      []byte

	http    interface{ CloseIdleConnections() }
	sources []*source
	states  states
	lists   chan struct{}

	// mu guards what starts and stops with leadership.
	mu     sync.Mutex
	closed bool
	stop   context.CancelFunc
	tasks  *sync.WaitGroup
	// beat is the heartbeat, which goes on without leadership.
	beat  context.CancelFunc
	beats sync.WaitGroup
}

func newReceiver(cfg *Config, set component.TelemetrySettings, t *metadata.TelemetryBuilder, obs *receiverhelper.ObsReport, next consumer.Logs) *kubernetesReceiver {
	return &kubernetesReceiver{cfg: cfg, set: set, telemetry: t, obs: obs, next: next, salt: newSalt(), lists: make(chan struct{}, atOnce)}
}

// Start begins to watch, or to wait to be the one that does. It does not need the API server.
func (r *kubernetesReceiver) Start(_ context.Context, host component.Host) error {
	config, err := r.cfg.client()
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("use the kubeconfig: %w", err)
	}
	api, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return fmt.Errorf("use the kubeconfig: %w", err)
	}
	r.http = client
	r.prepare(api)
	ctx, cancel := context.WithCancel(context.Background())
	r.beat = cancel
	r.beats.Go(func() { r.tellStates(ctx) })
	if r.cfg.LeaderElector == nil {
		r.lead()
		return nil
	}
	r.states.all(standby, follows)
	return r.elect(host)
}

// prepare makes what is to be watched.
func (r *kubernetesReceiver) prepare(api dynamic.Interface) {
	rooms := map[schema.GroupVersionResource]*room{}
	for _, res := range r.cfg.resources() {
		all := api.Resource(res.id())
		if rooms[res.id()] == nil {
			rooms[res.id()] = &room{}
			rooms[res.id()].Store(int64(r.cfg.MaxObjects))
		}
		namespaces := r.cfg.Namespaces
		if res.ClusterScoped || len(namespaces) == 0 {
			namespaces = []string{""}
		}
		selectors := res.FieldSelectors
		if len(selectors) == 0 {
			selectors = []string{""}
		}
		for _, namespace := range namespaces {
			for _, fields := range selectors {
				s := &source{kubernetesReceiver: r, resource: res, namespace: namespace, fields: fields, api: all, known: map[key]string{}, room: rooms[res.id()]}
				if namespace != "" {
					s.api = all.Namespace(namespace)
				}
				r.sources = append(r.sources, s)
			}
		}
	}
	r.states.init(r.sources)
}

// lead begins to watch.
func (r *kubernetesReceiver) lead() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	tasks := &sync.WaitGroup{}
	r.stop, r.tasks = cancel, tasks
	r.states.all(waiting, "not listed yet")
	for _, s := range r.sources {
		tasks.Go(func() { s.run(ctx) })
	}
}

// follow ends watching. What was known is kept, so that by the next list what is gone can be told.
func (r *kubernetesReceiver) follow() {
	r.mu.Lock()
	stop, tasks := r.stop, r.tasks
	r.stop, r.tasks = nil, nil
	r.mu.Unlock()
	if stop != nil {
		stop()
		tasks.Wait()
	}
}

// Shutdown ends watching for good.
func (r *kubernetesReceiver) Shutdown(context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.follow()
	if r.beat != nil {
		r.beat()
		r.beats.Wait()
	}
	if r.http != nil {
		r.http.CloseIdleConnections()
	}
	r.telemetry.Shutdown()
	return nil
}
