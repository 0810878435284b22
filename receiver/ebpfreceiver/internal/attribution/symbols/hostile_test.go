package symbols

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// little makes a file of what stands in it one after the other.
func little(t *testing.T, parts ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		require.NoError(t, binary.Write(&b, binary.LittleEndian, p))
	}
	return b.Bytes()
}

func header64(change func(*elf.Header64)) *elf.Header64 {
	h := &elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Ehsize: 64, Phentsize: 56, Shentsize: 64,
	}
	change(h)
	return h
}

// allocates is how many bytes f allocates in all.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What a file claims to be large takes neither time nor room.
func TestOpenHostile(t *testing.T) {
	var bomb bytes.Buffer
	z, err := zlib.NewWriterLevel(&bomb, zlib.BestSpeed)
	require.NoError(t, err)
	_, err = z.Write(make([]byte, 48<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	names := func(s elf.Section64, content []byte) []byte {
		h := header64(func(h *elf.Header64) { h.Shoff, h.Shnum, h.Shstrndx = 64, 2, 1 })
		s.Type, s.Off = uint32(elf.SHT_STRTAB), 64+2*64
		return append(little(t, h, elf.Section64{}, s), content...)
	}
	for name, c := range map[string]struct {
		file []byte
		err  string // empty: it is opened, and says nothing
	}{
		"a segment without end": {
			file: append(little(t, header64(func(h *elf.Header64) { h.Phoff, h.Phnum = 64, 1 }),
				elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Filesz: 1 << 62, Memsz: 1 << 62}), make([]byte, 1024)...),
		},
		"sections' names that are compressed": {
			file: names(elf.Section64{Flags: uint64(elf.SHF_COMPRESSED), Size: uint64(24 + bomb.Len())},
				append(little(t, elf.Chdr64{Type: uint32(elf.COMPRESS_ZLIB), Size: 48 << 20}), bomb.Bytes()...)),
			err: "the names of its sections are compressed",
		},
		"sections' names without end": {
			file: names(elf.Section64{Size: 1 << 40}, make([]byte, 32<<20)),
			err:  "more headers than is believed",
		},
		"sections that all have the same long name": {
			file: append(little(t, header64(func(h *elf.Header64) { h.Shoff, h.Shnum, h.Shstrndx = 64, 8000, 1 }),
				elf.Section64{}, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: 64 + 8000*64, Size: 16 << 10}, make([]elf.Section64, 7998)), append(bytes.Repeat([]byte("x"), 16<<10-1), 0)...),
			err: "the names of its sections are too long",
		},
		"more sections than are believed": {
			file: append(little(t, header64(func(h *elf.Header64) { h.Shoff, h.Shnum, h.Shstrndx = 64, 60_000, 1 }),
				elf.Section64{}, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: 64 + 60_000*64, Size: 1 << 10}, make([]elf.Section64, 59_998)), append(bytes.Repeat([]byte("x"), 1<<10-1), 0)...),
			err: "more than 8192 sections",
		},
		"more segments than are believed": {
			file: little(t, header64(func(h *elf.Header64) { h.Phoff, h.Phnum = 64, 8000 }), make([]elf.Prog64, 8000)),
			err:  "more than 256 segments",
		},
		"symbols' names that are compressed": {
			file: little(t, header64(func(h *elf.Header64) { h.Shoff, h.Shnum, h.Shstrndx = 64, 4, 1 }),
				elf.Section64{}, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: 64 + 4*64, Size: 9},
				elf.Section64{Name: 1, Type: uint32(elf.SHT_SYMTAB), Off: 64 + 4*64 + 16, Size: 24, Link: 3},
				elf.Section64{Type: uint32(elf.SHT_STRTAB), Flags: uint64(elf.SHF_COMPRESSED), Off: 64 + 4*64 + 40, Size: 24},
				[]byte("\x00.symtab\x00.......")[:16], elf.Sym64{Name: 1, Info: byte(elf.STT_FUNC), Shndx: 1, Value: 0x1000, Size: 16},
				elf.Chdr64{Type: uint32(elf.COMPRESS_ZLIB), Size: 64}),
		},
		"sections that are counted elsewhere": {
			file: little(t, header64(func(h *elf.Header64) { h.Shoff, h.Shstrndx = 64, 1 }), elf.Section64{Size: 1 << 40}, make([]byte, 32<<20)),
			err:  "more than 8192 sections",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var o *Object
			var err error
			assert.Less(t, allocates(func() { o, err = Open(bytes.NewReader(c.file)) }), uint64(32<<20))
			if c.err != "" {
				assert.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Nil(t, o.Go)
			assert.Empty(t, o.Find("malloc"))
			assert.Empty(t, o.Lookup(0x1000))
		})
	}
}

// lineTable is one of these folders and files, each a text of its own, in the first of the folders.
func lineTable(version uint16, folders, files []string, program ...byte) []byte {
	lengths := []byte{0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1}
	after := []byte{1} // the least length of an instruction
	if version >= 4 {
		after = append(after, 1)
	}
	after = append(append(after, 1, 0xfb, 14, byte(len(lengths)+1)), lengths...)
	if version >= 5 {
		after = append(after, 1, 1, 0x08)
		after = binary.AppendUvarint(after, uint64(len(folders)))
		for _, d := range folders {
			after = append(append(after, d...), 0)
		}
		after = append(after, 2, 1, 0x08, 2, 0x0f)
		after = binary.AppendUvarint(after, uint64(len(files)))
		for _, f := range files {
			after = append(append(after, f...), 0, 0)
		}
	} else {
		for _, d := range folders {
			after = append(append(after, d...), 0)
		}
		after = append(after, 0)
		for _, f := range files {
			after = append(append(after, f...), 0, 1, 0, 0)
		}
		after = append(after, 0)
	}
	b := binary.LittleEndian.AppendUint16(nil, version)
	if version >= 5 {
		b = append(b, 8, 0)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(after)))
	b = append(append(b, after...), program...)
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...), make([]byte, 32)...)
}

