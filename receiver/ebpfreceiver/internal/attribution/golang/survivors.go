//go:build linux

package golang

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// A leak must be seen to grow by this much over a window before anybody is named.
const leastGrowth = 256 << 10

// settled is how old an object must be to count as kept after it has survived one collection; what has survived two may be
// younger. Requests are younger than that, mostly.
const settled = 5 * time.Second

// result tells what is kept: the growth of each class of objects, shared out among the stacks of its samples that survived.
func (w *heapWatch) result() (h Heap, err error) {
	if w.allspans != 0 && !w.ended {
		// The last sweep may be ahead of the last look.
		if err := errors.Join(w.samples.check(w.g), w.census()); err != nil && !errors.Is(err, process.ErrGone) {
			return h, err
		}
	}
	h.Collections = len(w.live)
	if n := len(w.live); n > 0 {
		h.Live = uint64(w.live[n-1].Bytes)
	}
	var state bpf.GoHeapState
	if err := w.coll.Maps[bpf.GoHeapMapStates].Lookup(uint32(w.g.PID), &state); err != nil {
		return h, fmt.Errorf("read what the kernel has counted: %w", err)
	}
	h.Hits = state.Spans
	var lost []uint64
	if err := w.coll.Maps[bpf.GoHeapMapLost].Lookup(uint32(0), &lost); err != nil {
		return h, fmt.Errorf("read what the kernel has lost: %w", err)
	}
	for _, n := range lost {
		h.Lost += n
	}
	h.Allocating = sorted(w.allocs)
	w.share(&h)
	return h, nil
}

// share shares the growth out.
func (w *heapWatch) share(h *Heap) {
	whole := trend.Of(w.live)
	if whole.Points < 2 {
		// One collection, or none: the census before it is what the one before had found.
		whole = trend.Of(w.total())
	}
	h.Growth, h.Grows = whole.Growth, whole.Grows(leastGrowth)
	if !h.Grows || h.Collections == 0 {
		return
	}
	kept := w.kept()
	held := map[string]*Held{}
	for class, points := range w.classes {
		t := trend.Of(points)
		if !t.Grows(leastGrowth / 8) {
			continue
		}
		var n float64
		for _, s := range kept[class] {
			n += float64(s.weight)
		}
		if n == 0 {
			h.Unattributed += t.Growth
			continue
		}
		for _, s := range kept[class] {
			of := held[s.stack]
			if of == nil {
				of = &Held{Stack: unpack(s.stack)}
				held[s.stack] = of
			}
			of.Samples++
			of.Bytes += t.Growth * float64(s.weight) / n
		}
	}
	for _, of := range held {
		h.Held = append(h.Held, *of)
	}
	slices.SortFunc(h.Held, func(a, b Held) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Stack, b.Stack)) })
}

// total is the sum of all classes by census.
func (w *heapWatch) total() []trend.Point {
	sums := map[time.Duration]float64{}
	for _, points := range w.classes {
		for _, p := range points {
			sums[p.At] += p.Bytes
		}
	}
	var all []trend.Point
	for at, n := range sums {
		all = append(all, trend.Point{At: at, Bytes: n})
	}
	slices.SortFunc(all, func(a, b trend.Point) int { return cmp.Compare(a.At, b.At) })
	return all
}

// kept are the samples that count as kept, by class.
func (w *heapWatch) kept() map[uint8][]*sample {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	now := uint64(ts.Nano())
	kept := map[uint8][]*sample{}
	for _, s := range w.samples.bySpan {
		if s.survived >= 2 || s.survived == 1 && now-s.time >= uint64(settled) {
			kept[s.class] = append(kept[s.class], s)
		}
	}
	return kept
}

func sorted(bytes map[string]float64) []Held {
	all := make([]Held, 0, len(bytes))
	for stack, n := range bytes {
		all = append(all, Held{Stack: unpack(stack), Bytes: n})
	}
	slices.SortFunc(all, func(a, b Held) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Stack, b.Stack)) })
	return all[:min(len(all), 64)]
}

func unpack(b string) Stack {
	s := make(Stack, len(b)/8)
	for i := range s {
		s[i] = binary.LittleEndian.Uint64([]byte(b[i*8 : i*8+8]))
	}
	return s
}
