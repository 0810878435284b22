//go:build linux

package golang

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// memory is what is read of a process.
type memory interface {
	ReadAt(b []byte, addr int64) (int, error)
	ReadEach(addrs []uint64, size int, b []byte, each func(i int, b []byte)) error
}

var _ memory = (*process.Process)(nil)

const (
	spanInUse = 1
	// maxOneIn is how many spans a sample may stand for.
	maxOneIn  = 1 << 20
	pageBytes = 8192
	// maxObjects is how many objects a span of the runtime's size classes has at most, 8 bytes each.
	maxObjects = pageBytes / 8
)

// span is what is read of a runtime.mspan.
type span struct {
	start, pages, allocBits, elemsize uint64
	objects                           int
	sweepgen                          uint32
	class                             uint8
	inUse                             bool
}

func (l *spanLayout) decode(b []byte) span {
	word := func(at uint64) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	s := span{
		start: word(l.start), pages: word(l.pages), allocBits: word(l.allocBits), elemsize: word(l.elemsize),
		sweepgen: binary.LittleEndian.Uint32(b[l.sweepgen:]), class: b[l.class], inUse: b[l.state] == spanInUse,
	}
	if l.shortCounts {
		s.objects = int(binary.LittleEndian.Uint16(b[l.nelems:]))
	} else {
		s.objects = int(min(word(l.nelems), maxObjects))
	}
	return s
}

// swept is the collection after which a span was swept last, as twice its number. The runtime adds 3 while a span is cached for
// a processor, and 1 while it is being swept (runtime/mheap.go: mspan.sweepgen); taking 1 for 3 tells of a sweep a moment late.
func (s span) swept() uint32 {
	if s.sweepgen%2 == 1 {
		return s.sweepgen - 3
	}
	return s.sweepgen
}

// sample is an object: the first in a span that was fetched for it.
type sample struct {
	span, base, pages uint64
	class             uint8
	// weight is how many spans it stands for.
	weight uint32
	time   uint64 // CLOCK_MONOTONIC, ns
	// goroutine is the number of the one that has allocated it.
	goroutine uint64
	stack     string
	// swept is the collection after which its span was looked at last; survived, how many collections have found it alive that
	// began after it was made, the last of them at the time alive; spared, how many will that did not.
	swept    uint32
	survived int
	alive    uint64
	spared   int
	// missed says that a sweep of its span was not seen: if it was dead by then, its place may have been taken since. unseen, that it was not
	// known to be alive before.
	missed, unseen bool
	// route is of the request that was served, and request tells it from others; nil where it is not known.
	route   *Route
	request uint64
}

// origin is where objects of a class come from.
type origin struct {
	class uint8
	stack string
}

func (s *sample) origin() origin { return origin{s.class, s.stack} }

// age is for how long it is known to have lived.
func (s *sample) age() time.Duration {
	if s.survived == 0 || s.alive < s.time {
		return 0
	}
	return time.Duration(s.alive - s.time)
}

// largeNoscan is the class of what has a span of its own and no pointers; 0 that of those with pointers.
const largeNoscan = 1

// tinyClass is the class of what has less than 16 bytes and no pointers, several of which share an object (runtime/malloc.go:
// tinySpanClass). The first of them has the stack, and any of them keeps all alive.
const tinyClass = 5

// samples are the objects that are not known to be dead.
type samples struct {
	layout *spanLayout
	bySpan map[uint64]*sample
	// oneIn is how many spans of a page one sample stands for; it doubles when there are too many. One of so many pages is always followed.
	oneIn uint32
	limit int
	// dead are how many spans those that have died stood for, first is when the first was made.
	dead  map[origin]float64
	first map[origin]uint64
	addrs []uint64
	buf   []byte
}

func newSamples(l *spanLayout, limit int) *samples {
	return &samples{layout: l, bySpan: map[uint64]*sample{}, oneIn: 1, limit: limit, dead: map[origin]float64{}, first: map[origin]uint64{}}
}

// add takes a new one in. A span that is fetched again was freed before, with all that was in it. It returns false when there
// are so many that only every second of what is to come shall be taken.
func (s *samples) add(n *sample) bool {
	if of, ok := s.bySpan[n.span]; ok {
		s.died(of)
	}
	s.bySpan[n.span] = n
	if _, ok := s.first[n.origin()]; !ok && len(s.first) < 4*maxSamples {
		s.first[n.origin()] = n.time
	}
	if len(s.bySpan) <= s.limit {
		return true
	}
	s.thin()
	return false
}

// thin leaves every second page out: the rest stand for more.
func (s *samples) thin() {
	if s.oneIn >= maxOneIn {
		return
	}
	s.oneIn *= 2
	for at, of := range s.bySpan {
		if weight := max(s.oneIn/uint32(max(of.pages, 1)), 1); weight > of.weight {
			if rand.Uint32N(weight) >= of.weight {
				delete(s.bySpan, at)
			}
			of.weight = weight
		}
	}
}

