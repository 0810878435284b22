//go:build linux

package golang

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// A leak must be seen to grow by this much over a window before anybody is named.
const leastGrowth = 256 << 10

// settled is for how long an object must be known to have lived to count as kept; where the watch was shorter than twice that, half
// of it. Requests take less time, mostly, however many collections there are meanwhile.
const settled = 5 * time.Second

// maxAsked is of how many samples of a stack it is told which goroutine they are of.
const maxAsked = 64

const (
	// leastTiny is how many of a stack's tiny objects must live on, of 1. Those of less share theirs with what others keep.
	leastTiny = 0.9
	// leastMissed is how many of a stack's objects must live on for one to count that may be another by now.
	leastMissed = 0.5
	// leastYoung is how many of a stack's objects must live on for those to count that are not settled.
	leastYoung = 0.5
)

// result tells what is kept: the growth of each class of objects, shared out among the stacks of its samples that survived.
func (w *heapWatch) result() (h Heap, err error) {
	if w.allspans != 0 && !w.ended {
		// The last sweep may be ahead of the last look.
		if err := w.failed(errors.Join(w.samples.check(w.g, w.marks), w.census())); err != nil {
			return h, err
		}
	}
	h.Collections, h.Ended = len(w.live), w.ended
	if n := len(w.live); n > 0 {
		h.Live = uint64(w.live[n-1].Bytes)
	}
	var state bpf.GoHeapState
	if err := w.coll.Maps[bpf.GoHeapMapStates].Lookup(uint32(0), &state); err != nil {
		return h, fmt.Errorf("read what the kernel has counted: %w", err)
	}
	h.Hits = state.Spans
	if h.Lost, err = bpf.Lost(w.coll.Maps[bpf.GoHeapMapLost]); err != nil {
		return h, err
	}
	h.Allocating, h.Starts = sorted(w.allocs), w.starts
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
	h.Growth, h.Grows, h.undecided = whole.Growth, whole.Grows(leastGrowth), whole.Undecided(leastGrowth)
	if !h.Grows || h.Collections == 0 {
		return
	}
	survivors := w.survivors()
	held, counted := map[string]*Held{}, map[asked]bool{}
	for class, points := range w.classes {
		t := trend.Of(points)
		if !t.Grows(leastGrowth/8) && t.Growth < whole.Growth/2 { // the heap does grow: one that has half of that does as well
			continue
		}
		kept := w.kept(class, survivors[class], t.Growth)
		var n float64
		for _, share := range kept {
			n += share
		}
		if n == 0 {
			h.Unattributed += t.Growth
			continue
		}
		for s, share := range kept {
			of := held[s.stack]
			if of == nil {
				of = &Held{Stack: unpack(s.stack), Routes: map[Route]int{}}
				held[s.stack] = of
			}
			of.Samples++
			if len(of.Goroutines) < maxAsked {
				of.Goroutines = append(of.Goroutines, s.goroutine)
			}
			of.Bytes += t.Growth * share / n
			if key := (asked{s.stack, s.request}); s.route != nil && !counted[key] {
				counted[key] = true
				of.Routes[*s.route]++
			}
		}
	}
	for _, of := range held {
		h.Held = append(h.Held, *of)
	}
	slices.SortFunc(h.Held, func(a, b Held) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Stack, b.Stack)) })
}

// asked is a request that was served by a stack.
type asked struct {
	stack   string
	request uint64
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

// survivors are the samples that a collection has found alive which began after they were made, by class.
func (w *heapWatch) survivors() map[uint8][]*sample {
	all := map[uint8][]*sample{}
	for _, s := range w.samples.bySpan {
		if s.survived > 0 {
			all[s.class] = append(all[s.class], s)
		}
	}
	return all
}

// kept are those survivors of a class that count as kept, and what each counts.
func (w *heapWatch) kept(class uint8, survivors []*sample, growth float64) map[*sample]float64 {
	alive := map[origin]float64{}
	for _, s := range survivors {
		alive[s.origin()] += float64(s.weight)
	}
	rate := func(s *sample) float64 { return alive[s.origin()] / (alive[s.origin()] + w.samples.dead[s.origin()]) }
	oldest := map[origin]time.Duration{}
	for _, s := range survivors {
		if !s.missed {
			oldest[s.origin()] = max(oldest[s.origin()], s.age())
		}
	}
	// Of what is kept, some is as old as the watch. Where most objects of a stack have died, and all but the young ones, the rest will: as in a cache
	// that is full. What is large may be what grows by being moved to a larger place.
	passes := func(s *sample) bool {
		first, ok := w.samples.first[s.origin()]
		return ok && class > largeNoscan && rate(s) < leastMissed && 2*oldest[s.origin()] < time.Duration(w.marks-min(first, w.marks))
	}
	least := min(settled, time.Duration(w.marks-min(w.starting, w.marks))/2)
	kept, young, unseen := map[*sample]float64{}, map[*sample]float64{}, map[*sample]float64{}
	var bytes float64
	for _, s := range survivors {
		share := float64(s.weight)
		if class <= largeNoscan {
			share *= float64(s.pages) // each has a span of its own, of its size
		}
		switch {
		case s.missed && rate(s) < leastMissed: // most likely it has become what became of the others
		case passes(s):
		case class == tinyClass && rate(s) < leastTiny:
		case s.age() >= least && s.unseen:
			unseen[s] = share
		case s.age() >= least:
			kept[s] = share
		case class <= largeNoscan:
			young[s] = share
			bytes += share * pageBytes
		case rate(s) >= leastYoung:
			young[s] = share
		}
	}
	// Who is there by now in the place of one that nothing is known of, is most likely what is kept; who had it first need not be who keeps that.
	if len(kept) == 0 {
		kept = unseen
	}
	// What grows by being moved to a larger place, as slices and maps do, is never old.
	if len(kept) == 0 && (class > largeNoscan || bytes >= growth/2) {
		return young
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
