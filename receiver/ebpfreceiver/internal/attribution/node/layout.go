//go:build linux

// Package node tells what V8, the engine of Node.js, has put where.
package node

import (
	"encoding/binary"
	"io"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// KindHeap is the kind of memory that holds JavaScript's objects.
const KindHeap = "V8's heap"

// Pages begin at multiples of 256 KiB; those of large objects are longer.
const (
	pageSize = 256 << 10
	smallest = 64 << 10
	largest  = 1 << 40
)

// Layout knows the pages of V8's heap by how they begin.
func Layout(p io.ReaderAt) process.Layout {
	return process.Layout{Block: func(at uint64, head []byte) (uint64, string) {
		if at%pageSize != 0 {
			return 0, ""
		}
		if size := chunk(p, at, head); size >= smallest && size <= largest {
			return size, KindHeap
		}
		return 0, ""
	}}
}

// chunk tells how long a page is, 0 if it is none. There: its size, where the objects begin, and where they end
// (src/heap/memory-chunk-layout.h).
func chunk(p io.ReaderAt, at uint64, head []byte) uint64 {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(head[8*i:]) }
	objects := func(size, begin, end uint64) bool {
		return begin > at && begin-at <= smallest && end > begin && end-at <= size
	}
	// Node 18 and 20: the size, flags, the heap, and these.
	if objects(word(0), word(3), word(4)) {
		return word(0)
	}
	// Node 22: flags, itself, the size, the heap, and these.
	if word(1) == at && objects(word(2), word(4), word(5)) {
		return word(2)
	}
	// Node 24: flags, and a pointer to what says where the page is, and its size.
	if flags, data := word(0), word(1); flags < 1<<32 && data > 1<<12 && data < 1<<47 && data%8 == 0 && word(2)&3 == 1 {
		b := make([]byte, 24)
		if _, err := p.ReadAt(b, int64(data)); err == nil && binary.LittleEndian.Uint64(b[8:]) == at {
			return binary.LittleEndian.Uint64(b[16:])
		}
	}
	return 0
}