func (s *samples) died(of *sample) {
	delete(s.bySpan, of.span)
	if _, ok := s.dead[of.origin()]; ok || len(s.dead) < 4*maxSamples {
		s.dead[of.origin()] += float64(of.weight)
	}
}

// check looks which objects live on. From one sweep of a span to the next its allocBits are what the collection before has
// marked, at the time given; an object that is not marked is dead, whoever takes its place.
func (s *samples) check(m memory, at uint64) error {
	s.addrs = s.addrs[:0]
	for at := range s.bySpan {
		s.addrs = append(s.addrs, at)
	}
	size := s.layout.size
	if n := len(s.addrs) * size; len(s.buf) < n {
		s.buf = make([]byte, n)
	}
	var swept, gone []*sample
	var marks []uint64
	err := m.ReadEach(s.addrs, size, s.buf, func(i int, b []byte) {
		of, now := s.bySpan[s.addrs[i]], s.layout.decode(b)
		if !now.inUse || now.start != of.base || now.pages != of.pages || now.class != of.class {
			gone = append(gone, of)
			return
		}
		// Generations wrap around.
		if d := int32(now.swept() - of.swept); d > 0 {
			of.swept, of.missed, of.unseen = now.swept(), of.missed || d > 2, of.unseen || d > 2 && of.survived == 0
			swept, marks = append(swept, of), append(marks, now.allocBits)
		}
	})
	if err != nil {
		return err
	}
	for _, of := range gone {
		s.died(of)
	}
	return m.ReadEach(marks, 1, s.buf, func(i int, b []byte) {
		of := swept[i]
		switch {
		case b[0]&1 == 0:
			s.died(of)
		case of.spared > 0:
			of.spared--
		default:
			of.survived++
			of.alive = at
		}
	})
}

// census is how much of each class of spans a collection has found alive, in bytes.
type census struct {
	classes map[uint8]uint64
	// seen of total spans were looked at.
	seen, total int
}

// Bounds of a census: spans beyond are looked at one in so many.
const (
	maxSpans    = 1 << 24
	censusSpans = 1 << 16
)

// spansAt reads where the list of spans is, and how many there are.
func spansAt(m memory, allspans uint64) (at uint64, n int, err error) {
	var header [16]byte
	if _, err := m.ReadAt(header[:], int64(allspans)); err != nil {
		return 0, 0, err
	}
	at, long := binary.LittleEndian.Uint64(header[:]), binary.LittleEndian.Uint64(header[8:])
	if at%8 != 0 || long == 0 || long > maxSpans {
		return 0, 0, errLayout
	}
	return at, int(long), nil
}

// count takes a census of the heap: the slice allspans at an address.
func (l *spanLayout) count(m memory, allspans uint64) (c census, err error) {
	c.classes = map[uint8]uint64{}
	at, n, err := spansAt(m, allspans)
	if err != nil {
		return c, err
	}
	c.total = n
	step := 1
	for c.total/step > censusSpans {
		step *= 2
	}
	const batch = 1024
	pointers, addrs := make([]byte, batch*8), make([]uint64, 0, batch)
	buf, marks := make([]byte, batch*max(l.size, maxObjects/8)), make([]span, 0, batch)
	for first := 0; first < c.total; first += batch {
		p := pointers[:min(batch, c.total-first)*8]
		if _, err := m.ReadAt(p, int64(at)+int64(first)*8); err != nil {
			// Where it needs more room, it is moved, and what it was in is given back to the kernel. Its order stays.
			if at, _, err = spansAt(m, allspans); err != nil {
				return c, err
			}
			if _, err := m.ReadAt(p, int64(at)+int64(first)*8); err != nil {
				return c, err
			}
		}
		addrs = addrs[:0]
		for i := first % step; i < len(p)/8; i += step {
			addrs = append(addrs, binary.LittleEndian.Uint64(p[i*8:]))
		}
		marks = marks[:0]
		if err := m.ReadEach(addrs, l.size, buf, func(_ int, b []byte) {
			c.seen++
			if s := l.decode(b); s.inUse && s.objects > 0 && s.objects <= maxObjects {
				marks = append(marks, s)
			}
		}); err != nil {
			return c, err
		}
		addrs = addrs[:0]
		for _, s := range marks {
			addrs = append(addrs, s.allocBits)
		}
		if err := m.ReadEach(addrs, maxObjects/8, buf, func(i int, b []byte) {
			c.classes[marks[i].class] += uint64(marked(b, marks[i].objects)) * marks[i].elemsize * uint64(step)
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

func marked(b []byte, objects int) int {
	n := 0
	for i := 0; i < objects/8; i++ {
		n += bits.OnesCount8(b[i])
	}
	return n + bits.OnesCount8(b[objects/8&(len(b)-1)]&(1<<(objects%8)-1))
}
