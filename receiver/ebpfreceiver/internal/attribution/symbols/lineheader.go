package symbols

import (
	"bytes"
	"encoding/binary"
	"slices"
)

const (
	// maxFiles is how many folders, and how many files, a line table may have.
	maxFiles = 1 << 16
	// maxPaths is how many bytes the paths of a line table may have, each joined with its folder's.
	maxPaths = 16 << 20
)

// believable says whether the header of a line table has as many folders and files as it claims, and how much room their paths take:
// debug/dwarf makes room for what version 5 claims before it reads them, and joins the path of each with a folder's
// (DWARF 5, 6.2.4; DWARF 4, 6.2.4). folder is the unit's own.
func (d *debugInfo) believable(at int64, folder string) bool {
	lines := d.lines
	if at < 0 || at > int64(len(lines))-32 {
		return false
	}
	b := lines[at:]
	size := binary.LittleEndian.Uint32(b)
	if size >= 0xfffffff0 || int64(size) > int64(len(b))-4 {
		return false // 64-bit DWARF: nobody's compiler writes it by itself
	}
	h := &lineHeader{cursor: cursor{b: b[:4+size]}, texts: map[uint64][]byte{formStrp: d.str, formLineStrp: d.lineStr}, longest: len(folder)}
	h.skip(4)
	version := binary.LittleEndian.Uint16(b[4:])
	h.skip(2)
	if version >= 5 {
		h.skip(2) // the sizes of an address and of a segment
	}
	program := h.word()
	after := len(h.b)
	h.skip(1) // the least length of an instruction
	if version >= 4 {
		h.skip(1) // operations an instruction
	}
	h.skip(3) // what a line begins as, the base and the range of lines
	opcodes := h.byte()
	lengths := slices.Clone(h.take(uint64(max(opcodes, 1) - 1)))
	if version >= 5 {
		h.tables()
	} else {
		h.lists(folder)
	}
	if h.bad || h.paths > maxPaths || uint64(program) > uint64(after) {
		return false
	}
	return !definesFiles(b[4+int(size)-after+int(program):4+size], opcodes, lengths)
}

// forms of values (7.5.6) that lie elsewhere.
const (
	formStrp     = 0x0e
	formLineStrp = 0x1f
)

// lineHeader reads what a header says of folders and files.
type lineHeader struct {
	cursor
	texts   map[uint64][]byte // by the form that points there
	longest int               // of the folders' paths
	paths   int               // bytes of all
}

// tables reads them as version 5 has them: how each is written, then how many.
func (h *lineHeader) tables() {
	for folders := range 2 {
		forms := h.forms()
		n := h.uleb()
		if h.bad || n > maxFiles || n > 0 && len(forms) == 0 {
			h.bad = true
			return
		}
		joined := 0
		if folders == 1 {
			joined = h.longest
		}
		for range n {
			length := 0
			for _, form := range forms {
				length += h.value(form)
			}
			if folders == 0 {
				h.longest = max(h.longest, length)
			}
			if h.paths += joined + length; h.bad || h.paths > maxPaths {
				return
			}
		}
	}
}

// lists reads them as versions before 5 have them: texts, of which an empty one is the end.
func (h *lineHeader) lists(folder string) {
	for folders := range 2 {
		joined := len(folder)
		if folders == 1 {
			joined = h.longest
		}
		for n := 0; ; n++ {
			length := h.text()
			if length == 0 || h.bad {
				break
			}
			if folders == 0 {
				h.longest = max(h.longest, len(folder)+1+length)
			} else {
				h.uleb() // folder
				h.uleb() // time
				h.uleb() // size
			}
			if h.paths += joined + length; h.paths > maxPaths || n == maxFiles {
				h.bad = true
				return
			}
		}
	}
}

// forms reads how an entry is written: pairs of what it is, and its form.
func (h *lineHeader) forms() (all []uint64) {
	for range h.byte() {
		h.uleb()
		all = append(all, h.uleb())
	}
	return all
}

// value skips a value of a form (7.5.6), and returns how long it is as a text.
func (h *lineHeader) value(form uint64) int {
	switch form {
	case 0x0b: // data1
		h.skip(1)
	case 0x05: // data2
		h.skip(2)
	case 0x06: // data4
		h.skip(4)
	case 0x07: // data8
		h.skip(8)
	case 0x1e: // data16
		h.skip(16)
	case 0x0f: // udata
		h.uleb()
	case 0x09: // block
		h.skip(h.uleb())
	case 0x08: // string
		return h.text()
	case formStrp, formLineStrp:
		texts, at := h.texts[form], uint64(h.word())
		if at >= uint64(len(texts)) {
			h.bad = true
			return 0
		}
		end := bytes.IndexByte(texts[at:min(at+maxName, uint64(len(texts)))], 0)
		if end < 0 {
			h.bad = true
		}
		return end
	default:
		h.bad = true
	}
	return 0
}

// definesFiles says whether the program of a line table adds files to those of its header (DW_LNE_define_file), which no compiler writes
// and which would be as many as the program has room for.
func definesFiles(program []byte, opcodes byte, lengths []byte) bool {
	r := &cursor{b: program}
	for len(r.b) > 0 && !r.bad {
		switch op := r.byte(); {
		case op >= opcodes:
		case op == 0:
			if rest := r.take(r.uleb()); len(rest) > 0 && rest[0] == 3 {
				return true
			}
		case op == 5: // set_column, whatever the header says
			r.uleb()
		case op == 9: // fixed_advance_pc
			r.skip(2)
		default:
			for range lengths[op-1] {
				r.uleb()
			}
		}
	}
	return false
}

// cursor reads the parts of what is anybody's.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n uint64) (b []byte) {
	if n > uint64(len(c.b)) {
		c.bad, n = true, uint64(len(c.b))
	}
	b, c.b = c.b[:n], c.b[n:]
	return b
}

func (c *cursor) skip(n uint64) { c.take(n) }

func (c *cursor) byte() byte {
	if b := c.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (c *cursor) word() uint32 {
	if b := c.take(4); len(b) == 4 {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uleb() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

// text skips a text and its end, and returns how long it is.
func (c *cursor) text() int {
	end := bytes.IndexByte(c.b, 0)
	if end < 0 {
		c.bad = true
		return 0
	}
	c.skip(uint64(end + 1))
	return end
}
