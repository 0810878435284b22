//go:build linux

package malloc

import (
	"encoding/binary"
	"runtime"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/unwind"
)

const maxFrames = 48

// scanned is how much of a stack is searched for a return address where nothing tells where it is.
const scanned = 4096

// how a stack was followed.
type followed int

const (
	byTables  followed = iota
	byGuess            // in part by searching the stack for return addresses
	truncated          // not to its end
)

// registers are numbers that DWARF gives to registers: the stack's, the frame's, and those that a function saves for its caller.
func registers() (sp, fp int, saved []int) {
	if runtime.GOARCH == "arm64" {
		return 31, 29, []int{19, 20, 21, 22, 23, 24, 25, 26, 27, 28}
	}
	return 7, 6, []int{3, 12, 13, 14, 15}
}

// unwind follows a sample's stack by the unwind tables of what it is in; where there are none by frame pointers, and where those are
// not kept either by the first return address on the stack that can be one.
func (w *watch) unwind(e *bpf.MallocSample) (stack []uint64, how followed) {
	s := unwind.State{PC: e.Caller}
	sp, fp, saved := registers()
	s.Set(sp, e.Sp)
	s.Set(fp, e.Bp)
	for i, reg := range saved {
		s.Set(reg, e.Saved[i])
	}
	m := unwind.Memory{At: e.Sp, Bytes: e.Stack[:min(e.StackBytes, uint64(len(e.Stack)))]}
	outer := e.Outer
	for len(stack) < maxFrames {
		if outer != 0 && w.modules.At(s.PC-1) == nil {
			s.PC, outer = outer, 0 // the kernel has put another in its place, to see the return
		}
		stack = append(stack, s.PC)
		at := s.PC - 1
		if w.modules.Ends(at) {
			return stack, how
		}
		if w.modules.Caller(&s, at, m) {
			continue
		}
		if w.modules.Covers(at) || !w.search(&s, at, m) {
			return stack, truncated
		}
		how = byGuess
	}
	return stack, truncated
}

// search goes to a caller without a table.
func (w *watch) search(s *unwind.State, at uint64, m unwind.Memory) bool {
	sp, fp, _ := registers()
	word := func(off uint64) uint64 { return binary.LittleEndian.Uint64(m.Bytes[off:]) }
	top := uint64(len(m.Bytes))
	frame := s.Regs[fp]
	known := s.Known>>fp&1 == 1 && frame >= s.Regs[sp]
	if off := frame - m.At; known && off < top && top-off >= 16 && w.modules.Calls(word(off+8), at) {
		next := unwind.State{PC: word(off + 8)}
		next.Set(fp, word(off))
		next.Set(sp, frame+16)
		*s = next
		return true
	}
	begin := s.Regs[sp] - m.At
	for off := begin; off < min(top, begin+scanned) && top-off >= 8; off += 8 {
		if ret := word(off); ret != 0 && w.modules.Calls(ret, at) {
			next := unwind.State{PC: ret}
			next.Set(sp, m.At+off+8)
			if known && frame > m.At+off {
				next.Set(fp, frame) // most functions save it, or leave it alone
			}
			*s = next
			return true
		}
	}
	return false
}
