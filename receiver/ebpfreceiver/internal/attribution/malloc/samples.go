//go:build linux

package malloc

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// sample is an allocation that is followed.
type sample struct {
	address uint64
	// size is what it has, base what it had before it was seen first: realloc makes it grow.
	size, base uint64
	mapped     uint64 // of the stack of a thread: of that, size is what is in use
	// seen is for how many like it it stands of those that were made while its set was watched, count of all.
	seen, count float64
	set         int
	at          time.Duration // when it was made
	stack       int32         // index into groups
	// first is what it held when it was looked at first, a while after it was made.
	first []byte
	// lived is for how long it was seen alive.
	lived         time.Duration
	dead, changed bool
	// superseded says that realloc has made another of it; grown that it has made this of another that is known.
	superseded, grown bool
}

// bytes are those that it stands for.
func (s *sample) bytes() float64 { return s.count * float64(s.size-min(s.base, s.size)) }

// measure sees how much of the stack of a thread is in use. Of a process that has ended, what was seen before counts.
func (s *sample) measure(p *process.Process) {
	if n := p.Resident(s.address, s.address+s.mapped); n > 0 {
		s.size = n
	}
}

// died notes that it was given back, at a time.
func (w *watch) died(s *sample, at time.Duration) {
	s.dead, s.lived = true, max(at-s.at, 0)
	delete(w.live, s.address)
}

// large is the size from which on glibc maps a block by itself (M_MMAP_THRESHOLD).
const large = 128 << 10

// born begins to follow a sample.
func (w *watch) born(e *bpf.MallocSample) error {
	before := w.moved[e.Old]
	delete(w.moved, e.Old)
	set := allocating
	switch e.Call {
	case bpf.MallocCallREALLOC:
		set = freeing
	case bpf.MallocCallMMAP, bpf.MallocCallMREMAP, bpf.MallocCallSTACK_OF_THREAD:
		set = mapping
	case bpf.MallocCallSBRK:
		set = breaking
	}
	if len(w.live) >= maxFollowed || set >= mapping && !w.meant(e) {
		err := w.coll.Maps[bpf.MallocMapLive].Delete(e.Address)
		_ = err // it is given back already, then
		return nil
	}
	stack, how := w.unwind(e)
	w.result.Samples++
	switch how {
	case truncated:
		w.result.Truncated++
	case byGuess:
		w.result.Guessed++
	}
	s := &sample{
		address: e.Address, size: e.Size, seen: float64(max(e.Size, w.every)) / float64(max(e.Size, 1)),
		set: set, at: w.past(e.Time),
	}
	if e.Call == bpf.MallocCallSTACK_OF_THREAD {
		s.mapped, s.size = e.Size, 0
	}
	switch {
	case before != nil:
		// It goes on: what it had before this watch is not its growth.
		s.at, s.base, s.seen = before.at, before.base, before.seen
		if before.base != 0 && !before.grown {
			s.base = before.size
		}
		s.grown = true
		before.superseded = true
	case e.Old != 0:
		s.base = s.size / 2 // arrays grow to twice their size, mostly
	}
	mapped := set >= mapping && w.caller(e) == nil
	s.stack = w.group(stack, mapped, s.mapped > 0 && !mapped)
	w.live[e.Address] = s
	w.all = append(w.all, s)
	return nil
}

// caller is the allocator that has mapped memory; nil where the program has.
func (w *watch) caller(e *bpf.MallocSample) *allocator {
	mod := w.modules.At(e.Caller - 1)
	for i := range w.allocs {
		if w.allocs[i].module == mod {
			return &w.allocs[i]
		}
	}
	return nil
}

// meant says whether memory was mapped for somebody: allocators also map it for themselves, to hand out pieces.
func (w *watch) meant(e *bpf.MallocSample) bool {
	a := w.caller(e)
	return a == nil || e.Call == bpf.MallocCallSTACK_OF_THREAD || w.maps == 1 && e.Call != bpf.MallocCallSBRK && e.Size >= large
}

// group is the index of a stack.
func (w *watch) group(stack []uint64, mapped, thread bool) int32 {
	key := pack(stack)
	i, ok := w.stacks[key]
	if !ok {
		i = int32(len(w.groups))
		w.stacks[key] = i
		w.groups = append(w.groups, group{stack: stack, mapped: mapped, thread: thread})
	}
	return i
}

func pack(stack []uint64) string {
	b := make([]byte, 0, len(stack)*8)
	for _, pc := range stack {
		b = binary.LittleEndian.AppendUint64(b, pc)
	}
	return string(b)
}

// Of an allocation head bytes are looked at, and of those some before it, in which allocators keep what is theirs.
const head = 28

// ahead is how many bytes before an allocation tell something. The stack of a thread begins with a guard that nobody can read: of that it is
// the end, where what belongs to the thread is.
func (w *watch) ahead(s *sample) uint64 {
	switch {
	case s.mapped > 0:
		return -(s.mapped - head)
	case s.set >= mapping:
		return 0
	case w.leaves == hasSize:
		return 8
	case w.leaves == hasIndex:
		return 4
	}
	return 0
}

// look sees how the process's memory grows, and whether samples are as they were: what cannot be read any more was given back to the
// kernel, and what has changed may have been given back, and to somebody else.
func (w *watch) look() error {
	w.looked = time.Now()
	w.waited = max(w.p.Waited()-w.queued, 0)
	anonymous, err := w.p.Anonymous()
	if err != nil {
		return err
	}
	w.memory = append(w.memory, trend.Point{At: time.Since(w.begin), Bytes: float64(anonymous)})
	addrs, of := make([]uint64, 0, len(w.live)), make([]*sample, 0, len(w.live))
	for _, s := range w.live {
		addrs, of = append(addrs, s.address-w.ahead(s)), append(of, s)
	}
	seen := make([]bool, len(of))
	err = w.p.ReadEach(addrs, head, make([]byte, len(addrs)*head), func(i int, b []byte) {
		s := of[i]
		if s.mapped > 0 {
			if s.first == nil {
				s.measure(w.p)
			}
			s.first, seen[i] = []byte{}, true // it is there
			return
		}
		n := w.ahead(s)
		b = b[:min(uint64(head), n+s.size)]
		switch {
		case n == 4 && b[1] == 255:
			return // given back
		case n == 8:
			b[0] &^= 7 // whether its neighbour is in use
		}
		switch {
		case s.first == nil:
			s.first, seen[i] = slices.Clone(b), true
		default:
			s.changed = s.changed || !slices.Equal(s.first, b)
			seen[i] = true
		}
	})
	if err != nil {
		return fmt.Errorf("look at samples: %w", err)
	}
	for i, s := range of {
		if !seen[i] {
			w.died(s, time.Since(w.begin))
		}
	}
	return nil
}
