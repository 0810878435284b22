//go:build linux

package python

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// memory is that of a process. Whatever is read from it may be torn, stale, or made up.
type memory interface {
	ReadAt(b []byte, addr int64) (int, error)
	ReadEach(addrs []uint64, size int, b []byte, each func(i int, b []byte)) error
}

func word(b []byte, at uint64) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// Bounds of what is believed.
const (
	maxName   = 256
	maxSize   = 1 << 20 // of an object, without what it points to
	maxTypes  = 20_000
	maxBases  = 32
	maxLength = 1 << 40
	maxPlace  = 1 << 47 // where a process's memory ends
)

// class says how an object's references are found.
type class uint8

const (
	leaf class = iota // holds no other objects
	other
	dict
	list
	tuple
	set
	deque
	bytearray
	module
	typeObject
	function
	generator
	frame
	code
	array
	ndarray
)

// flags of types (object.h)
const (
	flagInlineValues = 1 << 2
	flagManagedDict  = 1 << 4
	flagHeapType     = 1 << 9
	flagGC           = 1 << 14
	flagInt          = 1 << 24
	flagList         = 1 << 25
	flagTuple        = 1 << 26
	flagBytes        = 1 << 27
	flagStr          = 1 << 28
	flagDict         = 1 << 29
	flagType         = 1 << 31
)

// typ is a type of objects.
type typ struct {
	addr, base                              uint64
	name                                    string // as tp_name is: with its module only if it is none of Python's own making
	full                                    string // with its module; empty until it is asked for
	flags, size, item, dictoffset, namespce uint64
	class                                   class
}

// object is what an object begins with.
type object struct {
	addr uint64
	typ  *typ
	b    []byte // from ahead before it on
}

// How much of an object is read at first, and of what stands before it.
const (
	ahead    = 32
	headSize = ahead + 192
)

func (o object) word(at uint64) uint64 { return word(o.b, ahead+at) }

// length is what ob_size is: 0 if it cannot be true.
func (o object) length() uint64 {
	n := int64(o.word(16))
	if n < 0 {
		n = -n // of an int before 3.12
	}
	if n < 0 || n > maxLength {
		return 0
	}
	return uint64(n)
}

// shared is by how many it is referred to, 0 if it is one of those that live forever.
func (o object) shared() uint64 {
	n := o.word(0)
	if n == 0 || n >= 1<<29 {
		return 0
	}
	return n
}

// classes are known by the names of types that are part of Python.
var classes = map[string]class{
	"set": set, "frozenset": set, "collections.deque": deque, "bytearray": bytearray, "module": module, "function": function, "code": code,
	"generator": generator, "coroutine": generator, "async_generator": generator, "frame": frame, "array.array": array, "numpy.ndarray": ndarray,
	// What they refer to is not kept by them.
	"weakref": leaf, "weakref.ReferenceType": leaf, "weakproxy": leaf, "weakref.ProxyType": leaf, "weakcallableproxy": leaf, "weakref.CallableProxyType": leaf,
	"method_descriptor": leaf, "wrapper_descriptor": leaf, "getset_descriptor": leaf, "member_descriptor": leaf,
}

// typeOf tells the type at an address; nil when there is none.
func (g *graph) typeOf(addr uint64) *typ {
	if t, ok := g.types[addr]; ok {
		return t
	}
	if len(g.types) >= maxTypes {
		return nil
	}
	t := g.readType(addr)
	g.types[addr] = t
	return t
}

func (g *graph) readType(addr uint64) *typ {
	if !place(addr) {
		return nil
	}
	const size = 400
	b := make([]byte, size)
	if _, err := g.ReadAt(b, int64(addr)); err != nil {
		return nil
	}
	t := &typ{
		addr: addr, base: word(b, 256), flags: word(b, 168), size: word(b, 32), item: word(b, 40), dictoffset: word(b, 288), namespce: word(b, 264),
	}
	// Its own type must be one of types, too, and its sizes those of objects.
	meta := make([]byte, 176)
	if _, err := g.ReadAt(meta, int64(word(b, 8))); err != nil || word(meta, 168)&flagType == 0 {
		return nil
	}
	t.name = g.text(word(b, 24))
	if t.size < 16 || t.size > maxSize || t.item > 1<<12 || t.name == "" {
		return nil
	}
	t.class = g.classOf(t)
	return t
}

