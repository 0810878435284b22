//go:build !linux || !cgo

package sdjournal

import (
	"errors"
	"os"
)

var errUnavailable = errors.New("this program was built without cgo, which the journal needs: build it on Linux with CGO_ENABLED=1 and a C compiler")

// Load says that the journal cannot be read by this program.
func Load() error { return errUnavailable }

// File cannot be had in this program.
type File struct{}

// Open says that the journal cannot be read by this program.
func Open(*os.File, int) (*File, error) { return nil, errUnavailable }

// Close does nothing.
func (*File) Close() {}

// SeekHead fails.
func (*File) SeekHead() error { return errUnavailable }

// SeekLast fails.
func (*File) SeekLast() error { return errUnavailable }

// SeekTime fails.
func (*File) SeekTime(uint64) error { return errUnavailable }

// Seek fails.
func (*File) Seek(ID, uint64) error { return errUnavailable }

// Read fails.
func (*File) Read(int, int) (Batch, error) { return Batch{}, errUnavailable }
