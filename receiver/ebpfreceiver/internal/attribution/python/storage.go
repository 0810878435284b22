//go:build linux

package python

import "math"

// How many of a container's references are followed: of a larger one, the first and the last.
const (
	maxFirst = 2048
	maxLast  = 4096
)

// parts calls each with the ranges of n things that are read.
func parts(n uint64, each func(from, to uint64)) {
	if n <= maxFirst+maxLast {
		each(0, n)
		return
	}
	each(0, maxFirst)
	each(n-maxLast, n)
}

// words reads words at an address, as many of them as can be.
func (g *graph) words(addr, n uint64) []byte {
	if n == 0 || n > maxSize || !place(addr) {
		return nil
	}
	if uint64(cap(g.buffer)) < n*8 {
		g.buffer = make([]byte, n*8)
	}
	b := g.buffer[:n*8]
	got, _ := g.ReadAt(b, int64(addr))
	return b[:got&^7]
}

// keys is what the keys of a dict begin with.
type keys struct {
	slots, entries, entriesAt, entrySize uint64
	bytes                                uint64
}

func (g *graph) keys(addr uint64) (k keys, ok bool) {
	b := make([]byte, 40)
	if !place(addr) {
		return k, false
	}
	if _, err := g.ReadAt(b, int64(addr)); err != nil {
		return k, false
	}
	k.entrySize = 24
	var index uint64
	if g.at.compacted {
		if b[8] > 40 || b[9] > 43 {
			return k, false
		}
		k.slots, index, k.entries = 1<<b[8], 1<<b[9], word(b, 24)
		if b[10] != 0 {
			k.entrySize = 16
		}
	} else {
		k.slots, k.entries = word(b, 8), word(b, 32)
		switch index = k.slots; {
		case k.slots > 1<<32:
			index *= 8
		case k.slots > 1<<16:
			index *= 4
		case k.slots > 1<<8:
			index *= 2
		}
	}
	if k.slots == 0 || k.slots > maxLength || k.entries > k.slots {
		return k, false
	}
	k.entriesAt = addr + g.at.entries + index
	k.bytes = g.at.entries + index + k.slots*2/3*k.entrySize
	return k, true
}

// entries calls each with the keys and values of a dict.
func (g *graph) entries(o object, each func(key, value uint64)) {
	keysAt, values := o.word(32), o.word(40)
	if values != 0 {
		g.split(keysAt, values+g.at.values, each)
		return
	}
	k, ok := g.keys(keysAt)
	if !ok {
		return
	}
	parts(k.entries, func(from, to uint64) {
		b := g.words(k.entriesAt+from*k.entrySize, (to-from)*k.entrySize/8)
		b = append([]byte(nil), b...) // the buffer is used for what each reads
		for ; uint64(len(b)) >= k.entrySize; b = b[k.entrySize:] {
			if key, value := word(b, k.entrySize-16), word(b, k.entrySize-8); value != 0 {
				each(key, value)
			}
		}
	})
}

// item is the value of a key of a dict; 0 when there is none.
func (g *graph) item(o object, key string) (value uint64) {
	g.entries(o, func(k, v uint64) {
		if value == 0 {
			if name, ok := g.str(k); ok && name == key {
				value = v
			}
		}
	})
	return value
}

// split calls each for a dict that has its keys in common with others of its class.
func (g *graph) split(keysAt, values uint64, each func(key, value uint64)) {
	k, ok := g.keys(keysAt)
	if !ok || k.entries > 1<<12 || !place(values) {
		return
	}
	names := append([]byte(nil), g.words(k.entriesAt, k.entries*k.entrySize/8)...)
	all := append([]byte(nil), g.words(values, k.entries)...)
	for i := uint64(0); i*8+8 <= uint64(len(all)) && (i+1)*k.entrySize <= uint64(len(names)); i++ {
		key := word(names, i*k.entrySize)
		if k.entrySize == 24 {
			key = word(names, i*k.entrySize+8)
		}
		if value := word(all, i*8); value != 0 {
			each(key, value)
		}
	}
}

// pointers calls each with n pointers, or the first and last of them.
func (g *graph) pointers(addr, n uint64, each func(ref uint64)) {
	parts(n, func(from, to uint64) {
		b := append([]byte(nil), g.words(addr+from*8, to-from)...)
		for ; len(b) >= 8; b = b[8:] {
			each(word(b, 0))
		}
	})
}

