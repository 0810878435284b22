// Package symbols tells which functions addresses of a program belong to. The program is anybody's: what it says of itself is
// bounded, and never believed beyond that.
package symbols

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// Frame is a function that was being run.
type Frame struct {
	Function string
	// File and Line are where in the source; empty and 0 where the program does not say.
	File string
	Line int
	// Inlined says that the compiler has put it into the next frame.
	Inlined bool
	// Module is the path of the program or library it is in.
	Module string
}

// Bounds of what is believed of a file.
const (
	maxSections = 8192
	maxSegments = 256     // each is asked for each address; linkers make some ten
	maxTitles   = 1 << 20 // bytes of the sections' names, each of which is copied for each section that has it
	maxTitle    = 1 << 10 // bytes of one of them
	maxNote     = 1 << 16
	maxHeaders  = 8 << 20   // bytes of the headers of sections and segments, and of the sections' names
	maxInfo     = 64 << 20  // bytes that are read to find which toolchain has made it, and of what
	maxSearched = 256 << 20 // bytes that are looked through for Go's function table, or for names in it
)

// Object is a program or a library.
type Object struct {
	// BuildID is the linker's, in hexadecimal; empty when there is none.
	BuildID string
	// Go is nil for what is not a Go program of 1.18 or later.
	Go *GoTable
	// GoVersion is the toolchain's, as "go1.26.0".
	GoVersion string
	// GoMain is the path of the module it was built from, empty where it was built from files; GoModules are those of the modules that it uses.
	GoMain    string
	GoModules []string
	// GoTableAt is the address of Go's function table.
	GoTableAt uint64
	Machine   elf.Machine

	r       io.ReaderAt
	file    *elf.File
	room    *Room
	symbols *symbols
	// separate is a file that has what was split off from this one.
	separate *Object
	debugged bool // debug was looked for
	debug    *debugInfo
	looked   map[uint64][]Frame
}

// Open reads an ELF file's headers.
func Open(r io.ReaderAt) (o *Object, err error) {
	defer recovered(&err)
	if err := checkNames(r); err != nil {
		return nil, fmt.Errorf("read ELF: %w", err)
	}
	limited := &limitedReader{ReaderAt: r, left: maxHeaders}
	f, err := elf.NewFile(limited)
	if err != nil {
		return nil, fmt.Errorf("read ELF: %w", err)
	}
	limited.lifted = true
	if f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian {
		return nil, fmt.Errorf("read ELF: %v %v is not supported: 64-bit little-endian is", f.Class, f.Data)
	}
	if len(f.Progs) > maxSegments {
		return nil, fmt.Errorf("read ELF: more than %d segments", maxSegments)
	}
	o = &Object{r: r, file: f, Machine: f.Machine}
	o.BuildID = o.buildID()
	if at, table, size, ok := o.findGoTable(); ok {
		if t, err := NewGoTable(table, size, 0); err == nil {
			o.Go, o.GoTableAt = t, at
		}
		if info, err := buildinfo.Read(&limitedReader{ReaderAt: r, left: maxInfo}); err == nil {
			o.GoVersion, _, _ = strings.Cut(info.GoVersion, " ")
			o.GoMain = info.Main.Path
			for _, dep := range info.Deps {
				o.GoModules = append(o.GoModules, dep.Path)
			}
			o.GoModules = slices.DeleteFunc(o.GoModules, func(path string) bool { return path == "" })
		}
	}
	return o, nil
}

// limitedReader reads no more than so many bytes of a file in all, until the limit is lifted.
type limitedReader struct {
	io.ReaderAt
	left   int64
	lifted bool
}

var errTooMuch = errors.New("it claims to have more headers than is believed")

func (l *limitedReader) ReadAt(b []byte, at int64) (int, error) {
	if !l.lifted {
		if l.left -= int64(len(b)); l.left < 0 {
			return 0, errTooMuch
		}
	}
	return l.ReaderAt.ReadAt(b, at)
}

