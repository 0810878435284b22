//go:build linux

package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxVector is how many ranges one call takes (IOV_MAX).
const maxVector = 1024

// ReadAt reads memory at an address. It implements io.ReaderAt, for addresses up to 1<<63.
func (p *Process) ReadAt(b []byte, addr int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := unix.ProcessVMReadv(p.PID, []unix.Iovec{iovec(b)}, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return 0, ErrGone
	case err != nil:
		return 0, fmt.Errorf("read memory of process %d at %#x: %w", p.PID, addr, err)
	case n < len(b):
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// Uint64 reads a word.
func (p *Process) Uint64(addr uint64) (uint64, error) {
	var b [8]byte
	_, err := p.ReadAt(b[:], int64(addr))
	return binary.LittleEndian.Uint64(b[:]), err
}

// ReadEach reads size bytes at each address into b, which is that many times as long, and calls each for those that can be read.
func (p *Process) ReadEach(addrs []uint64, size int, b []byte, each func(i int, b []byte)) error {
	for first := 0; first < len(addrs); {
		n := min(len(addrs)-first, maxVector)
		local := []unix.Iovec{iovec(b[first*size : (first+n)*size])}
		remote := make([]unix.RemoteIovec, n)
		for i := range remote {
			remote[i] = unix.RemoteIovec{Base: uintptr(addrs[first+i]), Len: size}
		}
		got, err := unix.ProcessVMReadv(p.PID, local, remote, 0)
		if errors.Is(err, unix.ESRCH) {
			return ErrGone
		}
		if err != nil && !errors.Is(err, unix.EFAULT) {
			return fmt.Errorf("read memory of process %d: %w", p.PID, err)
		}
		whole := max(got, 0) / size
		for i := range whole {
			each(first+i, b[(first+i)*size:(first+i+1)*size])
		}
		if whole < n {
			whole++ // this one cannot be read
		}
		first += whole
	}
	return nil
}

// present says in an entry of pagemap that the page is in memory, swapped that it is in swap.
const (
	present = 1 << 63
	swapped = 1 << 62
)

// Resident is how much memory there is behind addresses from start to end, in bytes; 0 where that is not known.
func (p *Process) Resident(start, end uint64) (bytes uint64) {
	f, err := os.Open(p.file("pagemap"))
	if err != nil {
		return 0
	}
	defer f.Close()
	size, b := uint64(os.Getpagesize()), make([]byte, 8*maxVector)
	for at, last := start/size, (end+size-1)/size; at < last; at += maxVector {
		n, _ := f.ReadAt(b[:8*min(maxVector, last-at)], int64(8*at))
		for ; n >= 8; n -= 8 {
			if binary.LittleEndian.Uint64(b[n-8:])&(present|swapped) != 0 {
				bytes += size
			}
		}
	}
	return bytes
}

func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return v
}
