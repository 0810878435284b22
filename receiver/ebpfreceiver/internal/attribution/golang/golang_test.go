//go:build linux

package golang

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
)

func TestLayoutOf(t *testing.T) {
	for version, ok := range map[string]bool{
		"go1.17.5": false, "go1.18": true, "go1.19.13": true, "go1.26.0": true, "go1.26rc1": true, "go1.99.1": true,
		"devel go1.27-abc": true, "": false, "gccgo 12": false, "go2.0": false,
	} {
		_, err := layoutOf(version)
		assert.Equal(t, ok, err == nil, "%s: %v", version, err)
	}
	l, err := layoutOf("go1.99")
	require.NoError(t, err)
	assert.Equal(t, layouts[newestMinor], l)
}

// fake is memory in which everything else is zero.
type fake map[uint64]byte

func (m fake) ReadAt(b []byte, addr int64) (int, error) {
	for i := range b {
		b[i] = m[uint64(addr)+uint64(i)]
	}
	return len(b), nil
}

func (m fake) ReadEach(addrs []uint64, size int, b []byte, each func(int, []byte)) error {
	for i, at := range addrs {
		if at == 0xdead {
			continue
		}
		_, _ = m.ReadAt(b[i*size:(i+1)*size], int64(at))
		each(i, b[i*size:(i+1)*size])
	}
	return nil
}

func (m fake) put(at uint64, b ...byte) {
	for i, v := range b {
		m[at+uint64(i)] = v
	}
}

func (m fake) word(at, v uint64) { m.put(at, binary.LittleEndian.AppendUint64(nil, v)...) }

// span puts a span into memory, with one word of marks.
func (m fake) span(at, base uint64, sweepgen uint32, class, state byte, marks uint64) {
	l := span122
	m.word(at+l.start, base)
	m.word(at+l.pages, 1)
	m.put(at+l.nelems, 64, 0)
	m.word(at+l.allocBits, at+0x1000)
	m.word(at+l.elemsize, 128)
	m.put(at+l.sweepgen, binary.LittleEndian.AppendUint32(nil, sweepgen)...)
	m.put(at+l.class, class)
	m.put(at+l.state, state)
	m.word(at+0x1000, marks)
}

func TestSamples(t *testing.T) {
	const at, base, class = 0x10000, 0xc000000000, 9
	add := func(s *samples, spared int) {
		s.add(&sample{span: at, base: base, pages: 1, class: class, weight: 1, swept: 10, spared: spared})
	}
	for name, c := range map[string]struct {
		spared   int
		steps    func(m fake, check func())
		survived int // -1: known to be dead
	}{
		"not swept since": {0, func(m fake, check func()) {
			m.span(at, base, 10, class, 1, 0)
			check()
			m.span(at, base, 13, class, 1, 0) // cached: 3 more
			check()
		}, 0},
		"marked twice": {0, func(m fake, check func()) {
			m.span(at, base, 12, class, 1, 1)
			check()
			m.span(at, base, 15, class, 1, 1)
			check() // the same collection
			m.span(at, base, 14, class, 1, 0b11)
			check()
		}, 2},
		"made while marking": {1, func(m fake, check func()) {
			m.span(at, base, 12, class, 1, 1)
			check()
		}, 0},
		"not marked": {0, func(m fake, check func()) {
			m.span(at, base, 12, class, 1, 0b10)
			check()
		}, -1},
		"dead, and its place taken by one that lives": {0, func(m fake, check func()) {
			m.span(at, base, 12, class, 1, 0b10)
			check()
			m.span(at, base, 14, class, 1, 0b11)
			check()
		}, -1},
		"the span was freed":           {0, func(m fake, check func()) { m.span(at, base, 12, class, 0, 1); check() }, -1},
		"the span is another by now":   {0, func(m fake, check func()) { m.span(at, base+8192, 12, class, 1, 1); check() }, -1},
		"the span is of another class": {0, func(m fake, check func()) { m.span(at, base, 12, class+1, 1, 1); check() }, -1},
		"the generation wraps around":  {0, func(m fake, check func()) { m.span(at, base, 2, class, 1, 1); check() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m, s := fake{}, newSamples(&span122, 4)
			add(s, c.spared)
			if name == "the generation wraps around" {
				s.bySpan[at].swept = 1<<32 - 2
				c.survived = 1
			}
			c.steps(m, func() { require.NoError(t, s.check(m, 1)) })
			of := s.bySpan[at]
			if c.survived < 0 {
				assert.Nil(t, of)
				assert.Len(t, s.dead, 1)
				return
			}
			require.NotNil(t, of)
			assert.Equal(t, c.survived, of.survived)
		})
	}
}

