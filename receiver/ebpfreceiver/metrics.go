//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"

	"github.com/your-org/tapio/internal/cgroupid"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// metricsScraper tells what the programs have counted, by container, unit or other cgroup.
type metricsScraper struct {
	probes *probes
	mb     *metadata.MetricsBuilder
	began  pcommon.Timestamp
	looked look
	joined bool
}

func newMetricsScraper(p *probes, set receiver.Settings) *metricsScraper {
	return &metricsScraper{probes: p, mb: metadata.NewMetricsBuilder(p.cfg.MetricsBuilderConfig, set)}
}

func (s *metricsScraper) start(context.Context, component.Host) error {
	s.began = pcommon.NewTimestampFromTime(time.Now())
	s.probes.join(func() { s.joined = true })
	return nil
}

func (s *metricsScraper) shutdown(context.Context) error { return s.probes.leave(s.joined, func() {}) }

// scrape reads the maps of all groups. A group that cannot be read leaves the others alone.
func (s *metricsScraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	now := pcommon.NewTimestampFromTime(time.Now())
	lookErr := s.probes.look(&s.looked)
	all, err := s.probes.readings(ctx)
	peers, peersErr := s.probes.peers()
	s.probes.telemetry.ReceiverEbpfPeersDropped.Add(ctx, int64(busiest(peers, s.probes.cfg.MaxPeers, peer.attempts)))
	asked, askedErr := s.probes.asked()
	s.probes.telemetry.ReceiverEbpfNamesDropped.Add(ctx, int64(busiest(asked, s.probes.cfg.MaxNames, (*lookups).times)))
	growths, growthsErr := s.probes.growths(s.looked)
	out := pmetric.NewMetrics()
	for _, cgroup := range slices.Sorted(maps.Keys(all)) {
		for group, counts := range all[cgroup] {
			recorders[group](s.mb, now, counts)
		}
		for _, p := range peers[cgroup] {
			p.record(s.mb, now)
		}
		for _, q := range asked[cgroup] {
			q.record(s.mb, now)
		}
		if g, ok := growths[cgroup]; ok {
			s.mb.RecordContainerMemoryProcessGrowthDataPoint(now, g.bytes(), int64(g.Pid), text(g.Comm[:]))
		}
		rb := s.mb.NewResourceBuilder()
		setWhose(rb, cgroup, s.probes.cgroups.version)
		md := s.mb.Emit(metadata.WithResource(rb.Emit()))
		if rms := md.ResourceMetrics(); rms.Len() > 0 {
			for _, h := range histograms {
				if n := all[cgroup][h.group]; len(n) > 0 {
					h.add(rms.At(0).ScopeMetrics().At(0).Metrics(), s.began, now, n[h.sum], n[h.from:h.from+buckets])
				}
			}
		}
		md.ResourceMetrics().MoveAndAppendTo(out.ResourceMetrics())
	}
	disksErr := s.recordDisks(out, now)
	return out, errors.Join(lookErr, err, peersErr, askedErr, growthsErr, disksErr)
}

// reading are the counts of one owner, by the group of probes that counted.
type reading map[string][]uint64

// readings are those of all owners, by the path of their cgroup.
func (p *probes) readings(ctx context.Context) (map[string]reading, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]reading{}
	var errs []error
	var id uint64
	for name, a := range p.attached {
		m := a.Maps[mapCounts]
		if m == nil {
			continue
		}
		switch name {
		case "network":
			errs = append(errs, countDrops(a))
		case "dns":
			errs = append(errs, p.expire(a))
		}
		counts := make([]uint64, m.ValueSize()/8)
		each := m.Iterate()
		for each.Next(&id, &counts) {
			who, ok := p.cgroups.owner(id)
			if !ok {
				p.telemetry.ReceiverEbpfUnresolved.Add(ctx, 1)
				continue
			}
			if who == "/" {
				continue // nobody's
			}
			if all[who] == nil {
				if len(all) >= p.cfg.MaxCgroups {
					p.telemetry.ReceiverEbpfDropped.Add(ctx, 1)
					continue
				}
				all[who] = reading{}
			}
			if all[who][name] == nil {
				all[who][name] = slices.Clone(counts)
				continue
			}
			for i, n := range counts {
				all[who][name][i] += n
			}
		}
		if err := each.Err(); err != nil {
			errs = append(errs, fmt.Errorf("read the counts of %s: %w", name, err))
		}
	}
	return all, errors.Join(errs...)
}

// recorders turn the counts of each group into data points.
var recorders = map[string]func(mb *metadata.MetricsBuilder, now pcommon.Timestamp, counts []uint64){
	"process": recordProcess,
	"network": recordNetwork,
	"dns":     recordDNS,

	"performance": recordPerformance,
}

// setWhose names who lives in a cgroup.
func setWhose(rb *metadata.ResourceBuilder, cgroup string, version uint8) {
	id := cgroupid.Of(cgroup)
	rb.SetCgroupPath(cgroup)
	rb.SetCgroupVersion(strconv.Itoa(int(version)))
	if id.ContainerID != "" {
		rb.SetContainerID(id.ContainerID)
	}
	if id.Runtime != "" {
		rb.SetContainerRuntimeName(id.Runtime)
	}
	if id.PodUID != "" {
		rb.SetK8sPodUID(id.PodUID)
	}
	if id.Unit != "" {
		rb.SetSystemdUnit(id.Unit)
	}
}
