//go:build linux

package malloc

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/unwind"
)

// sample is an allocation that is followed.
type sample struct {
	raw       *bpf.MallocSample // until its stack was followed
	address   uint64
	size      uint64
	weight    float64 // bytes it stands for
	at        time.Duration
	stack     []uint64
	truncated bool
	// first is what it held when it was looked at first, a while after it was made.
	first   []byte
	dead    bool
	changed bool
}

// head is how much of an allocation is looked at: what allocators write into when it is given back.
const head = 16

const maxFrames = 48

// unwind follows a sample's stack by the unwind tables of what it is in, and where those end by frame pointers.
func (w *watch) unwind(e *bpf.MallocSample) (stack []uint64, truncated bool) {
	s := unwind.State{PC: e.Caller}
	sp, fp, saved := 7, 6, []int{3, 12, 13, 14, 15}
	if runtime.GOARCH == "arm64" {
		sp, fp, saved = 31, 29, []int{19, 20, 21, 22, 23, 24, 25, 26, 27, 28}
	}
	s.Set(sp, e.Sp)
	s.Set(fp, e.Bp)
	for i, reg := range saved {
		s.Set(reg, e.Saved[i])
	}
	m := unwind.Memory{At: e.Sp, Bytes: e.Stack[:e.StackBytes]}
	for len(stack) < maxFrames {
		stack = append(stack, s.PC)
		if w.modules.Caller(&s, s.PC-1, m) {
			continue
		}
		if w.modules.HasUnwind(s.PC - 1) {
			return stack, false // the table says that it ends here
		}
		// Code without a table, as of a JIT compiler or of Go, may keep frame pointers.
		frame := s.Regs[fp]
		at := frame - m.At
		if s.Known>>fp&1 == 0 || frame < s.Regs[sp] || at > uint64(len(m.Bytes)) || uint64(len(m.Bytes))-at < 16 {
			return stack, true
		}
		next := unwind.State{PC: binary.LittleEndian.Uint64(m.Bytes[at+8:])}
		if next.PC == 0 {
			return stack, false
		}
		next.Set(fp, binary.LittleEndian.Uint64(m.Bytes[at:]))
		next.Set(sp, frame+16)
		s = next
	}
	return stack, true
}

// watch looks at the samples from time to time: what cannot be read any more was given back to the kernel, and what has changed
// may have been given back, and to somebody else.
func (w *watch) watch(ctx context.Context, until time.Time) error {
	for {
		wait := min(look, time.Until(until))
		if wait > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
		}
		anonymous, err := w.p.Anonymous()
		if err != nil {
			return err
		}
		w.memory = append(w.memory, trend.Point{At: time.Since(w.begin), Bytes: float64(anonymous)})
		if err := w.look(); err != nil {
			return err
		}
		if !time.Now().Before(until) {
			return nil
		}
	}
}

func (w *watch) look() error {
	addrs := make([]uint64, 0, len(w.live))
	for at := range w.live {
		addrs = append(addrs, at)
	}
	seen := map[uint64]bool{}
	err := w.p.ReadEach(addrs, head, make([]byte, len(addrs)*head), func(i int, b []byte) {
		s := w.live[addrs[i]]
		seen[s.address] = true
		b = b[:min(uint64(head), s.size)]
		if s.first == nil {
			s.first = slices.Clone(b)
		} else if !slices.Equal(s.first, b) {
			s.changed = true
		}
	})
	if err != nil {
		return fmt.Errorf("look at samples: %w", err)
	}
	for at, s := range w.live {
		if !seen[at] {
			s.dead = true
			delete(w.live, at)
		}
	}
	return nil
}

// A leak must be seen to grow by this much over a window before anybody is named.
const leastGrowth = 256 << 10

// least is how many samples must be kept before their shares mean anything.
const least = 4

// finish tells what is kept: the growth, shared out among the stacks of the samples that stay.
func (w *watch) finish(window time.Duration) Result {
	r := w.result
	var lost []uint64
	if err := w.coll.Maps[bpf.MallocMapLost].Lookup(uint32(0), &lost); err == nil {
		for _, n := range lost {
			r.Lost += n
		}
	}
	t := trend.Of(w.memory)
	r.Growth, r.Grows = t.Growth, t.Grows(leastGrowth)
	if !r.Grows {
		return r
	}
	marks := true
	for _, a := range w.allocs {
		marks = marks && a.marks
	}
	r.Held = share(w.all, window, r.Growth, marks)
	return r
}

type group struct {
	of                    Held
	stable, changed, dead int
	stableBytes, allBytes float64
	stableCount, allCount float64
}

// share shares growth out among the stacks whose samples are kept. A sample that has not changed is kept: marks says that the
// allocator would have written into it otherwise. One that has changed counts only where none of its stack's was given back.
func share(all []*sample, window time.Duration, growth float64, marks bool) []Held {
	groups := map[string]*group{}
	for _, s := range all {
		if s.at > window*3/5 {
			continue // too young
		}
		key := pack(s.stack)
		g := groups[key]
		if g == nil {
			g = &group{of: Held{Stack: s.stack}}
			groups[key] = g
		}
		objects := s.weight / float64(max(s.size, 1))
		switch {
		case s.dead:
			g.dead++
			continue
		case s.changed:
			g.changed++
		default:
			g.stable++
			g.stableBytes += s.weight
			g.stableCount += objects
		}
		g.allBytes += s.weight
		g.allCount += objects
	}
	var held []Held
	var sum float64
	var samples int
	for _, g := range groups {
		switch {
		case g.dead == 0:
			g.of.Samples, g.of.Bytes, g.of.Objects = g.stable+g.changed, g.allBytes, g.allCount
		case marks || g.stable > 4*g.dead:
			g.of.Samples, g.of.Bytes, g.of.Objects = g.stable, g.stableBytes, g.stableCount
		}
		if g.of.Samples == 0 {
			continue
		}
		sum += g.of.Bytes
		samples += g.of.Samples
		held = append(held, g.of)
	}
	if samples < least {
		return nil
	}
	for i := range held {
		held[i].Objects *= growth / sum
		held[i].Bytes *= growth / sum
	}
	slices.SortFunc(held, func(a, b Held) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Stack, b.Stack)) })
	return held
}

func pack(stack []uint64) string {
	b := make([]byte, 0, len(stack)*8)
	for _, pc := range stack {
		b = binary.LittleEndian.AppendUint64(b, pc)
	}
	return string(b)
}