// checkNames refuses a file whose sections' names are compressed, which nobody's linker does, or long: debug/elf makes room for as much as
// they claim to be, and for each section's anew.
func checkNames(r io.ReaderAt) error {
	var h elf.Header64
	if err := binary.Read(io.NewSectionReader(r, 0, int64(binary.Size(h))), binary.LittleEndian, &h); err != nil {
		return err
	}
	if h.Shoff == 0 || elf.Class(h.Ident[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(h.Ident[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return nil // there are none, or it is refused for what it is
	}
	if h.Shnum == 0 || h.Shnum > maxSections { // 0: more than 65,279
		return fmt.Errorf("more than %d sections", maxSections)
	}
	var s elf.Section64
	at := int64(h.Shoff) + int64(h.Shstrndx)*int64(h.Shentsize)
	if err := binary.Read(io.NewSectionReader(r, at, int64(binary.Size(s))), binary.LittleEndian, &s); err != nil {
		return err
	}
	if elf.SectionFlag(s.Flags)&elf.SHF_COMPRESSED != 0 {
		return errors.New("the names of its sections are compressed")
	}
	if s.Size > maxTitles {
		return errTooMuch
	}
	names := make([]byte, s.Size)
	n, _ := r.ReadAt(names, int64(s.Off)) // what is not there is none
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		if len(name) > maxTitle {
			return errors.New("the names of its sections are too long")
		}
	}
	return nil
}

// recovered turns a panic of a parser of the standard library, which a hostile file might find, into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read ELF: malformed: %v", p)
	}
}

func (o *Object) section(names ...string) *elf.Section {
	for _, name := range names {
		if s := o.file.Section(name); s != nil && s.Type != elf.SHT_NOBITS && s.Flags&elf.SHF_COMPRESSED == 0 {
			return s
		}
	}
	return nil
}

// findGoTable finds Go's function table by its section, or, in a file without sections, by how it begins.
func (o *Object) findGoTable() (at uint64, r io.ReaderAt, size int64, ok bool) {
	if s := o.section(".gopclntab", ".data.rel.ro.gopclntab"); s != nil {
		return s.Addr, s.ReaderAt, int64(s.FileSize), true
	}
	if len(o.file.Sections) > 1 {
		return 0, nil, 0, false
	}
	left := int64(maxSearched)
	for _, p := range o.file.Progs {
		if p.Type != elf.PT_LOAD || p.Filesz == 0 {
			continue
		}
		off, ok := findTable(p.ReaderAt, int64(p.Filesz), &left)
		if ok {
			return p.Vaddr + uint64(off), io.NewSectionReader(p.ReaderAt, off, int64(p.Filesz)-off), int64(p.Filesz) - off, true
		}
	}
	return 0, nil, 0, false
}

// findTable looks for the beginning of a function table, which is aligned, in as many bytes as are left to be looked through.
func findTable(r io.ReaderAt, size int64, left *int64) (int64, bool) {
	buf := make([]byte, chunk)
	for at := int64(0); at < size && *left > 0; at += chunk {
		n, err := r.ReadAt(buf[:min(chunk, size-at)], at)
		if n == 0 || err != nil && !errors.Is(err, io.EOF) {
			return 0, false
		}
		*left -= int64(n)
		for i := 0; i+8 <= n; i += 16 {
			if b := buf[i:]; b[1] == 0xff && b[2] == 0xff && b[3] == 0xff && (b[0] == 0xf0 || b[0] == 0xf1) && b[4] == 0 && b[5] == 0 {
				if t, err := NewGoTable(io.NewSectionReader(r, at+int64(i), size-at-int64(i)), size-at-int64(i), 0); err == nil && t.nfunc > 0 {
					return at + int64(i), true
				}
			}
		}
	}
	return 0, false
}

// buildID reads the note that linkers leave: name "GNU", type 3.
func (o *Object) buildID() string {
	for _, p := range o.file.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > maxNote {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			continue
		}
		for len(b) >= 12 {
			name, desc, kind := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:])), binary.LittleEndian.Uint32(b[8:])
			b = b[12:]
			nameEnd := (name + 3) &^ 3
			descEnd := nameEnd + (desc+3)&^3
			if name < 0 || desc < 0 || name > maxNote || desc > maxNote || descEnd > len(b) {
				break
			}
			if kind == 3 && string(b[:name]) == "GNU\x00" && desc <= 64 {
				return hex.EncodeToString(b[nameEnd : nameEnd+desc])
			}
			b = b[descEnd:]
		}
	}
	return ""
}

// Address returns the address that the linker gave to what stands at an offset of the file.
func (o *Object) Address(offset uint64) (uint64, bool) {
	for _, p := range o.file.Progs {
		if p.Type == elf.PT_LOAD && offset >= p.Off && offset-p.Off < p.Filesz {
			return p.Vaddr + (offset - p.Off), true
		}
	}
	return 0, false
}

// Offset is the reverse of Address.
func (o *Object) Offset(address uint64) (uint64, bool) {
	for _, p := range o.file.Progs {
		if p.Type == elf.PT_LOAD && address >= p.Vaddr && address-p.Vaddr < p.Filesz {
			return p.Off + (address - p.Vaddr), true
		}
	}
	return 0, false
}

