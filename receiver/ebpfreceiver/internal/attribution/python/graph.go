//go:build linux

package python

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a walk.
const (
	maxNodes = 100_000
	maxQueue = 250_000
	// longQueue is from when on it is looked at first whether something is to be queued at all.
	longQueue = 150_000
	maxScan   = 512 // words of an object of a type that is not known
	batch     = 256
	maxMissed = 64 // links that are followed once more
)

// step is how an object is reached from another.
type step uint8

const (
	stepRoot      step = iota // key is an index of graph.roots
	stepNamespace             // the dict of a module, class or instance
	stepAttribute             // key is the name, a str
	stepItem                  // key is that of a dict, 0 for others
	stepField                 // of a structure in C; key is its offset
	stepLocal                 // a variable of a generator or of a function that was made in another; key is the name, a str
	stepCell                  // what a variable is kept in that functions share
	stepDefaults
)

// node is an object that holds others, and how it was reached.
type node struct {
	addr, key uint64
	// place is the same for all that are reached in the same way, but for which item of a container they are.
	place  uint64
	typ    *typ
	parent int32
	depth  int32
	step   step
}

// rank is the order in which roots are gone from, each with all that it holds before the next.
type rank uint8

const (
	ofProgram rank = iota
	ofFrame
	ofLibrary
	ranks
)

// root is where a walk begins: a module, or a variable of a function that runs.
type root struct {
	name     string
	within   string // the function that a variable is of
	file     string
	line     int
	addr, id uint64
	rank     rank
}

// graph is what is reached from the roots.
type graph struct {
	memory
	at      offsets
	types   map[uint64]*typ
	buffer  []byte
	roots   []root
	nodes   []node
	index   map[uint64]int32
	leaves  [1 << 14]uint64 // objects that hold no others, seen lately
	partial bool            // not all was looked at
	slots   map[slotAt]string
	// until is when names are no longer looked for, in this thread's CPU time; 0 is never.
	until time.Duration
}

// slotAt is a slot of a class, by the class and the offset in its objects.
type slotAt struct{ typ, at uint64 }

func newGraph(m memory, at offsets) *graph {
	return &graph{memory: m, at: at, types: map[uint64]*typ{}, slots: map[slotAt]string{}}
}

// link is a reference that is to be followed.
type link struct {
	addr, key uint64
	parent    int32
	step      step
}

// walk goes from the roots to all that they hold, the nearest first, for so much CPU time of this thread. visit is called for each, may be nil.
func (g *graph) walk(ctx context.Context, limit time.Duration, visit func(i int32, o object)) error {
	g.nodes, g.index, g.partial = g.nodes[:0], make(map[uint64]int32, len(g.index)), false
	clear(g.leaves[:])
	until := used() + limit
	var now, following []link // in turns, by how far they are from where it began
	var later [ranks][]link
	add := func(l link) {
		if !place(l.addr) || g.leaves[l.addr>>4%uint64(len(g.leaves))] == l.addr {
			return
		}
		if _, seen := g.index[l.addr]; !seen {
			if len(following) >= maxQueue {
				g.partial = true
				return
			}
			if len(following) >= longQueue {
				if o, ok := g.object(l.addr); !ok || !g.counts(o) {
					return
				}
			}
			following = append(following, l)
		}
	}
	for i, r := range g.roots {
		later[r.rank] = append(later[r.rank], link{addr: r.addr, key: uint64(i), parent: -1})
	}
	follow := func(l link, b []byte) {
		if _, seen := g.index[l.addr]; seen {
			return
		}
		o, ok := g.objectOf(l.addr, b)
		// Each module is a root of its own.
		if !ok || !g.counts(o) || o.typ.class == module && l.step != stepRoot {
			g.leaves[l.addr>>4%uint64(len(g.leaves))] = l.addr
			return
		}
		n := int32(len(g.nodes))
		g.index[l.addr] = n
		g.nodes = append(g.nodes, g.nodeOf(l, o.typ))
		if visit != nil {
			visit(n, o)
		}
		g.references(o, l.step == stepNamespace, func(ref, key uint64, s step) { add(link{ref, key, n, s}) })
	}
	b := make([]byte, batch*headSize)
	addrs := make([]uint64, 0, batch)
	var spent, missed []link
	for next := 0; len(now) > 0 || len(following) > 0 || next < len(later); {
		switch {
		case len(now) > 0:
		case len(following) > 0:
			now, following, spent = following, spent[:0], following
		default:
			now = later[next]
			next++
			continue
		}
		if len(g.nodes) >= maxNodes || used() > until || ctx.Err() != nil {
			g.partial = true
			break
		}
		links := now[:min(len(now), batch)]
		now = now[len(links):]
		addrs = addrs[:0]
		for _, l := range links {
			addrs = append(addrs, l.addr-ahead)
		}
		seen := [batch]bool{}
		err := g.ReadEach(addrs, headSize, b, func(i int, b []byte) {
			seen[i] = true
			follow(links[i], b)
		})
		for i, l := range links {
			if _, found := g.index[l.addr]; !seen[i] && !found {
				if o, ok := g.object(l.addr); ok { // nothing is mapped before it, as before a large block of malloc
					follow(l, o.b)
				} else if l.parent >= 0 && len(missed) < maxMissed {
					missed = append(missed, l)
				}
			}
		}
		if err != nil {
			return err
		}
	}
	// What is added to may have been moved since it was known where it is.
	for _, l := range missed {
		of := g.nodes[l.parent]
		if o, ok := g.object(of.addr); ok && o.typ == of.typ && used() < until {
			g.references(o, of.step == stepNamespace, func(ref, key uint64, s step) {
				if key != l.key || s != l.step || s == stepItem && key == 0 {
					return
				}
				if o, ok := g.object(ref); ok && o.typ.class.piece() {
					follow(link{ref, key, l.parent, s}, o.b)
				}
			})
		}
	}
	return nil
}

