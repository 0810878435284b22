package symbols

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// counting counts the reads of a file.
type counting struct {
	io.ReaderAt
	reads int
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	c.reads++
	return c.ReaderAt.ReadAt(b, at)
}

// hole is the beginning of a file that has nothing else.
type hole []byte

func (h hole) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(h)) {
		copy(b, h[at:])
	}
	return len(b), nil
}

// The names of a library come in no order: what stands beside one that was read is not read again for each.
func TestNamesInNoOrder(t *testing.T) {
	var table bytes.Buffer
	table.WriteByte(0)
	var at []uint32
	for i := range 50_000 {
		at = append(at, uint32(table.Len()))
		fmt.Fprintf(&table, "_ZN4some8function%dEv\x00", i)
	}
	table.WriteString("a name without end")
	const longest = 30
	file := &counting{ReaderAt: bytes.NewReader(table.Bytes())}
	names := nameTable{r: file}
	for _, i := range rand.Perm(len(at)) {
		assert.Equal(t, fmt.Sprintf("_ZN4some8function%dEv", i), string(names.name(at[i], longest)))
	}
	assert.LessOrEqual(t, file.reads, table.Len()/namesPage+1)
	for _, bad := range []uint32{uint32(table.Len() - 5), uint32(table.Len()), 1<<32 - 1} {
		assert.Nil(t, names.name(bad, longest))
	}
	assert.Nil(t, names.name(at[0], 3), "it is longer")

	// One whose names are as far from each other as can be.
	file.reads, names = 0, nameTable{r: file}
	for i := range uint32(2 * maxReads) {
		names.name(i*7919*namesPage, longest)
	}
	assert.LessOrEqual(t, file.reads, maxReads)
}

// Descriptions of functions that lie all over a table are not read for minutes.
func TestFunctionsInNoOrder(t *testing.T) {
	const functions, size = 20_000, 1 << 30
	var h bytes.Buffer
	for _, part := range []any{uint32(magic120), [4]byte{0, 0, 1, 8}, [8]uint64{functions, 1, 0x1000, 72, 96, 104, 120, 160}} {
		_ = binary.Write(&h, binary.LittleEndian, part)
	}
	h.WriteString("\x00main.main\x00")
	h.Write(make([]byte, 160-h.Len()))
	for i := range uint32(functions) {
		_ = binary.Write(&h, binary.LittleEndian, []uint32{i, i * 2654435761 % (size / 2)})
	}
	file := &counting{ReaderAt: hole(h.Bytes())}
	table, err := NewGoTable(file, size, 0)
	assert.NoError(t, err)
	_, err = table.Entries("main.main")
	assert.ErrorIs(t, err, errTable)
	assert.LessOrEqual(t, file.reads, 2*maxSearched/(64<<10))
}

// Names are as people write them: without what compilers add, and without lines of template arguments.
func TestDemangled(t *testing.T) {
	for name, want := range map[string]string{
		"journal_write":                      "journal_write",
		"journal_write.constprop.0":          "journal_write",
		"journal_write.isra.0.part.0.cold":   "journal_write",
		"journal_write.llvm.12345678":        "journal_write",
		"main.partial":                       "main.partial",
		"_ZN4shop5Cache3putEi.constprop.0":   "shop::Cache::put",
		"_ZN4shop4PoolINS_7SessionEE4makeEi": "shop::Pool<shop::Session>::make",
		"_ZN4shop5IndexINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESt6vectorIS6_SaIS6_EEE6insertERKS6_RKS9_": "shop::Index::insert",
		"_ZN5alloc11collections5btree4node210Handle$LT$alloc..collections..btree..node..NodeRef$LT$alloc..collections..btree..node..marker..Mut$C$K$C$V$C$alloc..collections..btree..node..marker..Leaf$GT$$C$alloc..collections..btree..node..marker..Edge$GT$16insert_recursing17hc512578e8bf1164bE": "alloc::collections::btree::node::Handle::insert_recursing",
		"_ZN5alloc11collections5btree3map5entry28VacantEntry$LT$K$C$V$C$A$GT$12insert_entry17h7b5b39d3c1d43b62E": "alloc::collections::btree::map::entry::VacantEntry<K,V,A>::insert_entry",
		"_RNvMCs1234_3svcNtB2_5Store3put": "<svc::Store>::put",
	} {
		assert.Equal(t, want, demangled(name), name)
	}
}
