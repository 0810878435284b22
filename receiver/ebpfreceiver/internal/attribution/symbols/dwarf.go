package symbols

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"io"
	"slices"
	"sort"
	"strings"
	"time"
)

// Bounds of what is believed of a file's DWARF, and of what it takes.
const (
	maxDebug      = 48 << 20 // bytes of all sections, uncompressed
	maxRanges     = 4 << 20  // bytes of the lists of ranges
	maxAbbrev     = 2 << 20
	maxUnits      = 100_000
	maxScopes     = 50_000 // of a unit
	maxUnitRanges = 200_000
	maxRows       = 200_000
	maxKept       = 500_000 // rows and ranges of all units that are kept, of
	keptBytes     = 32      // bytes each
	maxNames      = 8       // steps from what is inlined to its name
	maxDebugSpent = 2 * time.Second
)

// debugInfo tells where in the source code is, and what the compiler has put into it.
type debugInfo struct {
	data  *dwarf.Data
	units []dwarf.Offset // of the first entries of those with code
	// Sections .debug_line, .debug_str and .debug_line_str.
	lines, str, lineStr []byte
	room                *Room
	kept                map[dwarf.Offset]*unit
	held                int // rows and ranges of those
	spent               time.Duration
	until               time.Time // of the look-up that is going on
}

// unit is what is needed of a compilation unit.
type unit struct {
	ranges [][2]uint64
	scopes []scope
	rows   []row
	files  []*dwarf.LineFile
	spans  int // ranges of all scopes
}

func (u *unit) held() int { return len(u.rows) + len(u.ranges) + len(u.scopes) + u.spans }

// scope is a function, or one that was put into the scopes before it.
type scope struct {
	ranges     [][2]uint64
	inlined    bool
	at, origin dwarf.Offset
	file, line int64 // of the call
}

// row says from which address on the code is of a line.
type row struct {
	at   uint64
	file *dwarf.LineFile
	line int
	end  bool
}

var errSpent = errors.New("it takes too long")

// openDebug reads the sections of DWARF; nil where there are none, or too much.
func openDebug(f *elf.File, room *Room) (d *debugInfo) {
	sections := map[string][]byte{}
	left, taken := int64(maxDebug), 0
	defer func() {
		if d == nil {
			room.Give(taken)
		}
	}()
	for _, name := range []string{"abbrev", "info", "str", "line", "ranges", "addr", "line_str", "str_offsets", "rnglists"} {
		s := f.Section(".debug_" + name)
		if s == nil || s.Type == elf.SHT_NOBITS {
			continue
		}
		limit := left
		switch name {
		case "ranges", "rnglists":
			limit = min(left, maxRanges)
		case "abbrev":
			limit = maxAbbrev
		}
		b, err := io.ReadAll(io.LimitReader(s.Open(), limit+1))
		if err != nil || int64(len(b)) > limit || !room.Take(len(b)) {
			return nil
		}
		left -= int64(len(b))
		taken += len(b)
		sections[name] = b
	}
	if d = newDebug(sections); d != nil {
		d.room = room
	}
	return d
}

func newDebug(sections map[string][]byte) (d *debugInfo) {
	defer func() {
		if recover() != nil { // a hostile file has found a mistake in the standard library
			d = nil
		}
	}()
	units := unitsOf(sections["info"])
	if len(units) == 0 || !abbreviated(sections["abbrev"], units) || !shortTexts(sections["str"]) || !shortTexts(sections["line_str"]) {
		return nil
	}
	data, err := dwarf.New(sections["abbrev"], nil, nil, sections["info"], sections["line"], nil, sections["ranges"], sections["str"])
	if err != nil {
		return nil
	}
	for _, name := range []string{"addr", "line_str", "str_offsets", "rnglists"} {
		if err := data.AddSection(".debug_"+name, sections[name]); err != nil {
			return nil
		}
	}
	d = &debugInfo{data: data, lines: sections["line"], str: sections["str"], lineStr: sections["line_str"], kept: map[dwarf.Offset]*unit{}}
	for _, u := range units {
		if u.compiled {
			d.units = append(d.units, dwarf.Offset(u.at))
		}
	}
	return d
}

// lookup tells the functions at an address, the innermost first, and the line in each. The last has no name where the program has not
// put it into another: that is the symbol table's to say.
func (d *debugInfo) lookup(pc uint64) (frames []Frame) {
	began := time.Now()
	d.until = began.Add(maxDebugSpent - d.spent)
	defer func() {
		d.spent += time.Since(began)
		if recover() != nil {
			frames, d.spent = nil, maxDebugSpent
		}
	}()
	if d.spent >= maxDebugSpent {
		return nil
	}
	u := d.unit(pc)
	if u == nil {
		return nil
	}
	file, line := u.position(pc)
	var chain []scope
	for _, s := range u.scopes {
		if within(s.ranges, pc) {
			if !s.inlined {
				chain = chain[:0]
			}
			chain = append(chain, s)
		}
	}
	for i := len(chain) - 1; i > 0 && len(frames) < maxInlined; i-- {
		s := chain[i]
		frames = append(frames, Frame{Function: d.name(s.origin), File: file, Line: line, Inlined: true})
		file, line = u.file(int(s.file)), int(s.line)
	}
	last := Frame{File: file, Line: line}
	if len(chain) > 0 {
		last.Function = d.name(chain[0].at)
	}
	return append(frames, last)
}