// Too many are thinned out: the rest stand for more. What is large is not.
func TestSamplesBound(t *testing.T) {
	const limit = 1000
	s := newSamples(&span122, limit)
	assert.True(t, s.add(&sample{span: 1 << 32, weight: 1, pages: 4096}))
	for i := range uint64(limit - 1) {
		assert.True(t, s.add(&sample{span: i, weight: 1, pages: 1}))
	}
	assert.False(t, s.add(&sample{span: limit, weight: 1, pages: 1}))
	assert.Equal(t, uint32(2), s.oneIn)
	assert.InDelta(t, limit/2, len(s.bySpan), 6*16, "6 times the standard deviation")
	require.NotNil(t, s.bySpan[1<<32])
	for _, of := range s.bySpan {
		assert.Equal(t, map[uint64]uint32{1: 2, 4096: 1}[of.pages], of.weight)
	}
}

func TestCensus(t *testing.T) {
	m := fake{}
	m.word(0x100, 0x200) // the slice
	m.word(0x108, 3)
	m.word(0x200, 0x10000)
	m.word(0x208, 0x20000)
	m.word(0x210, 0x30000)
	m.span(0x10000, 0xc000000000, 2, 9, 1, 0b111)
	m.span(0x20000, 0xc000002000, 2, 9, 0, 0b111) // free
	m.span(0x30000, 0xc000004000, 2, 10, 1, 1<<63)
	c, err := span122.count(m, 0x100)
	require.NoError(t, err)
	assert.Equal(t, map[uint8]uint64{9: 3 * 128, 10: 128}, c.classes)
	assert.Equal(t, 3, c.total)

	m.word(0x108, 1<<40)
	_, err = span122.count(m, 0x100)
	assert.ErrorIs(t, err, errLayout)
}

// moving is memory in which the list of spans is moved while it is read, and the place where it was is given back.
type moving struct{ fake }

func (m moving) ReadAt(b []byte, addr int64) (int, error) {
	if addr == 0x200 {
		m.word(0x100, 0x400)
		return 0, unix.EFAULT
	}
	return m.fake.ReadAt(b, addr)
}

func TestCensusWhileTheListMoves(t *testing.T) {
	m := fake{}
	m.word(0x100, 0x200)
	m.word(0x108, 1)
	m.word(0x400, 0x10000)
	m.span(0x10000, 0xc000000000, 2, 9, 1, 0b111)
	c, err := span122.count(moving{m}, 0x100)
	require.NoError(t, err)
	assert.Equal(t, map[uint8]uint64{9: 3 * 128}, c.classes)

	m.word(0x108, 0) // it is gone for good
	_, err = span122.count(moving{m}, 0x100)
	assert.ErrorIs(t, err, errLayout)
}

// Where the first sweep after it was made was not seen, another may have taken its place: it counts only where there is no better evidence.
func TestKeptUnseen(t *testing.T) {
	const class, second = 9, uint64(time.Second)
	of := func(stack string, unseen bool) *sample {
		return &sample{class: class, stack: stack, weight: 1, survived: 2, alive: 9 * second, missed: unseen, unseen: unseen}
	}
	leak, churn := of("leak", false), of("churn", true)
	w := heapWatch{samples: newSamples(&span122, 8), marks: 9 * second}
	assert.Equal(t, map[*sample]float64{leak: 1}, w.kept(class, []*sample{leak, churn}, 0))
	assert.Equal(t, map[*sample]float64{churn: 1}, w.kept(class, []*sample{churn}, 0))
}

