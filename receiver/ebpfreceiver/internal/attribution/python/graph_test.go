//go:build linux

package python

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// made is memory that was made up, from an address on.
type made struct{ b []byte }

const madeAt = 0x100000

func (m made) ReadAt(b []byte, addr int64) (int, error) {
	if addr < madeAt || addr >= madeAt+int64(len(m.b)) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, m.b[addr-madeAt:])
	if n < len(b) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (m made) ReadEach(addrs []uint64, size int, b []byte, each func(i int, b []byte)) error {
	for i, a := range addrs {
		part := b[i*size : (i+1)*size]
		if _, err := m.ReadAt(part, int64(a)); err == nil {
			each(i, part)
		}
	}
	return nil
}

// builder lays objects out as CPython 3.11 does.
type builder struct {
	made
	types map[string]uint64
}

func (m *builder) put(at, offset, value uint64) {
	binary.LittleEndian.PutUint64(m.b[at-madeAt+offset:], value)
}

// alloc makes room, with something before and after it.
func (m *builder) alloc(n int) uint64 {
	at := madeAt + uint64(len(m.b)) + 64
	m.b = append(m.b, make([]byte, 64+(n+256)&^15)...)
	return at
}

func (m *builder) typ(name string, size int, flags uint64) uint64 {
	at, text := m.alloc(912), m.alloc(len(name)+1)
	copy(m.b[text-madeAt:], name)
	meta := m.types["type"]
	if meta == 0 {
		meta = at
	}
	m.put(at, 0, 1)
	m.put(at, 8, meta)
	m.put(at, 24, text)
	m.put(at, 32, uint64(size))
	m.put(at, 168, flags)
	m.types[name] = at
	return at
}

func (m *builder) object(typ string, size int, words ...uint64) uint64 {
	at := m.alloc(size)
	m.put(at, 0, 1)
	m.put(at, 8, m.types[typ])
	for i, w := range words {
		m.put(at, uint64(16+8*i), w)
	}
	return at
}

func (m *builder) str(s string) uint64 {
	at := m.object("str", 48+len(s)+1, uint64(len(s)), 0, 1<<2|1<<5|1<<6)
	copy(m.b[at-madeAt+48:], s)
	return at
}

func (m *builder) dict(pairs ...uint64) uint64 {
	n := uint64(len(pairs) / 2)
	k := m.alloc(32 + 64 + int(n)*24)
	m.b[k-madeAt+8], m.b[k-madeAt+9] = 6, 6
	m.put(k, 24, n)
	for i := range n {
		m.put(k, 32+64+i*24+8, pairs[i*2])
		m.put(k, 32+64+i*24+16, pairs[i*2+1])
	}
	return m.object("dict", 48, n, 0, k, 0)
}

func (m *builder) list(items ...uint64) uint64 {
	at := m.alloc(8 * len(items))
	for i, v := range items {
		m.put(at, uint64(8*i), v)
	}
	return m.object("list", 40, uint64(len(items)), at, uint64(len(items)))
}

