package crireceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

// metricsScraper tells, at each scrape, the state of every container and pod, and with it who each id is.
type metricsScraper struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	mb        *metadata.MetricsBuilder
	rb        *metadata.ResourceBuilder

	runtimes map[string]*runtime // by socket; what does not answer is not there
}

func newMetricsScraper(cfg *Config, set receiver.Settings, telemetry *metadata.TelemetryBuilder) *metricsScraper {
	return &metricsScraper{cfg: cfg, logger: set.Logger, telemetry: telemetry, mb: metadata.NewMetricsBuilder(cfg.MetricsBuilderConfig, set),
		rb: metadata.NewResourceBuilder(cfg.ResourceAttributes), runtimes: map[string]*runtime{}}
}

func (s *metricsScraper) shutdown(context.Context) error {
	for _, r := range s.runtimes {
		r.close()
	}
	s.telemetry.Shutdown()
	return nil
}

// scrape asks each runtime that answers. One that does not is no error here: the logs half says so, once, and an agent outlives
// its runtime.
func (s *metricsScraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	sockets, asked := s.cfg.sockets()
	for _, socket := range sockets {
		if there(socket, asked) != nil {
			continue
		}
		if err := s.ask(ctx, socket); err != nil {
			s.logger.Debug("cannot ask the container runtime", zap.String("socket", socket), zap.Error(err))
			if r := s.runtimes[socket]; r != nil {
				r.close()
				delete(s.runtimes, socket)
			}
		}
	}
	return s.mb.Emit(), nil
}

func (s *metricsScraper) ask(ctx context.Context, socket string) error {
	r := s.runtimes[socket]
	if r == nil {
		var err error
		if r, err = connect(ctx, socket); err != nil {
			return err
		}
		s.telemetry.ReceiverCriConnects.Add(ctx, 1)
		s.runtimes[socket] = r
	}
	now := pcommon.NewTimestampFromTime(time.Now()) // what is listed was so then, however long that takes
	inv, err := r.list(ctx)
	if err != nil {
		return err
	}
	if err := r.locate(ctx, inv.sandboxes[:min(len(inv.sandboxes), s.cfg.MaxContainers)]); err != nil {
		// One that is broken, or many that take long, leave the others alone.
		s.logger.Debug("cannot find out all addresses", zap.String("socket", socket), zap.Error(err))
	}
	s.record(ctx, now, r, inv)
	return nil
}

func (s *metricsScraper) record(ctx context.Context, now pcommon.Timestamp, r *runtime, inv *inventory) {
	pods := make(map[string]pod, min(len(inv.sandboxes), s.cfg.MaxContainers))
	for i, box := range inv.sandboxes {
		if i >= s.cfg.MaxContainers {
			s.telemetry.ReceiverCriDropped.Add(ctx, int64(len(inv.sandboxes)-i))
			break
		}
		of := podOf(box.GetLabels(), box.GetMetadata())
		pods[box.GetId()] = of
		state := metadata.AttributeCriSandboxStateReady
		if box.GetState() != cri.PodSandboxState_SANDBOX_READY {
			state = metadata.AttributeCriSandboxStateNotReady
		}
		s.mb.RecordCriSandboxStateDataPoint(now, 1, state)
		if ip := r.addresses[box.GetId()]; ip != "" && state == metadata.AttributeCriSandboxStateReady { // or another pod may have it by now
			s.rb.SetK8sPodIP(ip)
		}
		s.mb.EmitForResource(metadata.WithResource(identity{pod: of}.put(s.rb, r.name)))
	}
	images := namesOf(inv.images, s.cfg.MaxContainers)
	for i, c := range inv.containers {
		if i >= s.cfg.MaxContainers {
			s.telemetry.ReceiverCriDropped.Add(ctx, int64(len(inv.containers)-i))
			break
		}
		state, ok := states[c.GetState()]
		if !ok {
			state = metadata.AttributeCriContainerStateUnknown
		}
		s.mb.RecordCriContainerStateDataPoint(now, 1, state)
		s.mb.EmitForResource(metadata.WithResource(identify(c, pods[c.GetPodSandboxId()], images).put(s.rb, r.name)))
	}
}

var states = map[cri.ContainerState]metadata.AttributeCriContainerState{
	cri.ContainerState_CONTAINER_CREATED: metadata.AttributeCriContainerStateCreated,
	cri.ContainerState_CONTAINER_RUNNING: metadata.AttributeCriContainerStateRunning,
	cri.ContainerState_CONTAINER_EXITED:  metadata.AttributeCriContainerStateExited,
}
