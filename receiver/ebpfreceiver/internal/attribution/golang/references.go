//go:build linux

package golang

import (
	"debug/elf"
	"encoding/binary"

	"golang.org/x/arch/x86/x86asm"
)

// references are the addresses of data that a function's code names, in its order.
func references(code []byte, at uint64, machine elf.Machine) []uint64 {
	switch machine {
	case elf.EM_X86_64:
		return referencesAMD64(code, at)
	case elf.EM_AARCH64:
		return referencesARM64(code, at)
	}
	return nil
}

func referencesAMD64(code []byte, at uint64) (all []uint64) {
	for len(code) > 0 {
		in, err := x86asm.Decode(code, 64)
		if err != nil || in.Len == 0 {
			return all
		}
		at += uint64(in.Len)
		code = code[in.Len:]
		for _, a := range in.Args {
			if m, ok := a.(x86asm.Mem); ok && m.Base == x86asm.RIP {
				all = append(all, at+uint64(m.Disp))
			}
		}
	}
	return all
}

// referencesARM64 follows ADRP, which loads the address of a page, to the addition or the load that names a place in it.
func referencesARM64(code []byte, at uint64) (all []uint64) {
	var page [32]uint64
	for ; len(code) >= 4; code, at = code[4:], at+4 {
		in := binary.LittleEndian.Uint32(code)
		rd, rn := in&31, in>>5&31
		switch {
		case in&0x9f000000 == 0x90000000: // ADRP
			imm := int64(in>>5&0x7ffff)<<2 | int64(in>>29&3)
			page[rd] = at&^0xfff + uint64(imm<<43>>43)<<12
		case in&0xff800000 == 0x91000000 && page[rn] != 0: // ADD
			all = append(all, page[rn]+uint64(in>>10&0xfff)<<(12*(in>>22&1)))
		case in&0xffc00000 == 0xf9400000 && page[rn] != 0, in&0xffc00000 == 0xf9000000 && page[rn] != 0: // LDR, STR
			all = append(all, page[rn]+uint64(in>>10&0xfff)*8)
		}
	}
	return all
}

// call returns how far into a function's code it calls the one at target, for the first time.
func call(code []byte, at, target uint64, machine elf.Machine) (int, bool) {
	switch machine {
	case elf.EM_X86_64:
		for off := 0; off < len(code); {
			in, err := x86asm.Decode(code[off:], 64)
			if err != nil || in.Len == 0 {
				return 0, false
			}
			if rel, ok := in.Args[0].(x86asm.Rel); ok && in.Op == x86asm.CALL && at+uint64(off+in.Len)+uint64(int64(rel)) == target {
				return off, true
			}
			off += in.Len
		}
	case elf.EM_AARCH64:
		for off := 0; off+4 <= len(code); off += 4 {
			in := binary.LittleEndian.Uint32(code[off:])
			if in&0xfc000000 == 0x94000000 && at+uint64(off)+uint64(int64(int32(in<<6))>>4) == target { // BL
				return off, true
			}
		}
	}
	return 0, false
}
