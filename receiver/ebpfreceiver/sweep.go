//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"maps"

	"github.com/cilium/ebpf"

	"github.com/your-org/tapio/bpf"
)

// kept is what cgroups counted that are gone, by the path that it is told under: while others are told under it, as a container is when a
// cgroup inside it is removed, its counters do not fall.
type kept struct {
	counts map[string]reading
	peers  peers
	asked  asked
}

func newKept() kept { return kept{counts: map[string]reading{}, peers: peers{}, asked: asked{}} }

// walks is how often all cgroups have been looked at: who begins to tell remembers it for told.
func (p *probes) walks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cgroups.walks
}

// told says that somebody has told all that the programs remember, and had begun after so many walks. What cgroups have left that are gone
// makes room for others when everybody has told it.
func (p *probes) told(ctx context.Context, by tellers, walks int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	if p.tellers&tellsMetrics == 0 { // who else would look for what is not known
		_, err := p.counted(ctx)
		errs = append(errs, err)
	}
	over := p.cgroups.told(by, walks, p.tellers, p.cfg.MaxCgroups)
	if len(over) == 0 {
		return errors.Join(errs...)
	}
	known := p.cgroups.paths()
	stays := func(cgroup uint64) bool { return known[over[cgroup].owner] }
	for name, a := range p.attached {
		counts, err := a.counts(name)
		errs = append(errs, err)
		for _, c := range counts {
			if _, ok := over[c.cgroup]; !ok {
				continue
			}
			if who := over[c.cgroup].owner; known[who] {
				if p.kept.counts[who] == nil {
					p.kept.counts[who] = reading{}
				}
				p.kept.counts[who].add(c)
			}
			errs = append(errs, forget(c.in, &c.cgroup))
		}
		errs = append(errs,
			sweep(a.Maps[bpf.NetworkMapPeers], over, func(key bpf.NetworkPeer) uint64 { return key.Cgroup }, func(key bpf.NetworkPeer, n bpf.NetworkPeerCounts) {
				if stays(key.Cgroup) && !addPeer(p.kept.peers, over[key.Cgroup].owner, key, n, p.cfg.MaxPeers) {
					p.telemetry.ReceiverEbpfPeersDropped.Add(ctx, 1)
				}
			}),
			sweep(a.Maps[bpf.DNSMapQuestions], over, func(key bpf.DNSQuestion) uint64 { return key.Cgroup }, func(key bpf.DNSQuestion, n bpf.DNSQuestionCounts) {
				if stays(key.Cgroup) && !addLookups(p.kept.asked, over[key.Cgroup].owner, questionOf(key), n, p.cfg.MaxNames) {
					p.telemetry.ReceiverEbpfNamesDropped.Add(ctx, 1)
				}
			}),
			sweep(a.Maps[bpf.PerformanceMapGrowths], over, func(cgroup uint64) uint64 { return cgroup }, func(uint64, bpf.PerformanceGrowth) {}))
	}
	maps.DeleteFunc(p.kept.counts, func(who string, _ reading) bool { return !known[who] })
	p.kept.peers.keep(known)
	p.kept.asked.keep(known)
	return errors.Join(errs...)
}

// sweep deletes from a map what cgroups have left that are over, if there is one; id is the cgroup in a key. last is what it deletes.
func sweep[K, V any](m *ebpf.Map, over map[uint64]place, id func(K) uint64, last func(K, V)) error {
	if m == nil {
		return nil
	}
	var left []K
	err := entries(m, func(key K, value V) {
		if _, ok := over[id(key)]; ok {
			last(key, value)
			left = append(left, key)
		}
	})
	for _, key := range left {
		err = errors.Join(err, forget(m, &key))
	}
	return err
}