// elements calls each with what is in a set: {key, hash}, or nothing.
func (g *graph) elements(o object, each func(ref uint64)) {
	parts(min(o.word(32), maxLength)+1, func(from, to uint64) {
		b := append([]byte(nil), g.words(o.word(40)+from*16, (to-from)*2)...)
		for ; len(b) >= 16; b = b[16:] {
			each(word(b, 0))
		}
	})
}

// A deque is a list of blocks with 64 places, and a link at either end (_collectionsmodule.c).
const (
	dequeBlock  = 64
	dequeBlocks = maxLast / dequeBlock
)

func (g *graph) queued(o object, each func(ref uint64)) {
	n := o.length()
	follow := func(block, end uint64, link, blocks uint64) {
		for ; blocks > 0 && place(block); blocks-- {
			b := append([]byte(nil), g.words(block, dequeBlock+2)...)
			if len(b) < (dequeBlock+2)*8 {
				return
			}
			first, last := uint64(0), uint64(dequeBlock-1)
			if block == o.word(24) {
				first = min(o.word(40), dequeBlock)
			}
			if block == o.word(32) {
				last = min(o.word(48), dequeBlock-1)
			}
			for i := first; i <= last; i++ {
				each(word(b, 8+i*8))
			}
			if block == end {
				return // what has been added since begins with places that were something else's
			}
			block = word(b, link)
		}
	}
	blocks := n/dequeBlock + 2
	if n <= maxFirst+maxLast {
		follow(o.word(24), o.word(32), 8+dequeBlock*8, blocks)
		return
	}
	follow(o.word(24), o.word(32), 8+dequeBlock*8, maxFirst/dequeBlock)
	follow(o.word(32), o.word(24), 0, dequeBlocks)
}

// size is what an object takes with its own storage, in bytes.
func (g *graph) size(o object) uint64 {
	n := o.typ.size
	switch {
	case o.typ.flags&flagStr != 0:
		kind := o.word(32) >> 2 & 7
		n = g.at.compact + (min(o.word(16), maxLength)+1)*kind
	case o.typ.flags&flagInt != 0 && g.at.minor >= 12:
		n = 24 + min(o.word(16)>>3, maxLength)*4 // lv_tag
	case o.typ.item > 0 && o.typ.class != generator:
		n += o.length() * o.typ.item
	}
	var storage uint64
	switch o.typ.class {
	case dict:
		if k, ok := g.keys(o.word(32)); ok && o.word(40) == 0 {
			storage = k.bytes
		}
	case list:
		storage = min(o.word(32), maxLength) * 8
	case set:
		if at := o.word(40); at < o.addr || at > o.addr+o.typ.size {
			storage = (min(o.word(32), maxLength) + 1) * 16
		}
	case deque:
		storage = (o.length()/dequeBlock + 1) * (dequeBlock + 2) * 8
	case bytearray:
		storage = min(o.word(24), maxLength)
	case array:
		storage = min(o.word(32), maxLength) * g.itemSize(o)
	case ndarray:
		storage = g.data(o)
	}
	if o.typ.flags&flagGC != 0 {
		n += 16
	}
	if o.typ.flags&flagManagedDict != 0 {
		n += 16
	}
	return rounded(n) + rounded(storage)
}

// itemSize is what each number in an array.array takes (arraydescr of arraymodule.c).
func (g *graph) itemSize(o object) uint64 {
	b := make([]byte, 8)
	if _, err := g.ReadAt(b, int64(o.word(40))); err != nil || b[4] > 8 {
		return 0
	}
	return uint64(b[4])
}

// data is what a numpy array owns (PyArrayObject_fields of ndarraytypes.h), which is as long as its longest stride takes it.
func (g *graph) data(o object) (bytes uint64) {
	const maxDimensions, owns = 64, 0x4
	n := o.word(24) & math.MaxUint32
	if o.word(64)&owns == 0 || n > maxDimensions {
		return 0
	}
	lengths := append([]byte(nil), g.words(o.word(32), n)...)
	strides := g.words(o.word(40), n)
	for i := 0; i+8 <= min(len(lengths), len(strides)); i += 8 {
		bytes = max(bytes, min(word(lengths, uint64(i)), 1<<31)*min(word(strides, uint64(i)), 1<<31))
	}
	return min(bytes, maxLength)
}

// rounded is what allocators make of a size.
func rounded(n uint64) uint64 {
	if n > 512 {
		n += 16
	}
	return (n + 15) &^ 15
}
