//go:build linux

package python

import (
	"context"
	"time"
)

// cyclesTime is what CPU time it may take to go through the lists of the garbage collector.
const cyclesTime = 300 * time.Millisecond

// cycles are objects that the garbage collector knows, and that no module or function was seen to hold: while it is switched off, those
// that refer to each other stay.
type cycles struct {
	counts  map[*typ]int
	newest  map[*typ][]uint64
	off     bool
	partial bool
}

// unreached goes through the collector's lists, after a walk.
func (p *Program) unreached(ctx context.Context, g *graph) (cycles, error) {
	c := cycles{counts: map[*typ]int{}, newest: map[*typ][]uint64{}}
	at := p.runtime
	if p.at.minor >= 9 {
		interpreter, err := p.Uint64(p.runtime + p.at.interpreters)
		if err != nil {
			return c, err
		}
		at = interpreter
	}
	at += p.at.generations
	b := make([]byte, 40)
	if _, err := p.ReadAt(b, int64(at-12)); err != nil {
		return c, err
	}
	// gc.disable(), or gc.set_threshold(0).
	if enabled, threshold := uint32(word(b, 0)), uint32(word(b, 28)); enabled != 0 && threshold != 0 {
		return c, nil
	}
	c.off = true
	const generations, size = 3, 24
	until := used() + cyclesTime
	for n := range uint64(generations) {
		// The newest come first, where the program adds and takes away: what is torn is torn there.
		for !p.list(ctx, g, at+n*size, until, &c) {
			if used() > until || ctx.Err() != nil {
				c.partial = true
				return c, nil
			}
		}
	}
	return c, p.Alive()
}

// list goes through one list, from its end. It returns false, and has counted nothing, when the program changed it meanwhile.
func (p *Program) list(ctx context.Context, g *graph, head uint64, until time.Duration, c *cycles) bool {
	counts, newest := map[*typ]int{}, map[*typ][]uint64{}
	b := make([]byte, 32)
	if _, err := p.ReadAt(b[:16], int64(head)); err != nil {
		return false
	}
	after, at := head, word(b, 8)&^3
	for looked := 0; at != head; looked++ {
		if looked >= maxQueue || looked%256 == 0 && (used() > until || ctx.Err() != nil) || !place(at) {
			return false
		}
		if _, err := p.ReadAt(b, int64(at)); err != nil || word(b, 0)&^3 != after {
			return false
		}
		if _, reached := g.index[at+16]; !reached {
			if t := g.typeOf(word(b, 24)); t != nil {
				if counts[t]++; len(newest[t]) < 2*maxSamples {
					newest[t] = append(newest[t], at+16)
				}
			}
		}
		after, at = at, word(b, 8)&^3
	}
	for t, n := range counts {
		c.counts[t] += n
		c.newest[t] = append(c.newest[t], newest[t]...)
	}
	return true
}

// uncollected tells which objects pile up because the garbage collector is off.
func (w *watch) uncollected(m *measure) (h Holder, ok bool) {
	var most *typ
	var more int
	last := w.walks[len(w.walks)-1].cycles
	for t := range last.counts {
		n, ok := w.rises(leastObjects, func(all walked) int { return all.cycles.counts[t] })
		if !ok {
			continue
		}
		// A class tells more than what its objects are made of.
		class, best := t.flags&flagHeapType != 0, most != nil && most.flags&flagHeapType != 0
		if most == nil || class && !best || class == best && (n > more || n == more && t.addr < most.addr) {
			most, more = t, n
		}
	}
	for _, of := range w.walks {
		if c := of.cycles; !c.off || c.partial || w.partial {
			return h, false
		}
	}
	if most == nil {
		return h, false
	}
	h = Holder{
		Path: "reference cycles", Type: "never collected, for gc is disabled", Of: w.g.fullName(most), Count: 1, Entries: float64(more),
	}
	newest := last.newest[most]
	for _, addr := range newest[max(0, len(newest)-maxSamples):] {
		bytes, _ := m.measure(addr)
		h.Bytes += float64(bytes)
		h.Samples++
	}
	h.Bytes *= h.Entries / float64(h.Samples)
	return h, h.Bytes > 0
}