// counts says whether an object is one that may hold others, or is large.
func (g *graph) counts(o object) bool {
	return o.typ.class != leaf && o.typ.class != code || g.size(o) >= large
}

func (g *graph) nodeOf(l link, t *typ) node {
	n := node{addr: l.addr, key: l.key, typ: t, parent: l.parent, step: l.step}
	const prime = 1099511628211 // FNV-1a's
	above := uint64(14695981039346656037)
	if l.parent >= 0 {
		above, n.depth = g.nodes[l.parent].place, g.nodes[l.parent].depth+1
	}
	key := l.key
	switch l.step {
	case stepItem:
		key = 0
	case stepRoot:
		key = g.roots[l.key].id
	}
	n.place = ((above^uint64(l.step))*prime ^ key) * prime
	return n
}

// references calls each with what an object holds. space says that it is a dict of attributes.
func (g *graph) references(o object, space bool, each func(ref, key uint64, s step)) {
	item := func(ref uint64) { each(ref, 0, stepItem) }
	known := uint64(0) // up to where its structure is known
	switch o.typ.class {
	case dict:
		s := stepItem
		if space {
			s = stepAttribute
		}
		g.entries(o, func(key, value uint64) {
			if s == stepItem {
				each(key, 0, stepItem)
			}
			each(value, key, s)
		})
		known = 48
	case list:
		g.pointers(o.word(24), o.length(), item)
		known = 40
	case tuple:
		g.pointers(o.addr+24, o.length(), item)
		return
	case set:
		g.elements(o, item)
		known = 200
	case deque:
		g.queued(o, item)
		known = o.typ.size
	case bytearray, array, leaf, code:
		return
	case ndarray:
		each(o.word(48), 48, stepField) // whose data it shows
		return
	case module:
		each(o.word(16), 0, stepNamespace)
		return
	case typeObject:
		each(o.typeNamespace(g), 0, stepNamespace)
		return
	case function:
		for _, f := range []struct {
			at uint64
			s  step
		}{{g.at.defaults, stepDefaults}, {g.at.keywordDefaults, stepDefaults}, {g.at.functionDict, stepNamespace}} {
			each(o.word(f.at), 0, f.s)
		}
		g.enclosed(o, each)
		return
	case generator:
		if g.at.generatorFrame != 0 {
			g.variables(o.addr+g.at.generatorFrame, each)
		}
	case frame:
		if g.at.generatorFrame == 0 {
			g.variables(o.addr, each)
			return
		}
		g.variables(o.word(24), each)
	}
	g.attributes(o, each)
	g.scan(o, known, each)
}

