// Package unwind follows the calls on a copy of a stack by what compilers write down for exceptions (.eh_frame): C, C++ and
// Rust keep no frame pointers, mostly. What it reads is anybody's, and bounded.
package unwind

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sort"
)

var (
	errTable   = errors.New("malformed unwind table")
	errNoFrame = errors.New("no unwind table for this address")
)

// Bounds of what is believed.
const (
	maxEntry       = 1 << 16 // bytes of an entry
	maxFunctions   = 4 << 20
	maxRemembered  = 16
	maxInstruction = 1 << 14
	maxTable       = 16 << 20 // bytes of a table without an index
)

// Table is the .eh_frame section with the index that linkers make of it.
type Table struct {
	index, frames     io.ReaderAt
	indexAt, framesAt uint64 // where they are loaded
	framesSize        uint64
	n                 int
	scanned           []function // where there is no index
	regs              registers
	rows              Rows
}

// New opens a table; index is .eh_frame_hdr, frames .eh_frame. What it is asked for is remembered among rows.
func New(index io.ReaderAt, indexAt uint64, frames io.ReaderAt, framesAt, framesSize uint64, arm64 bool, rows Rows) (*Table, error) {
	var h [12]byte
	if _, err := index.ReadAt(h[:], 0); err != nil {
		return nil, errTable
	}
	// Version 1, pointers relative to here of 4 bytes, a count of 4 bytes, and pairs of 4 bytes relative to the index.
	if h[0] != 1 || h[1]&0x0f != 0x0b || h[2] != 0x03 || h[3] != 0x3b {
		return nil, errTable
	}
	n := binary.LittleEndian.Uint32(h[8:])
	if n == 0 || n > maxFunctions {
		return nil, errTable
	}
	t := &Table{index: index, indexAt: indexAt, frames: frames, framesAt: framesAt, framesSize: framesSize, n: int(n), regs: amd64, rows: rows}
	if arm64 {
		t.regs = aarch64
	}
	return t, nil
}

// function says where the entry of one is.
type function struct{ start, frame uint64 }

const (
	// maxScanned bounds of how many functions a table without an index is read.
	maxScanned = 100_000
	// ScanBytes is what these take at most.
	ScanBytes = 2 * 16 * maxScanned
)

// Scan opens a table without an index, as static programs have it.
func Scan(frames io.ReaderAt, framesAt, framesSize uint64, arm64 bool, rows Rows) (*Table, error) {
	t := &Table{frames: frames, framesAt: framesAt, framesSize: framesSize, regs: amd64, rows: rows}
	if arm64 {
		t.regs = aarch64
	}
	r := bufio.NewReaderSize(io.NewSectionReader(frames, 0, int64(min(framesSize, maxTable))), 1<<16)
	for at := framesAt; len(t.scanned) < maxScanned; {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			break
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n < 4 || n > maxEntry {
			break // the end, or malformed
		}
		if binary.LittleEndian.Uint32(head[4:]) != 0 {
			if e, err := t.entry(at); err == nil {
				t.scanned = append(t.scanned, function{e.start, at})
			}
		}
		if _, err := r.Discard(int(n) - 4); err != nil {
			break
		}
		at += 4 + uint64(n)
	}
	if len(t.scanned) == 0 {
		return nil, errTable
	}
	slices.SortFunc(t.scanned, func(a, b function) int { return cmp.Compare(a.start, b.start) })
	t.n = len(t.scanned)
	return t, nil
}

// find returns the entry of the function that an address is in.
func (t *Table) find(pc uint64) (entry, error) {
	var b [8]byte
	var err error
	at := func(i int) (start, frame uint64) {
		if t.scanned != nil {
			return t.scanned[i].start, t.scanned[i].frame
		}
		if _, e := t.index.ReadAt(b[:], 12+int64(i)*8); e != nil {
			err = e
		}
		return t.indexAt + uint64(int64(int32(binary.LittleEndian.Uint32(b[:])))), t.indexAt + uint64(int64(int32(binary.LittleEndian.Uint32(b[4:]))))
	}
	i := sort.Search(t.n, func(i int) bool { start, _ := at(i); return start > pc })
	if err != nil || i == 0 {
		return entry{}, errNoFrame
	}
	_, frame := at(i - 1)
	e, err := t.entry(frame)
	if err != nil {
		return e, err
	}
	if pc < e.start || pc-e.start >= e.size {
		return e, errNoFrame
	}
	return e, nil
}

