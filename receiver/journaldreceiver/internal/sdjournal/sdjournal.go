//go:build linux && cgo

package sdjournal

// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "sdjournal.h"
import "C"

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Load loads libsystemd, once; every other function needs it.
func Load() error {
	if why := C.tapio_load(); why != nil {
		return fmt.Errorf("load libsystemd: %s (the package is libsystemd0 on Debian and Ubuntu, systemd-libs on Fedora and RHEL)", C.GoString(why))
	}
	return nil
}

// File is an open journal file. It is for one goroutine at a time.
type File struct {
	j        *C.struct_sd_journal
	buffer   C.struct_tapio_buffer
	maxEntry int
	file     *os.File
}

// Open opens the journal in a file, which must stay open as long as the File. Of an entry no more than maxEntry bytes are read,
// and as much again of its message.
func Open(file *os.File, maxEntry int) (*File, error) {
	if err := Load(); err != nil {
		return nil, err
	}
	f := &File{maxEntry: maxEntry, file: file}
	if err := failed("open", C.tapio_open(C.int(file.Fd()), C.size_t(maxEntry), &f.j)); err != nil {
		return nil, err
	}
	return f, nil
}

// Close frees the File; the file it was opened on is its opener's.
func (f *File) Close() {
	C.tapio_close(f.j)
	C.free(unsafe.Pointer(f.buffer.data))
	f.j, f.buffer = nil, C.struct_tapio_buffer{}
}

// SeekHead goes to before the first entry.
func (f *File) SeekHead() error { return failed("seek head", C.tapio_seek_head(f.j)) }

// SeekLast goes to before the last entry.
func (f *File) SeekLast() error { return failed("seek tail", C.tapio_seek_tail(f.j)) }

// SeekTime goes to before the first entry that is not older, in microseconds since 1970.
func (f *File) SeekTime(usec uint64) error {
	return failed("seek time", C.tapio_seek_realtime(f.j, C.uint64_t(usec)))
}

// Seek goes to before the first entry whose sequence number is not smaller.
func (f *File) Seek(id ID, seqnum uint64) error {
	cursor := C.CString(fmt.Sprintf("s=%s;i=%x", id, seqnum))
	defer C.free(unsafe.Pointer(cursor))
	return failed("seek cursor", C.tapio_seek_cursor(f.j, cursor))
}

// Read reads the next entries, as many as maxEntries, fewer when they have maxBytes; none at the end. The batch is valid until
// the next call. After an error it is open what was read: Seek before reading on, or open the file anew.
func (f *File) Read(maxEntries, maxBytes int) (Batch, error) {
	var cursor *C.char
	n := C.tapio_read(f.j, &f.buffer, C.int(maxEntries), C.size_t(maxBytes), C.size_t(f.maxEntry), &cursor)
	if err := failed("read", n); err != nil || n == 0 {
		return Batch{}, err
	}
	defer C.free(unsafe.Pointer(cursor))
	at, err := ParseCursor(C.GoString(cursor))
	if err != nil {
		return Batch{}, err
	}
	return Batch{
		Count:  int(n),
		Last:   at.Seqnum,
		encode: unsafe.Slice((*byte)(unsafe.Pointer(f.buffer.data)), int(f.buffer.len)),
	}, nil
}

func failed(what string, r C.int) error {
	if r >= 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", what, syscall.Errno(-r))
}
