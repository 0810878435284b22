package symbols

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tinyTable is a table of one function, main.main at 0x1000 of 0x20 bytes, into whose second half main.inner was inlined.
func tinyTable(old bool) []byte {
	var b []byte
	word := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	half := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	magic := uint32(magic120)
	if old {
		magic = magic118
	}
	half(magic)
	b = append(b, 0, 0, 1, 8)
	const names, units, files, pcs, funcs = 72, 96, 104, 120, 160
	for _, v := range []uint64{1, 1, 0x1000, names, units, files, pcs, funcs} {
		word(v)
	}
	b = append(b, "\x00main.main\x00main.inner\x00"...)
	b = append(b, make([]byte, units-len(b))...)
	half(0)
	b = append(b, make([]byte, files-len(b))...)
	b = append(b, "/main.go\x00"...)
	b = append(b, make([]byte, pcs-len(b))...)
	// Pairs of differences: of the value, zigzag, and of the address. At 1 the file: 0; at 4 the line: 10, then 20; at 9 the
	// inlined call: none, then number 0.
	b = append(b, 0, 2, 0x20, 0)
	b = append(b, 22, 0x10, 20, 0x10, 0)
	b = append(b, 0, 0x10, 2, 0x10, 0)
	b = append(b, make([]byte, funcs-len(b))...)
	// The table of functions, and the one function.
	half(0)
	half(16)
	half(0x20)
	half(0)
	half(0) // entry
	half(1) // name
	half(0) // args
	half(0) // deferreturn
	half(0) // pcsp
	half(1) // pcfile
	half(4) // pcln
	half(3) // npcdata
	half(0) // unit
	if !old {
		half(9) // the line it begins at
	}
	b = append(b, 0, 0, 0, 4)
	half(0)
	half(0)
	half(9) // the table of inlined calls
	half(^uint32(0))
	half(^uint32(0))
	half(^uint32(0))
	half(0) // the tree
	return b
}

// tree is that of the inlined call: main.inner, called at the address 4 of main.main.
func tree(old bool) []byte {
	var b []byte
	half := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	if old {
		half(0)
		half(0)
		half(0)
		half(11)
		half(4)
		return b
	}
	half(0)
	half(11)
	half(4)
	half(30)
	return b
}

func TestTinyTable(t *testing.T) {
	for _, old := range []bool{false, true} {
		b := tinyTable(old)
		table, err := NewGoTable(bytes.NewReader(b), int64(len(b)), 0)
		require.NoError(t, err)
		table.WithInline(bytes.NewReader(tree(old)))

		frames, err := table.Lookup(0x1008)
		require.NoError(t, err)
		assert.Equal(t, []Frame{{Function: "main.main", File: "/main.go", Line: 10}}, frames)

		frames, err = table.Lookup(0x1018)
		require.NoError(t, err)
		assert.Equal(t, []Frame{
			{Function: "main.inner", File: "/main.go", Line: 20, Inlined: true},
			{Function: "main.main", File: "/main.go", Line: 10},
		}, frames)

		entries, err := table.Entries("main.main", "main.other")
		require.NoError(t, err)
		assert.Equal(t, map[string]uint64{"main.main": 0x1000}, entries)

		// Cut anywhere, it is refused or says nothing.
		for n := range b {
			if short, err := NewGoTable(bytes.NewReader(b[:n]), int64(n), 0); err == nil {
				_, _ = short.Lookup(0x1018)
				_, _ = short.Entries("main.main")
			}
		}
	}
}