// entry is what is written down for one function (FDE), with what it shares with others (CIE).
type entry struct {
	start, size         uint64
	codeAlign           uint64
	dataAlign           int64
	result              uint64 // register of the return address
	common, instruction []byte
	signal              bool
}

// record reads a record of .eh_frame at an address: what follows its length.
func (t *Table) record(at uint64) ([]byte, error) {
	if at < t.framesAt || at-t.framesAt+4 > t.framesSize {
		return nil, errTable
	}
	off := int64(at - t.framesAt)
	var b [4]byte
	if _, err := t.frames.ReadAt(b[:], off); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(b[:])
	if n < 4 || n > maxEntry {
		return nil, errTable
	}
	r := make([]byte, n)
	if _, err := t.frames.ReadAt(r, off+4); err != nil {
		return nil, err
	}
	return r, nil
}

func (t *Table) entry(at uint64) (e entry, err error) {
	b, err := t.record(at)
	if err != nil {
		return e, err
	}
	back := uint64(binary.LittleEndian.Uint32(b))
	if back == 0 || back > at+4-t.framesAt {
		return e, errTable
	}
	augmented, encoding, err := t.common(&e, at+4-back)
	if err != nil {
		return e, err
	}
	r := &reader{b: b[4:]}
	where := at + 8
	e.start = r.pointer(encoding, where)
	e.size = r.pointer(encoding&0x0f, 0)
	if augmented {
		r.skip(r.uleb())
	}
	e.instruction = r.b
	return e, r.err
}

// common reads what functions share.
func (t *Table) common(e *entry, at uint64) (augmented bool, encoding byte, err error) {
	b, err := t.record(at)
	if err != nil {
		return false, 0, err
	}
	if binary.LittleEndian.Uint32(b) != 0 {
		return false, 0, errTable
	}
	r := &reader{b: b[4:]}
	version := r.byte()
	if version != 1 && version != 3 {
		return false, 0, errTable
	}
	var augmentation []byte
	for c := r.byte(); c != 0 && len(augmentation) < 8; c = r.byte() {
		augmentation = append(augmentation, c)
	}
	e.codeAlign, e.dataAlign = r.uleb(), r.sleb()
	if version == 1 {
		e.result = uint64(r.byte())
	} else {
		e.result = r.uleb()
	}
	for i, c := range augmentation {
		switch {
		case i == 0 && c == 'z':
			augmented = true
			r.uleb()
		case c == 'L':
			r.byte()
		case c == 'P':
			r.pointer(r.byte(), 0)
		case c == 'R':
			encoding = r.byte()
		case c == 'S':
			e.signal = true
		case c == 'B': // return addresses are signed on arm64
		default:
			return false, 0, errTable
		}
	}
	e.common = r.b
	return augmented, encoding, r.err
}

// reader reads the encodings of DWARF; after an error it reads zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.err, r.b = errTable, nil
		return make([]byte, min(n, 8))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) skip(n uint64) {
	if n > uint64(len(r.b)) {
		r.err, n = errTable, uint64(len(r.b))
	}
	r.b = r.b[n:]
}

func (r *reader) byte() byte { return r.take(1)[0] }

func (r *reader) uleb() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.err = errTable
	return 0
}

func (r *reader) sleb() (v int64) {
	for shift := 0; shift < 64; {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if shift += 7; b < 0x80 {
			if b&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
	r.err = errTable
	return 0
}

// pointer reads an encoded pointer that stands at an address.
func (r *reader) pointer(encoding byte, at uint64) uint64 {
	var v uint64
	switch encoding & 0x0f {
	case 0x00, 0x04, 0x0c:
		v = binary.LittleEndian.Uint64(r.take(8))
	case 0x03:
		v = uint64(binary.LittleEndian.Uint32(r.take(4)))
	case 0x0b:
		v = uint64(int64(int32(binary.LittleEndian.Uint32(r.take(4)))))
	default:
		r.err = errTable
		return 0
	}
	if encoding&0x70 == 0x10 {
		v += at
	}
	return v
}
