package symbols

import "encoding/binary"

// maxFiles is how many folders, and how many files, a line table may have.
const maxFiles = 1 << 16

// believable says whether the header of a line table has as many folders and files as it claims: debug/dwarf makes room for what version 5
// claims before it reads them (DWARF 5, 6.2.4).
func believable(lines []byte, at int64) bool {
	if at < 0 || at > int64(len(lines))-32 {
		return false
	}
	b := lines[at:]
	if binary.LittleEndian.Uint32(b) >= 0xfffffff0 {
		return false // 64-bit DWARF: nobody's compiler writes it by itself
	}
	if binary.LittleEndian.Uint16(b[4:]) < 5 {
		return true
	}
	// Length, version, sizes of an address and a segment, header's length, five numbers, and the lengths of opcodes.
	opcodes := int(b[17])
	r := &lineHeader{b: b[18:]}
	r.skip(uint64(max(opcodes-1, 0)))
	for range 2 { // folders, then files
		forms := r.forms()
		n := r.uleb()
		if r.bad || n > maxFiles || n > 0 && len(forms) == 0 {
			return false
		}
		for range n {
			for _, form := range forms {
				r.value(form)
			}
		}
	}
	return !r.bad
}

// lineHeader reads the parts of a header.
type lineHeader struct {
	b   []byte
	bad bool
}

func (r *lineHeader) skip(n uint64) {
	if n > uint64(len(r.b)) {
		r.bad, n = true, uint64(len(r.b))
	}
	r.b = r.b[n:]
}

func (r *lineHeader) byte() (b byte) {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	b, r.b = r.b[0], r.b[1:]
	return b
}

func (r *lineHeader) uleb() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// forms reads how an entry is written: pairs of what it is, and its form.
func (r *lineHeader) forms() (all []uint64) {
	for range r.byte() {
		r.uleb()
		all = append(all, r.uleb())
	}
	return all
}

// value skips a value of a form (7.5.6).
func (r *lineHeader) value(form uint64) {
	switch form {
	case 0x0b: // data1
		r.skip(1)
	case 0x05: // data2
		r.skip(2)
	case 0x06, 0x0e, 0x1f: // data4, strp, line_strp
		r.skip(4)
	case 0x07: // data8
		r.skip(8)
	case 0x1e: // data16
		r.skip(16)
	case 0x0f: // udata
		r.uleb()
	case 0x09: // block
		r.skip(r.uleb())
	case 0x08: // string
		for r.byte() != 0 && !r.bad {
		}
	default:
		r.bad = true
	}
}
