//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// group is a group of probes: one object, which is loaded, or cannot be, as a whole.
type group struct {
	name string
	spec func() (*ebpf.CollectionSpec, error)
	// handler makes what takes the group's events in; nil: it has none.
	handler func(p *probes) handler
}

// groups are the groups of probes that a configuration wants.
func (c *Config) groups() []group {
	var all []group
	if c.Probes.OOM.Enabled {
		all = append(all, group{name: "oom", spec: loadOOM, handler: newOOMHandler})
	}
	if c.Probes.Process.Enabled {
		all = append(all, group{name: "process", spec: loadProcess, handler: newProcessHandler})
	}
	if c.Probes.Network.Enabled {
		all = append(all, group{name: "network", spec: loadNetwork})
	}
	if c.Probes.DNS.Enabled {
		all = append(all, group{name: "dns", spec: loadDNS})
	}
	if c.Probes.Performance.Enabled {
		all = append(all, group{name: "performance", spec: loadPerformance})
	}
	return all
}

// probes are the programs in the kernel, behind all instances of an id.
type probes struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	ended     func()

	mu        sync.Mutex
	instances int // started and not shut down
	cancel    context.CancelFunc
	reading   sync.WaitGroup
	feeds     []*feed
	attached  map[string]*attached
	cgroups   *cgroups
	kept      kept
	tellers   tellers
	// listenDrops is how many connections the listeners of each network namespace had no room for by the last reading.
	listenDrops map[uint32]uint64
	coverage    []coveragelog.Part
	unread      map[reader]error // what cannot be read of groups that are loaded
	out         *logsReceiver    // nil: nobody wants events
	held        map[string]bool  // the cgroups whose memory is looked at
}

func newProbes(set receiver.Settings, cfg *Config) (*probes, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, fmt.Errorf("make component telemetry: %w", err)
	}
	p := &probes{cfg: cfg, logger: set.Logger, telemetry: telemetry, cgroups: openCgroups(cfg.Mount), held: map[string]bool{}}
	return p, errors.Join(telemetry.RegisterReceiverEbpfLostCallback(p.observeLost), telemetry.RegisterReceiverEbpfUntoldCallback(p.observeUntold))
}

// join adds an instance; the first one loads the programs. A group that cannot be loaded leaves the others alone, and the
// collector as well: coverage tells why.
func (p *probes) join(add func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add()
	if p.instances++; p.instances > 1 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.feeds, p.attached, p.coverage = cancel, nil, map[string]*attached{}, nil
	p.kept, p.listenDrops, p.unread = newKept(), map[uint32]uint64{}, map[reader]error{}
	if p.cgroups.root == "" {
		reason := fmt.Sprintf("mount: there is no memory controller's hierarchy at %s, so that nobody knows whom the kernel counts for", p.cfg.Mount)
		p.logger.Warn("no metrics of containers or other cgroups can be told", zap.String("reason", reason))
		p.coverage = append(p.coverage, coveragelog.Part{Name: "cgroups",
			Coverage: finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageDegraded, Reason: reason}})
	}
	for _, g := range p.cfg.groups() {
		c := finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageOK}
		if err := p.start(ctx, g); err != nil {
			c.State, c.Reason = finding.CoverageAbsent, reason(err)
			p.logger.Warn("a group of probes could not be loaded", zap.String("probes", g.name), zap.String("reason", c.Reason), zap.Error(err))
		}
		p.coverage = append(p.coverage, coveragelog.Part{Name: g.name, Coverage: c})
	}
}

func (p *probes) start(ctx context.Context, g group) error {
	spec, err := g.spec()
	if err != nil {
		return err
	}
	p.resize(spec, thisMachine())
	a, err := attach(spec)
	if err != nil {
		return err
	}
	p.attached[g.name] = a
	if g.handler != nil {
		p.follow(ctx, g.name, a.events, g.handler(p))
	}
	return nil
}

// reader is one of the ways in which what a group of probes saw comes from the kernel.
type reader struct{ group, what string }

// noted notes whether something could be read, for coverage, and returns the error; p.mu is held.
func (p *probes) noted(group, what string, err error) error {
	if err == nil {
		delete(p.unread, reader{group, what})
	} else {
		p.unread[reader{group, what}] = err
	}
	return err
}

// sees says how well each group of probes sees.
func (p *probes) sees() []coveragelog.Part {
	p.mu.Lock()
	defer p.mu.Unlock()
	parts := slices.Clone(p.coverage)
	for i := range parts {
		var why []string
		for r, err := range p.unread {
			if r.group == parts[i].Name {
				why = append(why, err.Error())
			}
		}
		if len(why) > 0 && parts[i].State == finding.CoverageOK {
			slices.Sort(why)
			parts[i].State, parts[i].Reason = finding.CoverageDegraded, strings.Join(why, "; ")
		}
	}
	return parts
}

// leave takes an instance out, which may never have joined; the last one takes the programs out of the kernel.
func (p *probes) leave(joined bool, remove func()) error {
	p.mu.Lock()
	if !joined {
		last := p.instances == 0
		p.mu.Unlock() // for what waits for it while it reads telemetry, which close waits for
		if last {
			p.close()
		}
		return nil
	}
	remove()
	if p.instances--; p.instances > 0 {
		p.mu.Unlock()
		return nil
	}
	p.cancel()
	all := p.attached
	p.attached = nil
	p.mu.Unlock()
	var errs []error
	for name, a := range all {
		if err := a.close(); err != nil {
			errs = append(errs, fmt.Errorf("detach %s: %w", name, err))
		}
	}
	p.reading.Wait()
	p.close()
	return errors.Join(errs...)
}

func (p *probes) close() {
	p.telemetry.Shutdown()
	p.ended()
}

// observeLost tells how many events each group has lost.
func (p *probes) observeLost(_ context.Context, o metric.Int64Observer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for name, a := range p.attached {
		n, err := a.lost()
		if err == nil {
			o.Observe(n, metric.WithAttributes(attrProbes.String(name)))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// observeUntold tells how many ends of processes were counted only.
func (p *probes) observeUntold(_ context.Context, o metric.Int64Observer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.attached["process"]
	if a == nil {
		return nil
	}
	n, err := bpf.Untold(a.Maps[bpf.ProcessMapUntold])
	if err == nil {
		o.Observe(int64(n))
	}
	return err
}
