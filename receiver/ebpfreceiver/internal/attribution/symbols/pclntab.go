package symbols

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

// Magic numbers of Go's function table (internal/abi: PCLnTabMagic).
const (
	magic118 = 0xfffffff0
	magic120 = 0xfffffff1
)

// Bounds of what is believed of a binary, which may be anybody's.
const (
	maxFunctions = 4 << 20
	maxName      = 4096
	maxInlined   = 64
	maxSteps     = 1 << 16 // of a table of values by program counter
)

var errTable = errors.New("not a function table of Go 1.18 or later")

// GoTable reads the function table that every Go program carries, stripped or not (runtime/symtab.go: pcHeader, _func).
// Nothing of it is kept in memory: a table may have tens of megabytes, and few of its functions matter.
type GoTable struct {
	r    io.ReaderAt
	size int64
	// text is what addresses in the table are relative to.
	text              uint64
	old               bool // 1.18 and 1.19
	minLC             uint64
	nfunc             int
	names, units      int64
	files, pcs, funcs int64
	// inline reads the trees of inlined calls, which lie outside the table; nil where it is not known where.
	inline io.ReaderAt
}

// NewGoTable opens a table of size bytes. text is the address where the program's code begins, and may be 0 before 1.26, whose
// tables do not tell it.
func NewGoTable(r io.ReaderAt, size int64, text uint64) (*GoTable, error) {
	var h [8 + 8*8]byte
	if _, err := r.ReadAt(h[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %w", errTable, err)
	}
	t := &GoTable{r: r, size: size, minLC: uint64(h[6])}
	magic := binary.LittleEndian.Uint32(h[:])
	if magic != magic118 && magic != magic120 || h[4] != 0 || h[5] != 0 || h[7] != 8 || t.minLC != 1 && t.minLC != 4 {
		return nil, errTable
	}
	t.old = magic == magic118
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(h[8+8*i:]) }
	if word(0) > maxFunctions {
		return nil, fmt.Errorf("%w: %d functions", errTable, word(0))
	}
	t.nfunc = int(word(0))
	if t.text = word(2); text != 0 {
		t.text = text
	}
	for i, at := range []*int64{&t.names, &t.units, &t.files, &t.pcs, &t.funcs} {
		if *at = int64(word(3 + i)); *at < 0 || *at > size {
			return nil, fmt.Errorf("%w: a part begins outside", errTable)
		}
	}
	if int64(t.nfunc)*8+4 > size-t.funcs {
		return nil, fmt.Errorf("%w: %d functions do not fit", errTable, t.nfunc)
	}
	return t, nil
}

// Text is the address of the program's code.
func (t *GoTable) Text() uint64 { return t.text }

// WithInline says where the trees of inlined calls are (moduledata.gofunc).
func (t *GoTable) WithInline(r io.ReaderAt) { t.inline = r }

// function is a function of the table (runtime2.go: _func).
type function struct {
	at                  int64 // where it stands
	entry, end          uint64
	name                int32
	file, line, npcdata uint32
	unit                uint32
	nfuncdata           uint8
	header              int64 // bytes before its lists
}

func (t *GoTable) read(b []byte, at int64) error {
	if at < 0 || at > t.size-int64(len(b)) {
		return io.ErrUnexpectedEOF
	}
	_, err := t.r.ReadAt(b, at)
	return err
}

// entry returns the offsets of the function number i: of its code, and of its description.
func (t *GoTable) entry(i int) (code, at uint32, err error) {
	var b [8]byte
	if i == t.nfunc {
		err = t.read(b[:4], t.funcs+int64(i)*8)
	} else {
		err = t.read(b[:], t.funcs+int64(i)*8)
	}
	return binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:]), err
}

func (t *GoTable) function(i int) (f function, err error) {
	code, at, err := t.entry(i)
	if err != nil {
		return f, err
	}
	end, _, err := t.entry(i + 1)
	if err != nil {
		return f, err
	}
	f.at, f.entry, f.end, f.header = t.funcs+int64(at), t.text+uint64(code), t.text+uint64(end), 44
	if t.old {
		f.header = 40
	}
	b := make([]byte, f.header)
	if err := t.read(b, f.at); err != nil {
		return f, err
	}
	f.name = int32(binary.LittleEndian.Uint32(b[4:]))
	f.file, f.line = binary.LittleEndian.Uint32(b[20:]), binary.LittleEndian.Uint32(b[24:])
	f.npcdata, f.unit = binary.LittleEndian.Uint32(b[28:]), binary.LittleEndian.Uint32(b[32:])
	f.nfuncdata = b[f.header-1]
	return f, nil
}

// find returns the function whose code an address is in.
func (t *GoTable) find(pc uint64) (f function, err error) {
	if pc < t.text || pc-t.text > 1<<32-1 {
		return f, errNoFunction
	}
	off := uint32(pc - t.text)
	i := sort.Search(t.nfunc, func(i int) bool {
		code, _, e := t.entry(i)
		err = errors.Join(err, e)
		return code > off
	})
	if err != nil {
		return f, err
	}
	if i == 0 {
		return f, errNoFunction
	}
	if f, err = t.function(i - 1); err == nil && pc >= f.end {
		err = errNoFunction
	}
	return f, err
}