func (d *debugInfo) late() bool { return time.Now().After(d.until) }

// unit finds the compilation unit that an address is in.
func (d *debugInfo) unit(pc uint64) *unit {
	for _, u := range d.kept {
		if within(u.ranges, pc) {
			return u
		}
	}
	r := d.data.Reader()
	for _, at := range d.units {
		if d.late() {
			return nil
		}
		r.Seek(at)
		e, err := r.Next()
		if err != nil || e == nil {
			continue
		}
		ranges, err := d.data.Ranges(e)
		if err != nil || !within(ranges, pc) {
			continue
		}
		u, err := d.read(e, ranges)
		if err != nil {
			return nil
		}
		d.keep(at, u)
		return u
	}
	return nil
}

// keep remembers a unit, and forgets the others where there is no room for it. What is not kept is read again.
func (d *debugInfo) keep(at dwarf.Offset, u *unit) {
	bytes := u.held() * keptBytes
	if d.held+u.held() > maxKept || !d.room.Take(bytes) {
		clear(d.kept)
		d.room.Give(d.held * keptBytes)
		d.held = 0
		if !d.room.Take(bytes) {
			return
		}
	}
	d.held += u.held()
	d.kept[at] = u
}

// read reads what is needed of a unit.
func (d *debugInfo) read(e *dwarf.Entry, ranges [][2]uint64) (*unit, error) {
	u := &unit{ranges: ranges}
	folder, _ := e.Val(dwarf.AttrCompDir).(string)
	if at, ok := e.Val(dwarf.AttrStmtList).(int64); ok && !d.believable(at, folder) {
		return u, nil
	}
	lines, err := d.data.LineReader(e)
	if err == nil && lines != nil {
		for n := 0; n < maxRows; n++ {
			var l dwarf.LineEntry
			if err := lines.Next(&l); err != nil {
				break // the end, or malformed
			}
			if n%4096 == 0 && d.late() {
				return nil, errSpent
			}
			u.rows = append(u.rows, row{at: l.Address, file: l.File, line: l.Line, end: l.EndSequence})
		}
		u.files = lines.Files()
		slices.SortStableFunc(u.rows, func(a, b row) int { return cmp.Compare(a.at, b.at) })
	}
	r := d.data.Reader()
	r.Seek(e.Offset)
	if _, err := r.Next(); err != nil {
		return nil, err
	}
	for n, depth := 0, 1; depth > 0 && len(u.scopes) < maxScopes && u.spans < maxUnitRanges; n++ {
		if n%16 == 0 && d.late() {
			return nil, errSpent
		}
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		if e.Tag == 0 {
			depth--
			continue
		}
		if e.Children {
			depth++
		}
		if e.Tag != dwarf.TagSubprogram && e.Tag != dwarf.TagInlinedSubroutine {
			continue
		}
		s := scope{inlined: e.Tag == dwarf.TagInlinedSubroutine, at: e.Offset}
		if s.ranges, err = d.data.Ranges(e); err != nil || len(s.ranges) == 0 {
			continue
		}
		u.spans += len(s.ranges)
		s.origin, _ = e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		s.file, _ = e.Val(dwarf.AttrCallFile).(int64)
		s.line, _ = e.Val(dwarf.AttrCallLine).(int64)
		u.scopes = append(u.scopes, s)
	}
	return u, nil
}

func (u *unit) file(i int) string {
	if i < 0 || i >= len(u.files) || u.files[i] == nil {
		return ""
	}
	return clean(u.files[i].Name)
}

func (u *unit) position(pc uint64) (file string, line int) {
	i := sort.Search(len(u.rows), func(i int) bool { return u.rows[i].at > pc })
	if i == 0 || u.rows[i-1].end || u.rows[i-1].file == nil {
		return "", 0
	}
	return clean(u.rows[i-1].file.Name), u.rows[i-1].line
}

// name follows what an entry is made of to a name.
func (d *debugInfo) name(at dwarf.Offset) string {
	var plain string
	r := d.data.Reader()
	for range maxNames {
		r.Seek(at)
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		if name, ok := e.Val(dwarf.AttrLinkageName).(string); ok {
			return demangled(clean(name))
		}
		if name, ok := e.Val(dwarf.AttrName).(string); ok && plain == "" {
			plain = clean(name)
		}
		next, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			next, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset)
		}
		if !ok {
			break
		}
		at = next
	}
	return plain
}

func within(ranges [][2]uint64, pc uint64) bool {
	return slices.ContainsFunc(ranges, func(r [2]uint64) bool { return pc >= r[0] && pc < r[1] })
}

// clean makes a string of anybody's fit to be shown.
func clean(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxName)], "?")
}
