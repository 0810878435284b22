//go:build linux

package ebpfreceiver

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

const eventConnectFailed = "kernel.connect_failed"

// outcomes are how an attempt to connect can end, and the words for it in an event; those without are none.
var outcomes = [bpf.NetworkOutcomeOUTCOMES]struct {
	metadata.AttributeNetworkConnectOutcome
	text string
}{
	bpf.NetworkOutcomeCONNECTED:   {metadata.AttributeNetworkConnectOutcomeConnected, ""},
	bpf.NetworkOutcomeREFUSED:     {metadata.AttributeNetworkConnectOutcomeRefused, "was refused: nothing listens there, or a firewall says so"},
	bpf.NetworkOutcomeTIMED_OUT:   {metadata.AttributeNetworkConnectOutcomeTimedOut, "got no answer until the kernel gave up"},
	bpf.NetworkOutcomeUNREACHABLE: {metadata.AttributeNetworkConnectOutcomeUnreachable, "found no way there"},
	bpf.NetworkOutcomeNO_PORTS:    {metadata.AttributeNetworkConnectOutcomeNoPorts, "found no free port on this side"},
	bpf.NetworkOutcomeABANDONED:   {metadata.AttributeNetworkConnectOutcomeAbandoned, "got no answer until the program gave up"},
	bpf.NetworkOutcomeCANCELLED:   {metadata.AttributeNetworkConnectOutcomeCancelled, ""},
	bpf.NetworkOutcomeFAILED:      {metadata.AttributeNetworkConnectOutcomeFailed, "failed"},
}

func loadNetwork() (*ebpf.CollectionSpec, error) { return bpf.LoadNetwork() }

func recordNetwork(mb *metadata.MetricsBuilder, now pcommon.Timestamp, n []uint64) {
	for i, o := range outcomes {
		if n[i] == 0 {
			continue // most never happen, and each is a series
		}
		mb.RecordContainerNetworkTCPConnectsDataPoint(now, int64(n[i]), o.AttributeNetworkConnectOutcome)
	}
	mb.RecordContainerNetworkTCPRetransmitsDataPoint(now, int64(n[bpf.NetworkCountRETRANSMITS]))
	mb.RecordContainerNetworkTCPRetransmitsHeavyDataPoint(now, int64(n[bpf.NetworkCountRETRANSMITS_HEAVY]))
	mb.RecordContainerNetworkTCPResetsDataPoint(now, int64(n[bpf.NetworkCountRESETS_SENT]), metadata.AttributeNetworkIoDirectionTransmit)
	mb.RecordContainerNetworkTCPResetsDataPoint(now, int64(n[bpf.NetworkCountRESETS_RECEIVED]), metadata.AttributeNetworkIoDirectionReceive)
	mb.RecordContainerNetworkTCPListenDropsDataPoint(now, int64(n[bpf.NetworkCountLISTEN_DROPS]))
}

// peer is one whom a container connects to, and how its attempts ended.
type peer struct {
	address netip.AddrPort
	n       [bpf.NetworkOutcomeOUTCOMES]uint64
}

func (p *peer) attempts() (n uint64) {
	for _, of := range p.n {
		n += of
	}
	return n
}

func (p *peer) record(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
	for i, n := range p.n {
		if n > 0 {
			mb.RecordContainerNetworkTCPPeerConnectsDataPoint(now, int64(n), p.address.Addr().String(), int64(p.address.Port()), outcomes[i].AttributeNetworkConnectOutcome)
		}
	}
}

// peers are whom all connect to.
type peers = tally[netip.AddrPort, peer]

// addPeer adds what the kernel's programs counted, unless there is no room for one more.
func addPeer(all peers, who string, key bpf.NetworkPeer, counts bpf.NetworkPeerCounts, room int) bool {
	address := netip.AddrPortFrom(addressOf(key.Family, key.Address), key.Port)
	sum := all.at(who, address, room)
	if sum == nil {
		return false
	}
	sum.address = address
	for i, n := range counts.N {
		sum.n[i] += n
	}
	return true
}

func byAddress(a, b *peer) int { return a.address.Compare(b.address) }

// peers are those of each owner, by the path of its cgroup: as many as the kernel's programs remember.
func (p *probes) peers() (map[string][]*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.kept.peers.clone()
	err := p.eachPeer(func(who string, key bpf.NetworkPeer, counts bpf.NetworkPeerCounts) {
		addPeer(all, who, key, counts, math.MaxInt)
	})
	return all.byOwner(byAddress), err
}

