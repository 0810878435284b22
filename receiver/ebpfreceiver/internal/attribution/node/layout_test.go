//go:build linux

package node

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
)

func words(all ...uint64) []byte {
	b := make([]byte, 64)
	for i, w := range all {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return b
}

// The beginnings of pages as each version was seen to have them.
func TestLayout(t *testing.T) {
	const at = 0x72e62c0000
	memory := bytes.NewReader(append(make([]byte, 0x2000), words(0x6b8ed90, at, 0x40000)...))
	for name, c := range map[string]struct {
		at   uint64
		head []byte
		size uint64
	}{
		"18":               {at, words(0x40000, 0x12, 0x177c8338, at+0x1130, at+0x40000), 0x40000},
		"20, large":        {at, words(0x42000, 0x284, 0x14224e90, at+0x1148, at+0x41158), 0x42000},
		"22":               {at, words(0x4, at, 0x40000, 0x17270ea0, at+0x1140, at+0x40000), 0x40000},
		"24":               {at, words(0x184, 0x2000, 0x10c9dd080999), 0x40000},
		"of another page":  {at + pageSize, words(0x184, 0x2000, 0x10c9dd080999), 0},
		"nowhere":          {at, words(0x184, 0x123450, 0x10c9dd080999), 0},
		"not at a page":    {at + 4096, words(0x40000, 0x12, 0x177c8338, at+0x2130, at+0x40000), 0},
		"end after itself": {at, words(0x40000, 0x12, 0x177c8338, at+0x1130, at+0x80000), 0},
		"a Buffer":         {at, words(0x101010101010101, 0x101010101010101, 0x101010101010101, 0x101010101010101, 0x101010101010101), 0},
		"nothing":          {at, words(), 0},
	} {
		size, kind := Layout(memory).Block(c.at, c.head)
		assert.Equal(t, c.size, size, name)
		assert.Equal(t, c.size != 0, kind == KindHeap, name)
	}
}
