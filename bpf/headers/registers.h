// registers.h: the registers of a user program at a uprobe, by the calling conventions of C and of Go.
#ifndef TAPIO_REGISTERS_H
#define TAPIO_REGISTERS_H

#if defined(__TARGET_ARCH_x86)

// arch/x86/include/uapi/asm/ptrace.h
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#define C_ARG1(r) ((r)->di)
#define C_ARG2(r) ((r)->si)
#define C_ARG3(r) ((r)->dx)
#define C_ARG4(r) ((r)->cx)
#define C_RESULT(r) ((r)->ax)
// Go's ABIInternal since 1.17 (cmd/compile/abi-internal.md): AX, BX, CX, DI.
#define GO_ARG1(r) ((r)->ax)
#define GO_ARG2(r) ((r)->bx)
#define GO_ARG3(r) ((r)->cx)
#define GO_ARG4(r) ((r)->di)
// The goroutine that runs; on a system stack the thread's own.
#define GO_G(r) ((r)->r14)
#define PROGRAM_COUNTER(r) ((r)->ip)
#define STACK_POINTER(r) ((r)->sp)
#define FRAME_POINTER(r) ((r)->bp)
// Where a Go function keeps its arguments, behind the return address, by its frame pointer and by its caller's.
#define GO_ARGS(own, callers) ((own) + 16)

#elif defined(__TARGET_ARCH_arm64)

// arch/arm64/include/uapi/asm/ptrace.h
struct pt_regs {
	unsigned long regs[31];
	unsigned long sp, pc, pstate;
};

#define C_ARG1(r) ((r)->regs[0])
#define C_ARG2(r) ((r)->regs[1])
#define C_ARG3(r) ((r)->regs[2])
#define C_ARG4(r) ((r)->regs[3])
#define C_RESULT(r) ((r)->regs[0])
// Go's ABIInternal since 1.18: R0 to R15.
#define GO_ARG1(r) ((r)->regs[0])
#define GO_ARG2(r) ((r)->regs[1])
#define GO_ARG3(r) ((r)->regs[2])
#define GO_ARG4(r) ((r)->regs[3])
#define GO_G(r) ((r)->regs[28])
#define PROGRAM_COUNTER(r) ((r)->pc)
#define STACK_POINTER(r) ((r)->sp)
#define FRAME_POINTER(r) ((r)->regs[29])
#define GO_ARGS(own, callers) ((callers) + 16)

#endif

#endif
