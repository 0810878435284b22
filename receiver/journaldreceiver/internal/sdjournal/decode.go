// Package sdjournal reads journal files with libsystemd, which it loads when first needed. Unlike the package of that name in
// go-systemd it keeps fields that an entry has several times, reads many entries in one call, reads one file at a time, by its
// descriptor, so that renaming and deleting cannot confuse it, and survives a file that is truncated while it is read.
package sdjournal

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// ID is one of systemd's 128-bit identifiers.
type ID [16]byte

// Batch is entries that were read together.
type Batch struct {
	// Count is how many entries there are.
	Count int
	// Last is the sequence number of the last one.
	Last   uint64
	encode []byte
}

// Entry is one entry of the journal.
type Entry struct {
	// Realtime and Monotonic are when the journal took the entry, in microseconds since 1970 and since boot.
	Realtime, Monotonic uint64
	Boot                ID
	// Truncated says that the entry was larger than the bound, Damaged that some of it could not be read.
	Truncated, Damaged bool
	fields             []byte
}

// An entry is encoded as sdjournal.c's struct header in the machine's byte order, then each field's length and its bytes.
const (
	headerSize     = 48
	flagTruncated  = 1
	flagDamaged    = 2
	offFlags       = 8
	offRealtime    = 16
	offMonotonic   = 24
	offBoot        = 32
	fieldLengthLen = 4
)

// Entries are the batch's entries; they share its memory.
func (b Batch) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for rest := b.encode; len(rest) >= headerSize; {
			size := int(binary.NativeEndian.Uint32(rest))
			if size < headerSize || size > len(rest) {
				return
			}
			e := Entry{
				Realtime:  binary.NativeEndian.Uint64(rest[offRealtime:]),
				Monotonic: binary.NativeEndian.Uint64(rest[offMonotonic:]),
				Boot:      ID(rest[offBoot:headerSize]),
				fields:    rest[headerSize:size],
			}
			flags := binary.NativeEndian.Uint32(rest[offFlags:])
			e.Truncated, e.Damaged = flags&flagTruncated != 0, flags&flagDamaged != 0
			if !yield(e) {
				return
			}
			rest = rest[size:]
		}
	}
}

// Own is the entry with memory of its own.
func (e Entry) Own() Entry {
	e.fields = bytes.Clone(e.fields)
	return e
}

// Fields are the names and values of the entry's fields, in their order. They share the entry's memory.
func (e Entry) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for rest := e.fields; len(rest) >= fieldLengthLen; {
			n := int(binary.NativeEndian.Uint32(rest))
			rest = rest[fieldLengthLen:]
			if n < 0 || n > len(rest) {
				return
			}
			field := rest[:n]
			rest = rest[n:]
			// What was cut within its name has no value.
			if i := bytes.IndexByte(field, '='); i > 0 && !yield(field[:i], field[i+1:]) {
				return
			}
		}
	}
}

// NewEntry makes an entry of names and values.
func NewEntry(realtime, monotonic uint64, fields ...[2][]byte) Entry {
	e := Entry{Realtime: realtime, Monotonic: monotonic}
	for _, f := range fields {
		e.fields = binary.NativeEndian.AppendUint32(e.fields, uint32(len(f[0])+1+len(f[1])))
		e.fields = append(append(append(e.fields, f[0]...), '='), f[1]...)
	}
	return e
}
