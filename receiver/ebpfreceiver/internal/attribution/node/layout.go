//go:build linux

// Package node tells what V8, the engine of Node.js, has put where.
package node

import (
	"encoding/binary"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// KindHeap is the kind of memory that holds JavaScript's objects.
const KindHeap = "V8's heap"

// Layout knows the pages of V8's heap by how they begin (src/heap/memory-chunk-layout.h): the page's size, flags, the heap it belongs to, where
// the objects begin, and where they end.
func Layout() process.Layout {
	return process.Layout{Block: func(at uint64, head []byte) (uint64, string) {
		const pageBits, smallest, largest = 18, 64 << 10, 1 << 40
		size, begin, end := binary.LittleEndian.Uint64(head), binary.LittleEndian.Uint64(head[24:]), binary.LittleEndian.Uint64(head[32:])
		if at%(1<<pageBits) != 0 || size < smallest || size > largest || begin <= at || begin-at > 64<<10 || end <= begin || end-at > size {
			return 0, ""
		}
		return size, KindHeap
	}}
}