// Bounds returns where the function begins and ends that an address is in.
func (t *GoTable) Bounds(pc uint64) (begin, end uint64, err error) {
	f, err := t.find(pc)
	return f.entry, f.end, err
}

var errNoFunction = errors.New("no function at this address")

func (t *GoTable) string(at int64) (string, error) {
	b := make([]byte, 128)
	for {
		b = b[:min(int64(len(b)), max(t.size-at, 0))]
		if err := t.read(b, at); err != nil {
			return "", err
		}
		if end := bytes.IndexByte(b, 0); end >= 0 {
			return string(bytes.ToValidUTF8(b[:end], []byte("?"))), nil
		}
		if len(b) >= maxName || int64(len(b)) >= t.size-at {
			return "", errTable
		}
		b = make([]byte, len(b)*2)
	}
}

// value looks up what a table says about an address: pairs of differences, of the value and of the address.
func (t *GoTable) value(off uint32, entry, pc uint64) (int32, error) {
	if off == 0 {
		return -1, nil
	}
	r := &varints{t: t, at: t.pcs + int64(off)}
	value, at := int32(-1), entry
	for i := range maxSteps {
		d, err := r.next()
		if err != nil {
			return -1, err
		}
		if d == 0 && i > 0 {
			return -1, nil
		}
		step, err := r.next()
		if err != nil {
			return -1, err
		}
		value += int32(d>>1) ^ -int32(d&1)
		at += uint64(step) * t.minLC
		if pc < at {
			return value, nil
		}
	}
	return -1, errTable
}

type varints struct {
	t   *GoTable
	at  int64
	buf []byte
}

func (r *varints) next() (uint32, error) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		if len(r.buf) == 0 {
			r.buf = make([]byte, min(256, max(r.t.size-r.at, 1)))
			if err := r.t.read(r.buf, r.at); err != nil {
				return 0, err
			}
			r.at += int64(len(r.buf))
		}
		b := r.buf[0]
		r.buf = r.buf[1:]
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errTable
}

func (t *GoTable) position(f function, pc uint64) (file string, line int) {
	n, err := t.value(f.line, f.entry, pc)
	if err != nil || n < 0 {
		return "", 0
	}
	no, err := t.value(f.file, f.entry, pc)
	if err != nil || no < 0 {
		return "", 0
	}
	var b [4]byte
	if err := t.read(b[:], t.units+(int64(f.unit)+int64(no))*4); err != nil {
		return "", 0
	}
	if file, err = t.string(t.files + int64(binary.LittleEndian.Uint32(b[:]))); err != nil {
		return "", 0
	}
	return file, int(n)
}

// Lookup tells the functions that an address is in: the innermost first, the one whose code it is last.
func (t *GoTable) Lookup(pc uint64) ([]Frame, error) {
	f, err := t.find(pc)
	if err != nil {
		return nil, err
	}
	var all []Frame
	for range maxInlined {
		call, ok := t.inlined(f, pc)
		if !ok {
			break
		}
		name, err := t.string(t.names + int64(call.name))
		if err != nil {
			break
		}
		frame := Frame{Function: name, Inlined: true}
		frame.File, frame.Line = t.position(f, pc)
		all = append(all, frame)
		pc = f.entry + uint64(call.parent)
		if pc >= f.end {
			break
		}
	}
	name, err := t.string(t.names + int64(f.name))
	if err != nil {
		return nil, err
	}
	frame := Frame{Function: name}
	frame.File, frame.Line = t.position(f, pc)
	return append(all, frame), nil
}

type call struct{ name, parent uint32 }

// Numbers of internal/abi/symtab.go.
const (
	pcdataInlTreeIndex = 2
	funcdataInlTree    = 3
)

// inlined returns the innermost call that was inlined at an address.
func (t *GoTable) inlined(f function, pc uint64) (c call, ok bool) {
	if t.inline == nil || f.npcdata <= pcdataInlTreeIndex || f.npcdata > 64 || f.nfuncdata <= funcdataInlTree {
		return c, false
	}
	var b [4]byte
	if err := t.read(b[:], f.at+f.header+4*pcdataInlTreeIndex); err != nil {
		return c, false
	}
	index, err := t.value(binary.LittleEndian.Uint32(b[:]), f.entry, pc)
	if err != nil || index < 0 {
		return c, false
	}
	if err := t.read(b[:], f.at+f.header+4*int64(f.npcdata)+4*funcdataInlTree); err != nil {
		return c, false
	}
	tree := binary.LittleEndian.Uint32(b[:])
	if tree == 1<<32-1 {
		return c, false
	}
	// symtabinl.go: inlinedCall; until 1.19 symtab.go.
	var e [20]byte
	size, name, parent := int64(16), 4, 8
	if t.old {
		size, name, parent = 20, 12, 16
	}
	if _, err := t.inline.ReadAt(e[:size], int64(tree)+int64(index)*size); err != nil {
		return c, false
	}
	return call{binary.LittleEndian.Uint32(e[name:]), binary.LittleEndian.Uint32(e[parent:])}, true
}
