//go:build linux

package ebpfreceiver

import (
	"math/bits"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bytesOf is what the kernel takes for a map, by kernel/bpf/hashtab.c and its like: 48 bytes of an entry are the kernel's own.
func bytesOf(m *ebpf.MapSpec, possible uint64) uint64 {
	n, key, value := uint64(m.MaxEntries), uint64(m.KeySize+7)&^7, uint64(m.ValueSize+7)&^7
	switch m.Type {
	case ebpf.Hash, ebpf.LRUHash:
		return (48+key+value)*(n+possible) + 16<<bits.Len64(n-1)
	case ebpf.PerCPUArray:
		return value * n * possible
	case ebpf.RingBuf:
		return n
	}
	return value * n
}

// What all maps take on machines of many kinds: the README's limits tell it.
func TestMapsTake(t *testing.T) {
	const gib, linux5_10, linux6_18 = 1 << 30, 5<<16 | 10<<8, 6<<16 | 18<<8
	for _, c := range []struct {
		what string
		on   machine
		want float64 // MiB
	}{
		{"2 CPUs", machine{24 * gib, linux6_18, 2, 2}, 9.5},
		{"4 CPUs, of which there may be 128", machine{16 * gib, linux5_10, 4, 128}, 9.8},
		{"64 CPUs", machine{256 * gib, linux5_10, 64, 64}, 28.4},
		{"256 CPUs", machine{1024 * gib, linux5_10, 256, 256}, 73.6},
		{"256 CPUs since 6.16", machine{1024 * gib, linux6_18, 256, 256}, 21},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			p := &probes{cfg: cfg}
			var sum uint64
			for _, g := range cfg.groups() {
				spec, err := g.spec()
				require.NoError(t, err)
				p.resize(spec, c.on)
				for _, m := range spec.Maps {
					sum += bytesOf(m, uint64(c.on.possible))
				}
			}
			assert.InDelta(t, c.want, float64(sum)/mib, 0.5)
		})
	}
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3\n": 4, "0-3,8,10-11": 7, "": 0, "x": 0, "3-0": 0} {
		n, ok := countCPUs(list)
		assert.Equal(t, want, n, list)
		assert.Equal(t, want > 0, ok, list)
	}
	m := thisMachine()
	assert.Positive(t, m.online)
	assert.LessOrEqual(t, m.online, m.possible)
	assert.NotZero(t, m.memory)
	assert.NotZero(t, m.kernel)
}

// However many entries the CPUs take, those that are promised stay.
func TestSpare(t *testing.T) {
	for _, cpus := range []int{1, 2, 64, 256, 4096} {
		for _, n := range []uint32{256, 1024, 2048, 65536} {
			for _, kernel := range []uint32{5<<16 | 10<<8, halfSince} {
				m := machine{kernel: kernel, online: cpus, possible: cpus}
				all := n + m.spare(n)
				each := uint32(freeOfCPU)
				if kernel >= halfSince {
					each = min(max(all/uint32(cpus)/2, 1), freeOfCPU)
				}
				assert.GreaterOrEqual(t, all-uint32(cpus)*each, n, "%d CPUs, %d entries, %#x", cpus, n, kernel)
			}
		}
	}
}