// world has one of everything, and a cycle.
func world() (m *builder, main uint64) {
	m = &builder{types: map[string]uint64{}}
	m.typ("type", 912, flagType|flagGC)
	m.typ("str", 48, flagStr)
	m.typ("dict", 48, flagDict|flagGC)
	m.typ("list", 40, flagList|flagGC)
	m.typ("tuple", 24, flagTuple|flagGC)
	m.typ("set", 200, flagGC)
	m.typ("collections.deque", 216, flagGC)
	m.typ("module", 56, flagGC)
	m.typ("function", 136, flagGC)
	m.typ("coroutine", 152, flagGC)
	m.typ("code", 184, 0)
	m.typ("cell", 24, flagGC)
	m.typ("app.Thing", 48, flagGC)
	word := m.str("word")
	kept := m.list(word, word)
	m.put(kept, 16, 2)
	block := m.alloc(66 * 8)
	m.put(block, 8, kept)
	table := m.alloc(8 * 16)
	m.put(table, 0, word)
	names := m.object("tuple", 32, 1, m.str("variable"))
	source := m.object("code", 184)
	m.put(source, 96, names)
	m.put(source, 112, m.str("/app/app.py"))
	m.put(source, 128, m.str("make.<locals>.put"))
	cell := m.object("cell", 24, m.list(m.str("closed over")))
	function := m.object("function", 136)
	m.put(function, 48, source)
	m.put(function, 72, m.object("tuple", 32, 1, cell))
	m.put(function, 56, m.object("tuple", 32, 1, m.list()))
	waiting := m.object("coroutine", 240)
	m.put(waiting, 80+32, source)
	m.put(waiting, 80+72, m.list(m.str("waited for")))
	space := m.dict(
		m.str("KEPT"), kept,
		m.str("INDEX"), m.dict(m.str("key"), m.list()),
		m.str("SEEN"), m.object("set", 200, 1, 1, 7, table),
		m.str("QUEUE"), m.object("collections.deque", 216, 1, block, block, 0, 0),
		m.str("put"), function,
		m.str("waiting"), waiting,
		m.str("thing"), m.object("app.Thing", 48, m.dict(), kept),
	)
	m.put(kept, 24, m.list(kept)) // a cycle: its own items
	return m, m.object("module", 56, space)
}

func TestWalk(t *testing.T) {
	m, main := world()
	g := newGraph(m.made, offsets311)
	g.roots = []root{root{name: "app", addr: main}.identified()}
	require.NoError(t, g.walk(t.Context(), time.Minute, nil))
	assert.False(t, g.partial)
	var paths []string
	for i, n := range g.nodes {
		if _, ok := sized[n.typ.class]; ok {
			name, _ := g.path(int32(i), true)
			paths = append(paths, name)
		}
	}
	assert.ElementsMatch(t, []string{
		"app.__dict__", "app.KEPT", "app.INDEX", `app.INDEX["key"]`, "app.SEEN", "app.QUEUE", "app.put.__defaults__[…]",
		"variable in make.<locals>.put()", "variable in make.<locals>.put()", "app.thing.<dict>",
	}, paths)
}

// A block that was added after the deque was read is none of it: its places hold what was in that memory before.
func TestQueued(t *testing.T) {
	m, _ := world()
	first, second, added := m.alloc(66*8), m.alloc(66*8), m.alloc(66*8)
	for i := range uint64(64) {
		m.put(first, 8+i*8, madeAt+i*8)
		m.put(second, 8+i*8, madeAt+(64+i)*8)
		m.put(added, 8+i*8, madeAt+8192)
	}
	m.put(first, 65*8, second)
	m.put(second, 0, first)
	m.put(second, 65*8, added)
	at := m.object("collections.deque", 216, 64+3, first, second, 0, 2)
	g := newGraph(m.made, offsets311)
	deque, ok := g.object(at)
	require.True(t, ok)
	var got, want []uint64
	g.queued(deque, func(ref uint64) { got = append(got, ref) })
	for i := range uint64(64 + 3) {
		want = append(want, madeAt+i*8)
	}
	assert.Equal(t, want, got)
}

// What numpy and the module array hold outside of an object counts with it; a view of another array has none.
func TestSize(t *testing.T) {
	m, _ := world()
	m.typ("numpy.ndarray", 96, 0)
	m.typ("array.array", 64, 0)
	shape, strides := m.alloc(16), m.alloc(16)
	m.put(shape, 0, 1000)
	m.put(shape, 8, 50)
	m.put(strides, 0, 400)
	m.put(strides, 8, 8)
	owner := m.object("numpy.ndarray", 96, madeAt, 2, shape, strides, 0, 0, 5)
	view := m.object("numpy.ndarray", 96, madeAt, 2, shape, strides, owner, 0, 1)
	double := m.alloc(8)
	m.put(double, 0, 8<<32|'d')
	numbers := m.object("array.array", 64, 900, madeAt, 1000, double)
	g := newGraph(m.made, offsets311)
	size := func(at uint64) uint64 {
		o, ok := g.object(at)
		require.True(t, ok)
		return g.size(o)
	}
	assert.Equal(t, rounded(96)+rounded(400_000), size(owner))
	assert.Equal(t, rounded(96), size(view))
	assert.Equal(t, rounded(64)+rounded(8000), size(numbers))
	s := measure{g: g, seen: map[uint64]bool{}, until: used() + time.Second}
	bytes, _ := s.measure(view)
	assert.Equal(t, size(view)+size(owner), bytes, "the view keeps it")
}

