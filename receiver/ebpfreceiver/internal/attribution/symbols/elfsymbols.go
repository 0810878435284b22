package symbols

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"io"
	"slices"
	"sort"
)

const (
	// maxSymbols bounds what is kept of a symbol table: symbolBytes each, with the room that a slice has to grow.
	maxSymbols  = 500_000
	symbolBytes = 32
	// maxTable bounds how much of one is looked through: 24 bytes a symbol. The file may have a hole there.
	maxTable = 128 << 20
)

// symbols are the functions of a symbol table, by address.
type symbols struct {
	all   []symbol
	names io.ReaderAt
}

type symbol struct {
	at, size uint64
	name     uint32
}

// table reads the symbol table, once: .symtab, or what a stripped file leaves for the dynamic linker.
func (o *Object) table() *symbols {
	if o.symbols != nil {
		return o.symbols
	}
	o.symbols = &symbols{}
	for _, of := range []struct {
		o    *Object
		name string
	}{{o.separate, ".symtab"}, {o, ".symtab"}, {o, ".dynsym"}} {
		if of.o == nil {
			continue
		}
		names, ok := of.o.each(of.name, func(s elf.Sym64) bool {
			if elf.SymType(s.Info&0xf) != elf.STT_FUNC || s.Shndx == uint16(elf.SHN_UNDEF) {
				return true
			}
			if !o.room.Take(symbolBytes) {
				return false
			}
			o.symbols.all = append(o.symbols.all, symbol{s.Value, s.Size, s.Name})
			return len(o.symbols.all) < maxSymbols
		})
		if ok && len(o.symbols.all) > 0 {
			o.symbols.names = names
			break
		}
	}
	slices.SortFunc(o.symbols.all, func(a, b symbol) int { return cmp.Compare(a.at, b.at) })
	return o.symbols
}

// each calls f for the symbols of a table until it returns false.
func (o *Object) each(table string, f func(elf.Sym64) bool) (names io.ReaderAt, ok bool) {
	s, names, ok := o.symbolTable(table)
	if !ok {
		return nil, false
	}
	buf := make([]byte, 24*4096)
	size := min(s.FileSize, maxTable)
	for at := uint64(0); at+24 <= size; {
		b := buf[:min(uint64(len(buf)), (size-at)/24*24)]
		if _, err := s.ReadAt(b, int64(at)); err != nil {
			return nil, false
		}
		at += uint64(len(b))
		for ; len(b) >= 24; b = b[24:] {
			sym := elf.Sym64{
				Name: binary.LittleEndian.Uint32(b), Info: b[4], Other: b[5], Shndx: binary.LittleEndian.Uint16(b[6:]),
				Value: binary.LittleEndian.Uint64(b[8:]), Size: binary.LittleEndian.Uint64(b[16:]),
			}
			if !f(sym) {
				return names, true
			}
		}
	}
	return names, true
}

// symbolTable is a table of symbols, with their names from the section that it says has them. A compressed one cannot be read from the middle, and
// has no reader.
func (o *Object) symbolTable(name string) (table *elf.Section, names io.ReaderAt, ok bool) {
	table = o.section(name)
	if table == nil || int64(table.Link) >= int64(len(o.file.Sections)) {
		return nil, nil, false
	}
	names = o.file.Sections[table.Link].ReaderAt
	return table, names, names != nil
}

// slack is how far after its beginning a function without a size is believed to reach.
const slack = 1 << 16

func (s *symbols) lookup(address uint64) (symbol, bool) {
	i := sort.Search(len(s.all), func(i int) bool { return s.all[i].at > address })
	for back := 0; i > 0 && back < 16; back++ {
		i--
		of := s.all[i]
		size := of.size
		if size == 0 {
			size = slack
		}
		if address-of.at < size {
			return of, true
		}
	}
	return symbol{}, false
}

// Start is where the function begins that an address is in, by the symbol table.
func (o *Object) Start(address uint64) (uint64, bool) {
	s, ok := o.table().lookup(address)
	return s.at, ok
}

// Function is the name of the function that an address is in, by the symbol table alone: what it costs to ask first is reading that, not the
// debugging information as well. It is as in the table, and empty where there is none.
func (o *Object) Function(address uint64) string {
	table := o.table()
	s, ok := table.lookup(address)
	if !ok {
		return ""
	}
	return symbolName(table.names, s.name)
}

func symbolName(names io.ReaderAt, at uint32) string {
	b := make([]byte, maxName)
	n, _ := names.ReadAt(b, int64(at))
	b, _, ok := bytes.Cut(b[:n], []byte{0})
	if !ok {
		return ""
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

// Find returns the addresses of symbols by their names, without a version: of functions and of data.
func (o *Object) Find(names ...string) map[string]uint64 {
	wanted, found := map[string]bool{}, map[string]uint64{}
	longest := 0
	for _, name := range names {
		wanted[name] = true
		longest = max(longest, len(name))
	}
	for _, table := range []string{".symtab", ".dynsym"} {
		_, names, ok := o.symbolTable(table)
		if !ok {
			continue
		}
		strings := &nameTable{r: names}
		o.each(table, func(s elf.Sym64) bool {
			if s.Shndx != uint16(elf.SHN_UNDEF) && s.Value != 0 {
				if name := strings.name(s.Name, longest); wanted[string(name)] {
					if _, have := found[string(name)]; !have {
						found[string(name)] = s.Value
					}
				}
			}
			return len(found) < len(wanted)
		})
	}
	return found
}

const (
	// namesPage is how much of a table of names is read at once, namesKept how many such pages are kept.
	namesPage = 4 << 10
	namesKept = 1 << 10
	// maxReads bounds how many are read to find names, of which those of a hash table come in no order.
	maxReads = 1 << 18
)

// nameTable reads names of a table.
type nameTable struct {
	r     io.ReaderAt
	reads int
	pages map[uint32][]byte
}

// name reads one of at most so many bytes, the same each time; nil when it is longer.
func (n *nameTable) name(at uint32, longest int) []byte {
	page, ok := n.pages[at/namesPage]
	if !ok {
		if n.reads++; n.reads > maxReads {
			return nil
		}
		if n.pages == nil || len(n.pages) >= namesKept {
			n.pages = map[uint32][]byte{}
		}
		page = make([]byte, namesPage+longest+1) // and what goes beyond
		k, _ := n.r.ReadAt(page, int64(at/namesPage)*namesPage)
		page = page[:k]
		n.pages[at/namesPage] = page
	}
	b := page[min(int(at%namesPage), len(page)):]
	end := bytes.IndexByte(b[:min(longest+1, len(b))], 0)
	if end < 0 {
		return nil
	}
	return b[:end]
}
