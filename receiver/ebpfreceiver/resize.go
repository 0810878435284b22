//go:build linux

package ebpfreceiver

import (
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
)

// leastEntries and mostEntries bound what a map has room for of which a number is told; leastTasks and mostTasks, that of tasks.
const (
	leastEntries = 1 << 10
	mostEntries  = 1 << 20
	leastTasks   = 1 << 13
	mostTasks    = 1 << 16
)

const (
	// freeOfCPU is how many entries of an LRU map each CPU may take for what it adds next, while others find the map full
	// (LOCAL_FREE_TARGET in kernel/bpf/bpf_lru_list.c).
	freeOfCPU = 128
	// halfSince is the first kernel whose CPUs take half of a small map at most, all together (its commit d4adf1c9ee77).
	halfSince = 6<<16 | 16<<8
)

// machine is what the size of maps depends on.
type machine struct {
	memory uint64 // bytes
	kernel uint32 // its version, as features.LinuxVersionCode has it
	// online is how many CPUs run, possible how many there may be: to a virtual machine others can be added, often up to 128.
	online, possible int
}

func thisMachine() machine {
	var m machine
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		m.memory = info.Totalram * uint64(info.Unit)
	}
	m.kernel, _ = features.LinuxVersionCode() // as an old one, where it is not known
	m.possible, _ = ebpf.PossibleCPU()
	m.online = m.possible
	list, _ := os.ReadFile("/sys/devices/system/cpu/online")
	if n, ok := countCPUs(string(list)); ok {
		m.online = n
	}
	return m
}

// countCPUs reads a list of CPUs such as "0-3,8".
func countCPUs(list string) (n int, ok bool) {
	for of := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		var first, last int
		if k, _ := fmt.Sscanf(of, "%d-%d", &first, &last); k == 0 {
			return 0, false
		} else if k == 1 {
			last = first
		}
		if last < first {
			return 0, false
		}
		n += last - first + 1
	}
	return n, true
}

// spare is how many entries more an LRU map has for n to stay in it.
func (m machine) spare(n uint32) uint32 {
	all := uint32(m.online) * freeOfCPU
	if m.kernel >= halfSince {
		all = min(all, n+uint32(m.possible))
	}
	return all
}

// resize gives the maps as many entries as they may need: the kernel has memory for all of them from the beginning.
func (p *probes) resize(spec *ebpf.CollectionSpec, m machine) {
	for name, told := range map[string]int{
		mapCounts: p.cfg.MaxCgroups, bpf.PerformanceMapGrowths: p.cfg.MaxCgroups, bpf.ProcessMapToldOf: p.cfg.MaxCgroups,
		bpf.NetworkMapPeers: p.cfg.MaxPeers, bpf.DNSMapQuestions: p.cfg.MaxNames,
	} {
		if of := spec.Maps[name]; of != nil {
			// As many again: cgroups inside containers, what is asked of one name at several servers, and what is gone.
			of.MaxEntries = uint32(min(max(2*told, leastEntries), mostEntries))
		}
	}
	if of := spec.Maps[bpf.PerformanceMapTasks]; of != nil {
		of.MaxEntries = uint32(min(max(m.memory>>20, leastTasks), mostTasks)) // one for each MiB of the machine
	}
	for _, of := range spec.Maps {
		if of.Type == ebpf.LRUHash {
			of.MaxEntries += m.spare(of.MaxEntries)
		}
	}
}
