//go:build linux

package ebpfreceiver

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

func loadPerformance() (*ebpf.CollectionSpec, error) { return bpf.LoadPerformance() }

func recordPerformance(mb *metadata.MetricsBuilder, now pcommon.Timestamp, n []uint64) {
	seconds := func(us uint64) float64 { return float64(us) / 1e6 }
	if wait := n[bpf.PerformanceCountRUN_WAIT_US]; wait > 0 { // else the kernel may not keep it (CONFIG_SCHED_INFO)
		mb.RecordContainerCPURunQueueTimeDataPoint(now, seconds(wait))
	}
	mb.RecordContainerTaskUninterruptibleTimeDataPoint(now, seconds(n[bpf.PerformanceCountUNINTERRUPTIBLE_US]))
	mb.RecordContainerMemoryReclaimCountDataPoint(now, int64(n[bpf.PerformanceCountRECLAIMS]))
	mb.RecordContainerMemoryReclaimTimeDataPoint(now, seconds(n[bpf.PerformanceCountRECLAIM_US]))
}

// look is the latest look at all tasks.
type look struct {
	number uint64
	at     time.Time
	ns     uint64 // the kernel's time of it
}

// look has the kernel look at each task.
func (p *probes) look(last *look) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.attached["performance"]
	if a == nil {
		return nil
	}
	return p.noted("performance", "tasks", a.look(last))
}

func (a *attached) look(last *look) error {
	this := look{number: last.number + 1, at: time.Now(), ns: bpf.Now()}
	told := bpf.PerformanceLook{Number: this.number, Previous: this.ns}
	if last.number > 0 {
		told.Previous, told.SinceUs = last.ns, uint64(this.at.Sub(last.at).Microseconds())
	}
	if err := a.Maps[bpf.PerformanceMapLooks].Put(uint32(0), &told); err != nil {
		return fmt.Errorf("look at the tasks: %w", err)
	}
	r, err := a.iter.Open()
	if err != nil {
		return fmt.Errorf("look at the tasks: %w", err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("look at the tasks: %w", err)
	}
	*last = this
	return nil
}

// growth is the process whose anonymous memory grew most.
type growth struct{ bpf.PerformanceGrowth }

func (g growth) bytes() int64 { return int64(g.Grown) * int64(os.Getpagesize()) }

// growths are those of each owner that were seen in the latest look.
func (p *probes) growths(last look) (map[string]growth, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.attached["performance"]
	if a == nil {
		return nil, nil
	}
	all := map[string]growth{}
	id := func(cgroup uint64) uint64 { return cgroup }
	err := owned(p.cgroups, a.Maps[bpf.PerformanceMapGrowths], id, func(who string, _ uint64, g bpf.PerformanceGrowth) {
		if g.Look == last.number && all[who].Grown < g.Grown {
			all[who] = growth{g}
		}
	})
	if err != nil {
		err = fmt.Errorf("read what grew: %w", err)
	}
	return all, p.noted("performance", "growths", err)
}

// disk is what a disk did in one direction.
type disk struct {
	name  string
	write bool
	bpf.PerformanceDiskCounts
}

func (p *probes) disks() ([]disk, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.attached["performance"]
	if a == nil {
		return nil, nil
	}
	var all []disk
	err := entries(a.Maps[bpf.PerformanceMapDisks], func(key bpf.PerformanceDisk, counts bpf.PerformanceDiskCounts) {
		all = append(all, disk{text(key.Name[:]), key.Write != 0, counts})
	})
	if err != nil {
		err = fmt.Errorf("read what disks did: %w", err)
	}
	slices.SortFunc(all, func(a, b disk) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.direction(), b.direction()))
	})
	return all, p.noted("performance", "disks", err)
}

func (d disk) direction() string {
	if d.write {
		return "write"
	}
	return "read"
}

// diskDuration is the distribution of how long disks took.
var diskDuration = histogram{name: "system.disk.io.duration", description: "Time from when a read or write was asked of a disk until it was done."}

// recordDisks adds what disks did; they are nobody's but the machine's.
func (s *metricsScraper) recordDisks(out pmetric.Metrics, now pcommon.Timestamp) error {
	all, err := s.probes.disks()
	errors := map[string]int64{}
	for _, d := range all {
		errors[d.name] += int64(d.Errors)
	}
	for _, name := range slices.Sorted(maps.Keys(errors)) {
		s.mb.RecordSystemDiskIoErrorsDataPoint(now, errors[name], name)
	}
	md := s.mb.Emit()
	if md.ResourceMetrics().Len() == 0 {
		return err
	}
	for _, d := range all {
		p, ok := diskDuration.add(md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics(), s.began, now, d.Us, d.Buckets[:])
		if ok {
			p.Attributes().PutStr("system.device", d.name)
			p.Attributes().PutStr("disk.io.direction", d.direction())
		}
	}
	md.ResourceMetrics().MoveAndAppendTo(out.ResourceMetrics())
	return err
}