// eachPeer visits what the kernel's programs remember of peers, with who is told of it; p.mu is held.
func (p *probes) eachPeer(visit func(who string, key bpf.NetworkPeer, counts bpf.NetworkPeerCounts)) error {
	a := p.attached["network"]
	if a == nil {
		return nil
	}
	id := func(key bpf.NetworkPeer) uint64 { return key.Cgroup }
	err := owned(p.cgroups, a.Maps[bpf.NetworkMapPeers], id, func(who string, key bpf.NetworkPeer, counts bpf.NetworkPeerCounts) {
		if who != "/" {
			visit(who, key, counts)
		}
	})
	if err != nil {
		err = fmt.Errorf("read the peers: %w", err)
	}
	return p.noted("network", "peers", err)
}

// addressOf reads an address as the kernel's programs have it: of IPv4 in the first four bytes.
func addressOf(family uint16, address [16]byte) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(address[:4]))
	}
	return netip.AddrFrom16(address).Unmap()
}

// failures tells what failed since the last look, once for each peer and way to fail. before is what the kernel's programs had counted, by
// their own keys: what is told of several cgroups together falls when one of them is gone.
type failures struct {
	probes *probes
	before map[bpf.NetworkPeer]bpf.NetworkPeerCounts
}

func (f *failures) tell(ctx context.Context) error {
	now, news := map[bpf.NetworkPeer]bpf.NetworkPeerCounts{}, peers{}
	f.probes.mu.Lock()
	err := f.probes.eachPeer(func(who string, key bpf.NetworkPeer, counts bpf.NetworkPeerCounts) {
		now[key] = counts
		before := f.before[key].N
		subtract(counts.N[:], before[:])
		addPeer(news, who, key, counts, math.MaxInt)
	})
	f.probes.mu.Unlock()
	if err != nil {
		return err
	}
	f.before = now
	told := 0
	for cgroup, peers := range news.byOwner(byAddress) {
		for _, p := range peers {
			if p.address.Addr() == netip.IPv6Loopback() {
				if ipv4 := news[tallied[netip.AddrPort]{cgroup, netip.AddrPortFrom(loopback, p.address.Port())}]; ipv4 != nil {
					p = p.triedAgain(ipv4)
				}
			}
			attempts := p.attempts() - p.n[bpf.NetworkOutcomeCANCELLED]
			for i, n := range p.n {
				if n == 0 || outcomes[i].text == "" {
					continue
				}
				if told++; told > f.probes.cfg.MaxPeers {
					f.probes.telemetry.ReceiverEbpfPeersDropped.Add(ctx, 1)
					continue
				}
				f.probes.tell(ctx, cgroup, f.probes.cgroups.version, time.Now(), func(r plog.LogRecord) { fillFailure(r, p.address, i, n, attempts) })
			}
		}
	}
	return nil
}

// subtract leaves what came since before. What was forgotten and came again begins at zero.
func subtract(counts []uint64, before []uint64) {
	for i, n := range before {
		if n <= counts[i] {
			counts[i] -= n
		}
	}
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// triedAgain leaves out the refusals at the loopback address of IPv6 after which the one of IPv4 was tried: `localhost` stands for both,
// and it is told how that ended.
func (p peer) triedAgain(ipv4 *peer) *peer {
	refused := &p.n[bpf.NetworkOutcomeREFUSED]
	*refused -= min(*refused, ipv4.attempts())
	return &p
}

func fillFailure(r plog.LogRecord, to netip.AddrPort, outcome int, n, attempts uint64) {
	r.SetEventName(eventConnectFailed)
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	a := r.Attributes()
	a.PutStr("network.peer.address", to.Addr().String())
	a.PutInt("network.peer.port", int64(to.Port()))
	a.PutStr("network.transport", "tcp")
	a.PutStr("network.connect.outcome", outcomes[outcome].String())
	a.PutInt("network.connect.count", int64(n))
	a.PutInt("network.connect.attempts", int64(attempts))
	r.Body().SetStr(fmt.Sprintf("%d of %d attempts to connect to %s %s", n, attempts, to, failed(outcome, n)))
}

// failed is how it failed, as the end of a sentence about one or many.
func failed(outcome int, n uint64) string {
	text := outcomes[outcome].text
	if n > 1 && outcome == 1 {
		return "were" + text[len("was"):]
	}
	return text
}
