//go:build linux

// Package uprobe puts programs at functions of a process, and of no other.
package uprobe

import (
	"debug/elf"

	"golang.org/x/arch/x86/x86asm"
)

// place returns how far into a function its probe goes. The kernel runs most instructions that a probe stands on by itself, one
// step at a time, at ten times the price of those few that it emulates: calls, jumps, pushes and no-ops
// (arch/x86/kernel/uprobes.c). The first of these is taken that the function always reaches with the stack and its arguments as
// they were passed; where there is none, its beginning.
func place(code []byte, machine elf.Machine, arguments []x86asm.Reg) int {
	if machine != elf.EM_X86_64 {
		return 0
	}
	for at := 0; at < len(code); {
		in, err := x86asm.Decode(code[at:], 64)
		if err != nil {
			return 0
		}
		switch {
		case isEmulated(in):
			return at
		case !isHarmless(in, arguments):
			return 0
		}
		at += in.Len
	}
	return 0
}

func isEmulated(in x86asm.Inst) bool {
	switch in.Op {
	case x86asm.PUSH:
		_, ok := in.Args[0].(x86asm.Reg)
		return ok
	case x86asm.NOP:
		return in.Len == 1
	case x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE,
		x86asm.JNE, x86asm.JNO, x86asm.JNP, x86asm.JNS, x86asm.JO, x86asm.JP, x86asm.JS:
		return true
	}
	return false
}

// isHarmless says that an instruction neither jumps, nor moves the stack, nor changes an argument.
func isHarmless(in x86asm.Inst, arguments []x86asm.Reg) bool {
	switch in.Op {
	case x86asm.CMP, x86asm.TEST, x86asm.NOP:
		return true
	case x86asm.MOV, x86asm.LEA, x86asm.MOVZX, x86asm.XOR:
		to, ok := in.Args[0].(x86asm.Reg)
		if !ok {
			return false
		}
		// Whatever its width.
		n, ok := number(to)
		if !ok || n == 4 {
			return false
		}
		for _, a := range arguments {
			if of, _ := number(a); of == n {
				return false
			}
		}
		return true
	}
	return false
}

// number is a general register's, of any width.
func number(r x86asm.Reg) (int, bool) {
	switch {
	case r >= x86asm.RAX && r <= x86asm.R15:
		return int(r - x86asm.RAX), true
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return int(r - x86asm.EAX), true
	}
	return 0, false
}
