//go:build linux

// Package python finds out what a running Python program keeps, from outside and without its help.
package python

import (
	"encoding/binary"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// KindArenas is the kind of memory that holds objects of up to 512 bytes.
const KindArenas = "Python's arenas of small objects"

// Layout knows the pools of Python's own allocator by how they begin (pycore_obmalloc.h): with sizes that must fit to each other.
func Layout() process.Layout {
	return process.Layout{Block: func(at uint64, head []byte) (uint64, string) {
		const alignment, classes = 16, 32
		class, next, last := binary.LittleEndian.Uint32(head[36:]), binary.LittleEndian.Uint32(head[40:]), binary.LittleEndian.Uint32(head[44:])
		// 4 KiB before 3.10.
		for _, pool := range []uint32{16 << 10, 4 << 10} {
			if at%uint64(pool) == 0 && class < classes && last == pool-(class+1)*alignment && next > 0 && next <= pool {
				return uint64(pool), KindArenas
			}
		}
		return 0, ""
	}}
}
