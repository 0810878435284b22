package bpf

import (
	"fmt"
	"unsafe"
)

// Event copies an event of the kernel; T is a type that bpf2go has made. It takes nanoseconds, where encoding/binary takes
// microseconds.
func Event[T any](raw []byte) (*T, error) {
	e := new(T)
	return e, EventInto(e, raw)
}

// EventInto is Event for those that are large, or many.
func EventInto[T any](e *T, raw []byte) error {
	b := unsafe.Slice((*byte)(unsafe.Pointer(e)), unsafe.Sizeof(*e))
	if len(raw) < len(b) {
		return fmt.Errorf("read an event of the kernel: %d bytes, want %d", len(raw), len(b))
	}
	copy(b, raw)
	return nil
}
