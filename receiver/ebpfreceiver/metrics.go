//go:build linux

package ebpfreceiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper/scrapererror"

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
	s.probes.join(func() { s.joined, s.probes.tellers = true, s.probes.tellers|tellsMetrics })
	return nil
}

func (s *metricsScraper) shutdown(context.Context) error {
	return s.probes.leave(s.joined, func() { s.probes.tellers &^= tellsMetrics })
}

// scrape reads the maps of all groups. A group that cannot be read leaves the others alone.
func (s *metricsScraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	now := pcommon.NewTimestampFromTime(time.Now())
	walks := s.probes.walks()
	lookErr := s.probes.look(&s.looked)
	all, err := s.probes.readings(ctx)
	peers, peersErr := s.probes.peers()
	s.probes.telemetry.ReceiverEbpfPeersDropped.Add(ctx, int64(busiest(peers, s.probes.cfg.MaxPeers, (*peer).attempts)))
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
	toldErr := s.probes.told(ctx, tellsMetrics, walks)
	return out, partly(lookErr, err, peersErr, askedErr, growthsErr, disksErr, toldErr)
}

// partly says what could not be read, so that the rest is told: after any other error the collector drops all of a scrape.
func partly(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return scrapererror.NewPartialScrapeError(errors.Join(errs...), len(errs))
}

// reading are the counts of one owner, by the group of probes that counted.
type reading map[string][]uint64

// readings are those of all owners, by the path of their cgroup.
func (p *probes) readings(ctx context.Context) (map[string]reading, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	told := map[string]reading{}
	for who, counts := range p.kept.counts {
		told[who] = reading{}
		for group, n := range counts {
			told[who][group] = slices.Clone(n)
		}
	}
	all, err := p.counted(ctx)
	p.telemetry.ReceiverEbpfDropped.Add(ctx, share(told, all, p.cfg.MaxCgroups))
	return told, err
}

// share adds what cgroups counted to who is told of it, and returns what there was no room for. The oldest cgroups go first: they are the
// same ones each time, since each that comes and goes is another series to whoever stores them.
func share(told map[string]reading, all []counted, room int) (dropped int64) {
	slices.SortFunc(all, func(a, b counted) int { return cmp.Or(cmp.Compare(a.cgroup, b.cgroup), cmp.Compare(a.group, b.group)) })
	for _, c := range all {
		switch {
		case c.owner == "/": // nobody's
		case told[c.owner] == nil && len(told) >= room:
			dropped++
		default:
			if told[c.owner] == nil {
				told[c.owner] = reading{}
			}
			told[c.owner].add(c)
		}
	}
	return dropped
}

// counted reads what all cgroups have counted that are known; p.mu is held. What those have left that were gone before they were seen makes
// room for others.
func (p *probes) counted(ctx context.Context) ([]counted, error) {
	var all []counted
	var errs []error
	for name, a := range p.attached {
		switch name {
		case "network":
			errs = append(errs, p.noted(name, "listeners", p.judgeListeners(a)))
		case "dns":
			errs = append(errs, p.noted(name, "queries", p.expire(a)))
		}
		counts, err := a.counts(name)
		if err != nil {
			err = fmt.Errorf("read the counts of %s: %w", name, err)
		}
		errs = append(errs, p.noted(name, "counts", err))
		all = append(all, counts...)
	}
	known := func(c counted) bool { _, ok := p.cgroups.places[c.cgroup]; return ok }
	looked := slices.ContainsFunc(all, func(c counted) bool { return !known(c) }) && p.cgroups.look()
	all = slices.DeleteFunc(all, func(c counted) bool {
		if known(c) {
			return false
		}
		if looked { // else it may be new
			p.telemetry.ReceiverEbpfUnresolved.Add(ctx, 1)
			errs = append(errs, forget(c.in, &c.cgroup))
		}
		return true
	})
	for i := range all {
		all[i].owner = p.cgroups.places[all[i].cgroup].owner
	}
	return all, errors.Join(errs...)
}

// add adds what a cgroup of the owner counted.
func (r reading) add(c counted) {
	if r[c.group] == nil {
		r[c.group] = c.n
		return
	}
	for i, n := range c.n {
		r[c.group][i] += n
	}
}

// counted is what the programs of a group counted for a cgroup.
type counted struct {
	group  string
	cgroup uint64
	n      []uint64
	in     *ebpf.Map
	owner  string
}

// counts reads what all cgroups have counted. (From these maps nobody but us deletes, so that key by key none is left out.)
func (a *attached) counts(group string) (all []counted, err error) {
	m := a.Maps[mapCounts]
	if m == nil {
		return nil, nil
	}
	var cgroup uint64
	n := make([]uint64, m.ValueSize()/8)
	each := m.Iterate()
	for each.Next(&cgroup, &n) {
		all = append(all, counted{group: group, cgroup: cgroup, n: slices.Clone(n), in: m})
	}
	return all, each.Err()
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