// What a hostile program has in its memory neither crashes nor holds up.
func FuzzWalk(f *testing.F) {
	whole, main := world()
	f.Add([]byte{0, 0, 8, 0xff, 1, 0, 16, 0x7f}, uint8(11))
	f.Add([]byte(strings.Repeat("\x01\x40\x10\xff", 32)), uint8(8))
	f.Fuzz(func(t *testing.T, patches []byte, minor uint8) {
		m := made{append([]byte(nil), whole.b...)}
		for ; len(patches) >= 4; patches = patches[4:] {
			at := (int(patches[0])<<16 | int(patches[1])<<8 | int(patches[2])) % (len(m.b) - 8)
			if v := patches[3]; v%4 == 0 {
				// Somewhere in itself.
				binary.LittleEndian.PutUint64(m.b[at&^7:], madeAt+uint64(v)<<6)
			} else {
				m.b[at] = v
			}
		}
		at, ok := known[int(minor)]
		if !ok {
			at = offsets311
		}
		g := newGraph(m, at)
		g.roots = []root{root{name: "app", addr: main}.identified(), root{name: "torn", addr: madeAt + 64}.identified()}
		require.NoError(t, g.walk(t.Context(), time.Minute, nil))
		assert.LessOrEqual(t, len(g.nodes), len(m.b)/8)
		s := measure{g: g, seen: map[uint64]bool{}, until: used() + 50*time.Millisecond}
		for i, n := range g.nodes[:min(len(g.nodes), 64)] {
			_, _ = g.path(int32(i), true)
			if o, ok := g.object(n.addr); ok {
				_, _, _ = s.entry(o)
			}
		}
	})
}

// counted counts how often its memory is read.
type counted struct {
	made
	reads *int
}

func (c counted) ReadAt(b []byte, addr int64) (int, error) {
	*c.reads++
	return c.made.ReadAt(b, addr)
}

// Of a list of very many linked objects only what is told is read, a class's slots once, and nothing when the time is over.
func TestLongPath(t *testing.T) {
	m, main := world()
	m.typ("member_descriptor", 72, flagGC)
	def := m.alloc(24)
	m.put(def, 16, 24) // offset
	descriptor := m.object("member_descriptor", 72)
	m.put(descriptor, 40, def)
	var pairs []uint64
	for range 9 {
		pairs = append(pairs, m.str("other"), m.str("no slot"))
	}
	linked := m.typ("app.Node", 32, flagGC|flagHeapType)
	m.put(linked, 264, m.dict(append(pairs, m.str("next"), descriptor)...))
	var reads int
	g := newGraph(counted{m.made, &reads}, offsets311)
	g.roots = []root{root{name: "app", addr: main}.identified()}
	typ := g.typeOf(linked)
	require.NotNil(t, typ)
	g.nodes = append(g.nodes, node{addr: main, typ: typ, parent: -1, step: stepRoot})
	for i := range int32(50_000) {
		g.nodes = append(g.nodes, node{addr: madeAt, key: 24, typ: typ, parent: i, step: stepField})
	}
	reads = 0
	name, _ := g.path(50_000, true)
	assert.Equal(t, "app"+strings.Repeat(".next", 8)+"…"+strings.Repeat(".next", 8), name)
	assert.Less(t, reads, 200)

	g.until = 1
	name, _ = g.path(50_000, true)
	assert.Equal(t, "?", name)
}

// A path of very many steps is told by its ends.
func TestReversed(t *testing.T) {
	parts := make([]string, 1000)
	for i := range parts {
		parts[i] = ".next"
	}
	parts[0], parts[999] = ".last", ".first"
	text := reversed(len(parts), func(i int) string { return parts[i] })
	assert.Equal(t, ".first"+strings.Repeat(".next", 7)+"…"+strings.Repeat(".next", 7)+".last", text)
}