// Who is replaced after some seconds, as in a cache that is full, is not kept, though it has settled: none of them is older. Of what is kept for good
// there are some as old as the watch, whatever dies beside.
func TestKeptPassing(t *testing.T) {
	const class, second = 9, uint64(time.Second)
	w := heapWatch{samples: newSamples(&span122, 99), marks: 30 * second}
	made := func(stack string, dead float64, at ...uint64) (all []*sample) {
		for i, at := range at {
			s := &sample{span: uint64(len(w.samples.bySpan)*100 + i), class: class, stack: stack, weight: 1, time: at * second, survived: 1, alive: 30 * second}
			w.samples.add(s)
			all = append(all, s)
		}
		w.samples.first[all[0].origin()] = second
		w.samples.dead[all[0].origin()] = dead
		return all
	}
	leak, shared, cache, fresh := made("leak", 0, 20, 22), made("shared", 30, 5, 12, 25), made("cache", 30, 18, 20, 23), made("fresh", 2, 21, 22, 24)
	kept := w.kept(class, slices.Concat(leak, shared, cache, fresh), 0)
	for _, s := range slices.Concat(leak, shared, fresh) {
		assert.Contains(t, kept, s, s.stack)
	}
	for _, s := range cache {
		assert.NotContains(t, kept, s)
		s.class = largeNoscan
	}
	w.samples.first[cache[0].origin()], w.samples.dead[cache[0].origin()] = second, 30
	assert.Len(t, w.kept(largeNoscan, cache, 0), len(cache), "a slice that grows is moved each time")
}

func TestInstantiated(t *testing.T) {
	for function, want := range map[string]string{
		"main.main":                            "main.main",
		"main.(*Set[go.shape.string]).Add":     "main.(*Set[...]).Add",
		"main.Map[go.shape.[]uint8,int].func1": "main.Map[...].func1",
		"main.a]b[":                            "main.a]b[",
	} {
		assert.Equal(t, want, instantiated(function))
	}
}

func TestReferences(t *testing.T) {
	// lea 0x10(%rip),%rax; mov 0x20(%rip),%rcx; ret
	amd64 := []byte{0x48, 0x8d, 0x05, 0x10, 0, 0, 0, 0x48, 0x8b, 0x0d, 0x20, 0, 0, 0, 0xc3}
	assert.Equal(t, []uint64{0x1017, 0x102e}, referencesAMD64(amd64, 0x1000))
	var arm64 []byte
	for _, in := range []uint32{
		0xb0000000, // adrp x0, the next page but none
		0x91004001, // add x1, x0, #16
		0xf9400802, // ldr x2, [x0, #16]
	} {
		arm64 = binary.LittleEndian.AppendUint32(arm64, in)
	}
	assert.Equal(t, []uint64{0x2010, 0x2010}, referencesARM64(arm64, 0x1000))
}

func TestCall(t *testing.T) {
	// xor edi,edi; call +0x10; call +0x20; ret
	amd64 := []byte{0x31, 0xff, 0xe8, 0x10, 0, 0, 0, 0xe8, 0x20, 0, 0, 0, 0xc3}
	off, ok := call(amd64, 0x1000, 0x1000+12+0x20, elf.EM_X86_64)
	assert.True(t, ok)
	assert.Equal(t, 7, off)
	_, ok = call(amd64, 0x1000, 0x1000, elf.EM_X86_64)
	assert.False(t, ok)
	var arm64 []byte
	for _, in := range []uint32{0xd503201f, 0x94000010, 0x97ffffff} { // nop; bl +64; bl -4
		arm64 = binary.LittleEndian.AppendUint32(arm64, in)
	}
	off, ok = call(arm64, 0x1000, 0x1004, elf.EM_AARCH64)
	assert.True(t, ok)
	assert.Equal(t, 8, off)
}

func FuzzReferences(f *testing.F) {
	f.Add([]byte{0x48, 0x8d, 0x05, 0x10, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		call(b, 0x1000, 0x1005, elf.EM_X86_64)
		referencesAMD64(b, 0x1000)
		referencesARM64(b, 0x1000)
	})
}

// The kernel takes the programs: what the newest verifies, an old one may find too complex.
func TestProgramsLoad(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it loads programs into the kernel")
	}
	require.NoError(t, rlimit.RemoveMemlock())
	spec, err := bpf.LoadGoHeap()
	require.NoError(t, err)
	c, err := ebpf.NewCollection(spec)
	require.NoError(t, err)
	c.Close()
}

func FuzzGoroutines(f *testing.F) {
	newest := layouts[newestMinor]
	l := &newest.g
	f.Add(make([]byte, l.size))
	f.Fuzz(func(t *testing.T, b []byte) {
		look := Goroutines{Step: 1, by: map[place][]goroutine{}}
		look.take(l, append(b, make([]byte, l.size)...)[:l.size])
		for _, gs := range look.by {
			for _, g := range gs {
				if g.stack > 1<<30 {
					t.Fatalf("a stack of %d bytes is believed", g.stack)
				}
			}
		}
	})
}