// At reads what the file holds for addresses from one on.
func (o *Object) At(address uint64) io.ReaderAt { return atAddress{o, address} }

type atAddress struct {
	o    *Object
	base uint64
}

func (a atAddress) ReadAt(b []byte, off int64) (int, error) {
	at, ok := a.o.Offset(a.base + uint64(off))
	if !ok {
		return 0, io.ErrUnexpectedEOF
	}
	return a.o.r.ReadAt(b, int64(at))
}

// Segments are the parts of the file that are loaded to be written to.
func (o *Object) Segments() (writable []elf.ProgHeader) {
	for _, p := range o.file.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_W != 0 {
			writable = append(writable, p.ProgHeader)
		}
	}
	return writable
}

// Section returns where a section is loaded, and a reader of it.
func (o *Object) Section(name string) (at uint64, size uint64, r io.ReaderAt, ok bool) {
	s := o.section(name)
	if s == nil {
		return 0, 0, nil, false
	}
	return s.Addr, s.FileSize, s.ReaderAt, true
}

// Share has the object keep no more of its symbols and debugging information than there is room for.
func (o *Object) Share(r *Room) { o.room = r }

// Separate takes the symbols and the debugging information that were split off from this file, if they were.
func (o *Object) Separate(of *Object) bool {
	if o.BuildID == "" || o.BuildID != of.BuildID {
		return false
	}
	o.separate = of
	return true
}

// Lacks says that symbols or debugging information may have been split off.
func (o *Object) Lacks() bool {
	return o.Go == nil && o.BuildID != "" && (o.section(".symtab") == nil || o.file.Section(".debug_info") == nil)
}

// maxLookups bounds how many addresses' functions are remembered.
const maxLookups = 4096

// Lookup tells the functions that an address is in, the innermost first. The result is empty when it is not known.
func (o *Object) Lookup(address uint64) []Frame {
	if frames, ok := o.looked[address]; ok {
		return slices.Clone(frames)
	}
	frames := o.lookup(address)
	if o.looked == nil || len(o.looked) >= maxLookups {
		o.looked = map[uint64][]Frame{}
	}
	o.looked[address] = frames
	return slices.Clone(frames)
}

func (o *Object) lookup(address uint64) []Frame {
	if o.Go != nil {
		if frames, err := o.Go.Lookup(address); err == nil {
			return frames
		}
	}
	var name string
	table := o.table()
	if s, ok := table.lookup(address); ok {
		name = demangled(symbolName(table.names, s.name))
	}
	frames := o.lines(address)
	if len(frames) == 0 {
		frames = []Frame{{}}
	}
	last := &frames[len(frames)-1]
	if name != "" {
		last.Function = name
	}
	if last.Function == "" {
		return nil
	}
	return frames
}

// lines is what the debugging information says.
func (o *Object) lines(address uint64) []Frame {
	if !o.debugged {
		o.debugged, o.debug = true, openDebug(o.file, o.room)
		if o.debug == nil && o.separate != nil {
			o.debug = openDebug(o.separate.file, o.room)
		}
	}
	if o.debug == nil {
		return nil
	}
	return o.debug.lookup(address)
}

// readable is how long a name is at most that has the arguments of templates: those of the standard library's containers go on for lines.
const readable = 100

// clone is what compilers add to the name of a function that they have made several of: "put.constprop.0", "put.part.0.cold".
var clone = regexp.MustCompile(`(\.(constprop|isra|part|cold|lto_priv|llvm|localalias)(\.\d+)?)+$`)

// demangled is a function's name as people write it, without its parameters.
func demangled(name string) string {
	options := []demangle.Option{demangle.NoClones, demangle.NoParams, demangle.MaxLength(12)}
	text, err := demangle.ToString(name, options...)
	switch {
	case err != nil:
		return clone.ReplaceAllString(name, "")
	case len(text) > readable:
		text = demangle.Filter(name, append(options, demangle.NoTemplateParams, demangle.NoEnclosingParams)...)
		// In the names of older Rust they are a part of the name.
		if strings.HasPrefix(name, "_ZN") && len(text) > readable {
			return withoutArguments(text)
		}
	}
	return text
}

// withoutArguments leaves out what stands between < and >, but where the name begins with that.
func withoutArguments(name string) string {
	if strings.HasPrefix(name, "<") || strings.Contains(name, "operator") {
		return name
	}
	var b strings.Builder
	depth := 0
	for _, c := range []byte(name) {
		switch {
		case c == '<':
			depth++
		case c == '>' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}
