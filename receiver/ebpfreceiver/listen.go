//go:build linux

package ebpfreceiver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/your-org/tapio/bpf"
)

const memberSize = int(unsafe.Sizeof(bpf.NetworkMember{}))

// discarded is how many segments a listener discarded since it was judged last.
type discarded struct {
	sk uint64
	bpf.NetworkListener
	n uint64
}

// judgeListeners finds out how many connections found the queue of a listener full. A listener counts whatever it discards: also the end of
// a handshake that it defers (TCP_DEFER_ACCEPT), and the reset of who only looked whether it is there. Its network namespace counts those
// alone that found no room, of all listeners.
func (p *probes) judgeListeners(a *attached) error {
	var all []discarded
	err := entries(a.Maps[bpf.NetworkMapListeners], func(sk uint64, l bpf.NetworkListener) { all = append(all, discarded{sk: sk, NetworkListener: l}) })
	if err != nil {
		return fmt.Errorf("read who listens: %w", err)
	}
	if len(all) == 0 {
		return nil
	}
	inside := map[uint32][]*discarded{}
	for i := range all {
		d := &all[i]
		n, err := a.Programs[bpf.NetworkProgTapioDiscarded].Run(&ebpf.RunOptions{Context: [1]uint64{d.sk}})
		if err != nil {
			return fmt.Errorf("count what listeners discarded: %w", err)
		}
		d.n = uint64(n)
		inside[d.Netns] = append(inside[d.Netns], d)
	}
	members, err := a.members()
	if err != nil {
		return err
	}
	for netns := range p.listenDrops {
		if members[netns] == 0 {
			delete(p.listenDrops, netns)
		}
	}
	var errs []error
	for netns, there := range inside {
		now, known := listenDrops(members[netns])
		before, compared := p.listenDrops[netns]
		if known {
			p.listenDrops[netns] = now
		}
		if now < before {
			before = 0 // another one has its number
		}
		dropped := make([]uint64, len(there))
		if known = known && compared; known {
			dropped = certain(there, now-before)
		}
		for i, d := range there {
			if d.n > 0 {
				errs = append(errs, d.judge(a, dropped[i], known))
			}
		}
	}
	return errors.Join(errs...)
}

// judge has the kernel count the connections that found no room, or, where that is not known, that something was lost.
func (d *discarded) judge(a *attached, dropped uint64, known bool) error {
	args := [5]uint64{d.sk, d.Began, d.n, dropped, 1}
	if known {
		args[4] = 0
	}
	if _, err := a.Programs[bpf.NetworkProgTapioJudge].Run(&ebpf.RunOptions{Context: args}); err != nil {
		return fmt.Errorf("count what listeners dropped: %w", err)
	}
	return nil
}

// certain is how many of the connections that found no room in a network namespace each of its listeners dropped at least: where others
// discarded something as well, those may have been theirs. Listeners of one cgroup need not be told from each other.
func certain(there []*discarded, dropped uint64) []uint64 {
	var all uint64
	of := map[uint64]uint64{}
	for _, d := range there {
		all += d.n
		of[d.Cgroup] += d.n
	}
	left := map[uint64]uint64{}
	for cgroup, n := range of {
		if others := all - n; dropped > others {
			left[cgroup] = dropped - others
		}
	}
	each := make([]uint64, len(there))
	for i, d := range there {
		each[i] = min(d.n, left[d.Cgroup])
		left[d.Cgroup] -= each[i]
	}
	return each
}

// members finds a process in each network namespace.
func (a *attached) members() (map[uint32]uint32, error) {
	r, err := a.iter.Open()
	if err != nil {
		return nil, fmt.Errorf("look for network namespaces: %w", err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("look for network namespaces: %w", err)
	}
	all := map[uint32]uint32{}
	var m bpf.NetworkMember
	for ; bpf.EventInto(&m, raw) == nil; raw = raw[memberSize:] {
		if all[m.Netns] == 0 {
			all[m.Netns] = m.Pid // the first has mostly been there longest
		}
	}
	return all, nil
}

// listenDrops reads how many connections the listeners of a process's network namespace had no room for; any user may.
func listenDrops(pid uint32) (uint64, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/netstat", pid))
	if err != nil {
		return 0, false // it has ended, or is not to be seen from here
	}
	return readListenDrops(string(b))
}

// readListenDrops finds the number in pairs of lines, one with names and one with numbers (proc_pid_net(5)).
func readListenDrops(netstat string) (uint64, bool) {
	var names []string
	for line := range strings.Lines(netstat) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TcpExt:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names[:min(len(names), len(fields))] {
			if name == "ListenDrops" {
				n, err := strconv.ParseUint(fields[i], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}
