//go:build linux

package python

import (
	"slices"
	"time"
)

// Bounds of what is measured.
const (
	maxSamples  = 64
	maxMeasured = 4000 // objects of one entry
	// measureTime is what CPU time all of it may take.
	measureTime = time.Second
)

// measure tells what objects take that came since, with all that only they hold.
type measure struct {
	g    *graph
	old  old
	seen map[uint64]bool // what was measured already
	// until is when to stop, in this thread's CPU time.
	until time.Duration
}

// entry is what an entry of a container takes, by samples of the newest ones, and of which type most are.
func (m *measure) entry(o object) (each float64, samples int, kind string) {
	type entry struct{ key, value uint64 }
	var all []entry
	switch o.typ.class {
	case dict:
		m.g.entries(o, func(key, value uint64) { all = append(all, entry{key, value}) })
	case list:
		m.g.pointers(o.word(24), o.length(), func(ref uint64) { all = append(all, entry{value: ref}) })
	case set:
		m.g.elements(o, func(ref uint64) { all = append(all, entry{value: ref}) })
	case deque:
		m.g.queued(o, func(ref uint64) { all = append(all, entry{value: ref}) })
	case bytearray:
		return 1, 0, "byte"
	}
	all = slices.DeleteFunc(all, func(e entry) bool { return !place(e.value) || m.old.has(e.value) })
	all = all[max(0, len(all)-maxSamples):]
	kinds := map[*typ]int{}
	var most *typ
	var sum uint64
	for _, e := range all {
		of, ok := m.g.object(e.value)
		if !ok {
			continue
		}
		samples++
		if kinds[of.typ]++; most == nil || kinds[of.typ] > kinds[most] {
			most = of.typ
		}
		n, _ := m.measure(e.value)
		if e.key != 0 {
			of, _ := m.measure(e.key)
			n += of
		}
		sum += n
	}
	if samples > 0 {
		each, kind = float64(sum)/float64(samples), m.g.fullName(most)
	}
	return each + m.place(o), samples, kind
}

// place is what the container itself takes for an entry.
func (m *measure) place(o object) float64 {
	n := m.length(o)
	if n == 0 {
		return 0
	}
	return float64(m.g.size(o)) / float64(n)
}

func (m *measure) length(o object) uint64 {
	if at, ok := sized[o.typ.class]; ok {
		return min(o.word(at), maxLength)
	}
	return 0
}

// measure adds up what an object takes, and what it alone has brought: not what was there before, nor classes and functions. Of what
// others refer to as well, such as a str, it has its part.
func (m *measure) measure(addr uint64) (bytes uint64, objects int) {
	queue := []uint64{addr}
	for looked := 0; len(queue) > 0 && objects < maxMeasured && looked < 4*maxMeasured; looked++ {
		if looked%64 == 0 && used() > m.until {
			break
		}
		addr, queue = queue[0], queue[1:]
		if m.seen[addr] || m.old.has(addr) {
			continue
		}
		o, ok := m.g.object(addr)
		if !ok {
			continue
		}
		switch o.typ.class {
		case module, typeObject, function, code:
			continue
		case leaf:
			if n := o.shared(); n > 0 && n < 64 {
				bytes += m.g.size(o) / n
				objects++
			}
			continue
		}
		m.seen[addr] = true
		bytes += m.g.size(o)
		objects++
		m.g.references(o, false, func(ref, _ uint64, _ step) {
			if place(ref) && len(queue) < maxMeasured {
				queue = append(queue, ref)
			}
		})
	}
	return bytes, objects
}
