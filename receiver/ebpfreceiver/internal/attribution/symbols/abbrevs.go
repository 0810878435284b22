package symbols

import "encoding/binary"

const (
	// maxAttributes is how many attributes an entry of debugging information may have; compilers write some twenty.
	maxAttributes = 128
	// maxText is how long a text of debugging information may be: each entry that names it gets a copy of it for each attribute.
	maxText = 1 << 18
)

// abbreviated says whether the tables of abbreviations that units name are as large as all of them together at most: debug/dwarf keeps one
// for each place that is named, and places can be so many that the tables overlap (DWARF 5, 7.5.3).
func abbreviated(abbrev []byte, units []unitHeader) bool {
	left := len(abbrev)
	known := map[uint64]bool{}
	for _, u := range units {
		if known[u.abbrev] {
			continue
		}
		known[u.abbrev] = true
		if u.abbrev > uint64(len(abbrev)) {
			return false
		}
		r := &cursor{b: abbrev[u.abbrev:]}
		for len(r.b) > 0 && r.uleb() != 0 {
			r.uleb() // tag
			r.byte() // children
			for n := 0; ; n++ {
				attribute, form := r.uleb(), r.uleb()
				if attribute == 0 && form == 0 {
					break
				}
				if form == 0x21 { // implicit_const
					r.uleb()
				}
				if r.bad || n == maxAttributes {
					return false
				}
			}
		}
		if left -= len(abbrev) - int(u.abbrev) - len(r.b); r.bad || left < 0 {
			return false
		}
	}
	return true
}

// shortTexts says whether no text of a section is longer than a text may be.
func shortTexts(b []byte) bool {
	since := 0
	for _, c := range b {
		if since++; c == 0 {
			since = 0
		} else if since > maxText {
			return false
		}
	}
	return true
}

// unitHeader is where a unit of debugging information has its first entry, and which table of abbreviations is its.
type unitHeader struct {
	at, abbrev uint64
	compiled   bool // whole or in part, and not types alone
}

// unitsOf goes over the headers of units (DWARF 5, 7.5.1). There are none where there are too many, or where one is not of the 32-bit
// format: nobody's compiler writes the other by itself.
func unitsOf(info []byte) (all []unitHeader) {
	for at := uint64(0); at+12 <= uint64(len(info)); {
		b := info[at:]
		size := uint64(binary.LittleEndian.Uint32(b))
		if size >= 0xfffffff0 || len(all) == maxUnits {
			return nil
		}
		if size > 0 {
			u := unitHeader{at: at + 11, abbrev: uint64(binary.LittleEndian.Uint32(b[6:])), compiled: true}
			if version := binary.LittleEndian.Uint16(b[4:]); version >= 5 {
				// DW_UT_compile, DW_UT_partial
				u = unitHeader{at: at + 12, abbrev: uint64(binary.LittleEndian.Uint32(b[8:])), compiled: b[6] == 1 || b[6] == 3}
			}
			all = append(all, u)
		}
		at += 4 + size
	}
	return all
}
