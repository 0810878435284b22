//go:build linux

package process

import (
	"encoding/binary"
	"slices"
)

// Layout is what is known of how a runtime lays out its memory, beyond what the kernel tells. The zero Layout knows the large
// blocks of glibc's malloc.
type Layout struct {
	// Regions are addresses that hold one kind.
	Regions []Region
	// Block says by its first HeadSize bytes what kind of block is at an address, and how long it is: 0 when it does not know.
	Block func(at uint64, head []byte) (size uint64, kind string)
}

// Region is a range of addresses.
type Region struct {
	Start, End uint64
	Kind       string
}

// HeadSize is how much of a block tells what it is.
const HeadSize = 64

const (
	page = 4096
	// maxBlocks bounds the blocks that are looked at in one process, and maxUnknown the pages in a row of one mapping that nobody knows.
	maxBlocks  = 200_000
	maxUnknown = 512
)

// unnamed are the kinds that are told by place and neighbour only: what a layout says of the place goes before.
var unnamed = []string{KindAnonymous, KindCode, KindThreadStack, KindShared, KindArena}

// walk goes through mappings block by block.
type walk struct {
	p      *Process
	layout Layout
	blocks int
}

// add adds what a mapping holds to the kinds that it is of.
func (w *walk) add(u Usage, h held) {
	for _, r := range w.layout.Regions {
		if h.Start >= r.Start && h.Start < r.End && slices.Contains(unnamed, h.kind) {
			u[r.Kind] += h.bytes + h.swapped
			return
		}
	}
	// What hardly holds anything would only be touched by being read, and what is swapped out would be fetched.
	all := h.bytes + h.swapped
	if h.kind != KindAnonymous || h.bytes < 64<<10 || h.bytes < (h.End-h.Start)/4 {
		u[h.kind] += all
		return
	}
	rest := all
	for kind, size := range w.kinds(h.Mapping) {
		n := min(rest, uint64(float64(all)*float64(size)/float64(h.End-h.Start)))
		u[kind] += n
		rest -= n
	}
	u[h.kind] += rest
}

// kinds tells how much of a mapping is in blocks of which kind.
func (w *walk) kinds(m Mapping) map[string]uint64 {
	sizes := map[string]uint64{}
	head := make([]byte, HeadSize)
	unknown := 0
	for at := m.Start; at+HeadSize <= m.End && w.blocks < maxBlocks && unknown < maxUnknown; w.blocks++ {
		if _, err := w.p.ReadAt(head, int64(at)); err != nil {
			break
		}
		size, kind := uint64(0), ""
		if w.layout.Block != nil {
			size, kind = w.layout.Block(at, head)
		}
		if size == 0 {
			size, kind = mallocBlock(head)
		}
		if size == 0 {
			unknown++
			at += page - at%page
			continue
		}
		unknown = 0
		size = min(size, m.End-at)
		sizes[kind] += size
		at += size
	}
	return sizes
}

// mallocBlock knows a block for which glibc has mapped memory of its own (malloc.c, IS_MMAPPED): nothing precedes it, and the size is one of
// whole pages, with a flag.
func mallocBlock(head []byte) (size uint64, kind string) {
	previous, size := binary.LittleEndian.Uint64(head), binary.LittleEndian.Uint64(head[8:])
	if previous != 0 || size&7 != 2 || size&^7 == 0 || size&^7%page != 0 {
		return 0, ""
	}
	return size &^ 7, KindBlocks
}