// typeNamespace is a class's dict; those of types in C are another interpreter's from 3.12 on.
func (o object) typeNamespace(g *graph) uint64 {
	b := make([]byte, 8)
	if _, err := g.ReadAt(b, int64(o.addr+264)); err != nil {
		return 0
	}
	return word(b, 0)
}

// attributes calls each with an instance's attributes, wherever the version keeps them.
func (g *graph) attributes(o object, each func(ref, key uint64, s step)) {
	t := o.typ
	switch {
	case t.flags&flagManagedDict == 0 || g.at.minor < 11:
		if at := t.dictoffset; at > 0 && at < headSize-ahead-8 {
			each(o.word(at), 0, stepNamespace)
		}
	case g.at.minor == 11:
		if values := word(o.b, ahead-32); values != 0 {
			g.shared(t, values, each)
		}
		each(word(o.b, ahead-24), 0, stepNamespace)
	case g.at.minor == 12:
		if v := word(o.b, ahead-24); v&1 != 0 {
			g.shared(t, v+1, each)
		} else {
			each(v, 0, stepNamespace)
		}
	default:
		v := word(o.b, ahead-24)
		if v == 0 && t.flags&flagInlineValues != 0 {
			g.shared(t, o.addr+t.size+g.at.values, each)
		}
		each(v, 0, stepNamespace)
	}
}

// shared calls each with attributes whose names are kept by the class.
func (g *graph) shared(t *typ, values uint64, each func(ref, key uint64, s step)) {
	b := make([]byte, 8)
	if _, err := g.ReadAt(b, int64(t.addr+g.at.cachedKeys)); err != nil {
		return
	}
	g.split(word(b, 0), values, func(key, value uint64) { each(value, key, stepAttribute) })
}

// scan calls each with what a structure in C, or one with slots, may point to.
func (g *graph) scan(o object, from uint64, each func(ref, key uint64, s step)) {
	n := o.typ.size
	from, n = max(from, 16), min(n, maxScan*8)
	var b []byte
	if n <= headSize-ahead {
		b = o.b[ahead : ahead+n]
	} else {
		b = append(b, g.words(o.addr, n/8)...)
	}
	s := stepField
	if o.typ.name == "cell" {
		s = stepCell
	}
	for at := from; at+8 <= uint64(len(b)); at += 8 {
		if at != o.typ.dictoffset {
			each(word(b, at), at, s)
		}
	}
}

// variables calls each with those of a function that runs.
func (g *graph) variables(frame uint64, each func(ref, key uint64, s step)) {
	b := make([]byte, 8)
	if _, err := g.ReadAt(b, int64(frame+g.at.code)); err != nil {
		return
	}
	names := g.names(word(b, 0))
	values := append([]byte(nil), g.words(frame+g.at.locals, uint64(len(names)))...)
	for i, name := range names {
		if i*8+8 <= len(values) {
			each(word(values, uint64(i)*8), name, stepLocal)
		}
	}
}

// enclosed calls each with the variables that a function shares with the one it was made in: the last of its code's.
func (g *graph) enclosed(o object, each func(ref, key uint64, s step)) {
	cells, ok := g.object(o.word(g.at.closure))
	if !ok || cells.typ.class != tuple || cells.length() > maxVariables {
		return
	}
	names := g.names(o.word(g.at.functionCode))
	n := int(cells.length())
	if n > len(names) {
		return
	}
	names = names[len(names)-n:]
	i := 0
	g.pointers(cells.addr+24, uint64(n), func(ref uint64) {
		each(ref, names[i], stepLocal)
		i++
	})
}

// late says that no more names are to be looked for.
func (g *graph) late() bool { return g.until > 0 && used() > g.until }

// used is what CPU time this thread has used.
func used() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// maxVariables bounds those of a function.
const maxVariables = 1024

// names are those of the variables of code.
func (g *graph) names(addr uint64) (all []uint64) {
	o, ok := g.object(addr)
	if !ok || o.typ.class != code {
		return nil
	}
	for _, at := range g.at.codeNames {
		if of, ok := g.object(o.word(at)); ok && of.typ.class == tuple && of.length() <= maxVariables {
			g.pointers(of.addr+24, of.length(), func(ref uint64) { all = append(all, ref) })
		}
	}
	return all
}