func (g *graph) classOf(t *typ) class {
	switch {
	case t.flags&flagDict != 0:
		return dict
	case t.flags&flagList != 0:
		return list
	case t.flags&flagTuple != 0:
		return tuple
	case t.flags&flagType != 0:
		return typeObject
	}
	of := t
	for range maxBases {
		if of.flags&flagHeapType == 0 || strings.Contains(of.name, ".") {
			if c, ok := classes[of.name]; ok {
				return c
			}
		}
		if of.base == 0 || of.base == of.addr {
			break
		}
		b := make([]byte, 264)
		if _, err := g.ReadAt(b, int64(of.base)); err != nil {
			break
		}
		of = &typ{addr: of.base, base: word(b, 256), flags: word(b, 168), name: g.text(word(b, 24))}
	}
	if t.flags&flagGC == 0 {
		return leaf
	}
	return other
}

// text reads a C string.
func (g *graph) text(addr uint64) string {
	if addr == 0 || addr >= maxPlace {
		return ""
	}
	b := make([]byte, maxName)
	n, _ := g.ReadAt(b, int64(addr))
	for i, c := range b[:n] {
		if c == 0 {
			return strings.ToValidUTF8(string(b[:i]), "?")
		}
	}
	return ""
}

// str reads a str; false when it is none, or a very long one.
func (g *graph) str(addr uint64) (string, bool) {
	o, ok := g.object(addr)
	if !ok || o.typ.flags&flagStr == 0 {
		return "", false
	}
	n, state := o.word(16), o.word(32)
	kind, compact, ascii := state>>2&7, state>>5&1, state>>6&1
	if compact == 0 || n > maxName || kind != 1 && kind != 2 && kind != 4 {
		return "", false
	}
	at := g.at.compact
	if ascii == 1 {
		at = g.at.ascii
	}
	b := make([]byte, n*kind)
	if _, err := g.ReadAt(b, int64(addr+at)); err != nil {
		return "", false
	}
	var out []rune
	for i := uint64(0); i < n; i++ {
		switch kind {
		case 1:
			out = append(out, rune(b[i]))
		case 2:
			out = append(out, utf16.Decode([]uint16{binary.LittleEndian.Uint16(b[2*i:])})...)
		case 4:
			r := rune(binary.LittleEndian.Uint32(b[4*i:]) & math.MaxInt32)
			if !utf8.ValidRune(r) {
				r = utf8.RuneError
			}
			out = append(out, r)
		}
	}
	for i, r := range out {
		if unicode.IsControl(r) {
			out[i] = '?'
		}
	}
	return string(out), true
}

// object reads what is at an address.
func (g *graph) object(addr uint64) (object, bool) {
	if !place(addr) {
		return object{}, false
	}
	b := make([]byte, headSize)
	if _, err := g.ReadAt(b, int64(addr-ahead)); err != nil {
		// It is the first or the last of a mapping.
		clear(b)
		if n, _ := g.ReadAt(b[ahead:], int64(addr)); n < 16 {
			return object{}, false
		}
	}
	return g.objectOf(addr, b)
}

func (g *graph) objectOf(addr uint64, b []byte) (object, bool) {
	o := object{addr: addr, b: b}
	if refs := o.word(0); refs == 0 || refs > 1<<40 && refs&math.MaxUint32 == 0 {
		return o, false
	}
	o.typ = g.typeOf(o.word(8))
	return o, o.typ != nil
}

// place says whether an object may be at an address.
func place(addr uint64) bool { return addr > 1<<12 && addr < maxPlace && addr%8 == 0 }

// fullName is a type's name with its module.
func (g *graph) fullName(t *typ) string {
	if t.full != "" {
		return t.full
	}
	t.full = t.name
	if t.flags&flagHeapType == 0 {
		return t.full
	}
	b := make([]byte, 8)
	if _, err := g.ReadAt(b, int64(t.addr+g.at.qualname)); err == nil {
		if name, ok := g.str(word(b, 0)); ok {
			t.full = name
		}
	}
	if space, ok := g.object(t.namespce); ok && space.typ.class == dict {
		if of, ok := g.str(g.item(space, "__module__")); ok && of != "builtins" {
			t.full = of + "." + t.full
		}
	}
	return t.full
}