func TestBelievable(t *testing.T) {
	few, many := []string{"include", "src"}, make([]string, 5000)
	for i := range many {
		many[i] = "f"
	}
	long := "/" + strings.Repeat("d", 4000)
	copies := []byte{1, 13, 0, 2, 4, 1, 0, 1, 1} // a row, one by a special opcode, a discriminator, the end
	for name, c := range map[string]struct {
		table  []byte
		folder string
		want   bool
	}{
		"version 3":                       {lineTable(3, few, few, copies...), "/src", true},
		"version 4":                       {lineTable(4, few, few, copies...), "/src", true},
		"version 5":                       {lineTable(5, few, few, copies...), "/src", true},
		"many files":                      {lineTable(4, few, many, copies...), "/src", true},
		"many files, version 5":           {lineTable(5, few, many, copies...), "/src", true},
		"many folders of a long one":      {lineTable(4, many, few, copies...), long, false},
		"many files of a long folder":     {lineTable(4, []string{long}, many, copies...), "/src", false},
		"the same, version 5":             {lineTable(5, []string{long}, many, copies...), "/src", false},
		"files that the program adds":     {lineTable(4, few, few, 1, 0, 6, 3, 'f', 0, 1, 0, 0), "/src", false},
		"a column, whatever its length":   {bytes.Replace(lineTable(4, few, few, 5, 0, 3, 3), []byte{0, 1, 1, 1, 1, 0}, []byte{0, 1, 1, 1, 0, 0}, 1), "/src", true},
		"more than its section":           {lineTable(4, few, few, copies...)[:40], "/src", false},
		"files that are claimed, not had": {bytes.Replace(lineTable(5, few, few), []byte{0x0f, 2}, []byte{0x0f, 100}, 1), "/src", false},
		"entries that take no room":       {bytes.Replace(lineTable(5, nil, nil), []byte{1, 1, 0x08, 0}, []byte{0, 127, 0, 0}, 1), "/src", false},
		"nothing":                         {nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := &debugInfo{lines: c.table}
			assert.Equal(t, c.want, d.believable(0, c.folder))
			assert.False(t, d.believable(1<<40, c.folder))
		})
	}

	// Texts that lie elsewhere are as long as they are there, each time.
	table := bytes.Replace(lineTable(5, nil, nil, copies...), []byte{1, 1, 0x08, 0}, append([]byte{1, 1, 0x1f}, append(binary.AppendUvarint(nil, 5000), make([]byte, 4*5000)...)...), 1)
	binary.LittleEndian.PutUint32(table, uint32(len(table)-4-32))
	binary.LittleEndian.PutUint32(table[8:], binary.LittleEndian.Uint32(table[8:])+4*5000+1)
	assert.True(t, (&debugInfo{lines: table, lineStr: []byte("/src\x00")}).believable(0, ""))
	assert.False(t, (&debugInfo{lines: table, lineStr: []byte(long + "\x00")}).believable(0, ""))
	assert.False(t, (&debugInfo{lines: table}).believable(0, ""))
}

// Units whose tables of abbreviations overlap, and tables of entries without end.
func TestAbbreviated(t *testing.T) {
	entry := []byte{1, 0x2e, 0, 3, 0x08, 0, 0}
	table := append(bytes.Repeat(entry, 1000), 0)
	units := func(offsets ...uint64) (all []unitHeader) {
		for _, at := range offsets {
			all = append(all, unitHeader{abbrev: at})
		}
		return all
	}
	assert.True(t, abbreviated(table, units(0)))
	assert.True(t, abbreviated(table, units(0, 0, 0)), "one that they share")
	assert.True(t, abbreviated(append(bytes.Clone(table), table...), units(0, uint64(len(table)))))
	assert.False(t, abbreviated(table, units(0, 7, 14)), "they overlap")
	assert.False(t, abbreviated(table, units(1<<40)))
	assert.False(t, abbreviated([]byte{1, 0x2e, 0, 3}, units(0)), "it is cut")
	assert.False(t, abbreviated(append(append([]byte{1, 0x2e, 0}, bytes.Repeat([]byte{3, 8}, 1000)...), 0, 0, 0), units(0)), "an entry of 1,000 attributes")
	assert.False(t, shortTexts(bytes.Repeat([]byte{'x'}, maxText+1)))
	assert.True(t, shortTexts(bytes.Repeat([]byte("text\x00"), maxText)))

	var info []byte
	for i := range uint32(1000) {
		info = append(info, little(t, uint32(11-4+4), uint16(4), i*7, byte(8), []byte{0, 0, 0, 0})...)
	}
	assert.Less(t, allocates(func() { assert.Nil(t, newDebug(map[string][]byte{"info": info, "abbrev": table})) }), uint64(4<<20))
}
