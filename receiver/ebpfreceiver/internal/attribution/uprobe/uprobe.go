//go:build linux

package uprobe

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/arch/x86/x86asm"
	"golang.org/x/sys/unix"
)

// The registers in which arguments are passed, by convention.
var (
	C  = []x86asm.Reg{x86asm.RDI, x86asm.RSI, x86asm.RDX, x86asm.RCX}
	Go = []x86asm.Reg{x86asm.RAX, x86asm.RBX, x86asm.RCX, x86asm.RDI}
)

// File is a program or library that processes have mapped.
type File struct {
	f       *os.File
	ex      *link.Executable
	machine elf.Machine
}

// Open takes an open file; it stays the caller's.
func Open(f *os.File, machine elf.Machine) (*File, error) {
	// The very file, whichever mount namespace its path is of.
	ex, err := link.OpenExecutable(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("open %s for probes: %w", f.Name(), err)
	}
	return &File{f: f, ex: ex, machine: machine}, nil
}

// Stepped says whether the kernel single-steps the instruction that a probe at a function stands on.
func (f *File) Stepped(offset uint64, arguments []x86asm.Reg) bool {
	at, err := f.entry(offset, arguments)
	code := make([]byte, 16)
	if n, _ := f.f.ReadAt(code, int64(at)); err != nil || n == 0 || f.machine != elf.EM_X86_64 {
		return true
	}
	in, err := x86asm.Decode(code, 64)
	return err != nil || !isEmulated(in)
}

// Enter runs a program when the process enters the function at an offset of the file.
func (f *File) Enter(offset uint64, arguments []x86asm.Reg, program *ebpf.Program, pid int) (io.Closer, error) {
	at, err := f.entry(offset, arguments)
	if err != nil {
		return nil, err
	}
	return explained(f.ex.Uprobe("", program, &link.UprobeOptions{Address: at, PID: pid}))
}

// EnterEach is Enter for several functions at once; each has a cookie by which the program knows it.
func (f *File) EnterEach(offsets, cookies []uint64, arguments []x86asm.Reg, program *ebpf.Program, pid int) (io.Closer, error) {
	at := make([]uint64, len(offsets))
	for i, off := range offsets {
		var err error
		if at[i], err = f.entry(off, arguments); err != nil {
			return nil, err
		}
	}
	return explained(f.ex.UprobeMulti(nil, program, &link.UprobeMultiOptions{Addresses: at, Cookies: cookies, PID: uint32(pid)}))
}

func (f *File) entry(offset uint64, arguments []x86asm.Reg) (uint64, error) {
	code := make([]byte, 64)
	n, err := f.f.ReadAt(code, int64(offset))
	if n == 0 {
		return 0, fmt.Errorf("read code at %#x of %s: %w", offset, f.f.Name(), err)
	}
	return offset + uint64(place(code[:n], f.machine, arguments)), nil
}

// Return runs a program when the process returns from the function at an offset of the file. It changes the return address on
// the stack, which Go programs do not survive. It has to stand where Enter does: a program that is run behind it would see that.
func (f *File) Return(offset uint64, arguments []x86asm.Reg, program *ebpf.Program, pid int) (io.Closer, error) {
	at, err := f.entry(offset, arguments)
	if err != nil {
		return nil, err
	}
	return explained(f.ex.Uretprobe("", program, &link.UprobeOptions{Address: at, PID: pid}))
}

// ReturnEach is Return for several functions at once.
func (f *File) ReturnEach(offsets []uint64, arguments []x86asm.Reg, program *ebpf.Program, pid int) (io.Closer, error) {
	at := make([]uint64, len(offsets))
	for i, off := range offsets {
		var err error
		if at[i], err = f.entry(off, arguments); err != nil {
			return nil, err
		}
	}
	return explained(f.ex.UretprobeMulti(nil, program, &link.UprobeMultiOptions{Addresses: at, PID: uint32(pid)}))
}

// explained says why the kernel takes a probe for invalid where all is as it should be: probes at one place share a counter of references or
// none of them has one (kernel/events/uprobes.c: alloc_uprobe). bcc's tools, as Debian 12 has them, ask for one by mistake.
func explained(l link.Link, err error) (io.Closer, error) {
	switch {
	case errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("the kernel refuses it, as where another tracer has probes with a counter of references (then its log says ref_ctr_offset mismatch; "+
			"end memleak, or whichever of bcc's tools is running, and ask again): %w", err)
	case err != nil:
		return nil, err
	}
	return l, nil
}
