//go:build linux

package uprobe

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

const (
	// uretprobe is the system call by which a function returns that has a probe there, since 6.11; before, it was a breakpoint.
	uretprobe = 335
	// passesSince is the first kernel that lets it pass every filter (its commit cf6cb56ef244).
	passesSince = 6<<16 | 14<<8
)

// ReturnsPass says whether functions with a probe at their return do so without asking the program's seccomp filter. One that does not know
// that system call kills the program, or has the call fail, upon which the program crashes. Distributions have taken the system call, and
// the remedy, back to kernels of other numbers: the kernel is asked.
func ReturnsPass() (bool, error) {
	version, err := features.LinuxVersionCode()
	if err == nil && version >= passesSince {
		return true, nil
	}
	symbols, err := os.Open("/proc/kallsyms")
	if err != nil {
		return false, fmt.Errorf("look for the kernel's system call uretprobe: %w", err)
	}
	defer symbols.Close()
	if has, err := hasSymbol(symbols, "__x64_sys_uretprobe"); err != nil || !has {
		return err == nil, err
	}
	pass, err := passes(uretprobe)
	if err != nil {
		return false, fmt.Errorf("find out whether seccomp lets uretprobe pass: %w", err)
	}
	return pass, nil
}

// hasSymbol looks for a function of the kernel; an empty table is an error.
func hasSymbol(table io.Reader, name string) (bool, error) {
	lines, n := bufio.NewScanner(table), 0
	for ; lines.Scan(); n++ {
		if fields := bytes.Fields(lines.Bytes()); len(fields) > 2 && string(fields[2]) == name {
			return true, nil
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("read the kernel's symbols: %w", err)
	}
	if n == 0 {
		return false, errors.New("read the kernel's symbols: there are none")
	}
	return false, nil
}

// denied is what our filter answers: no system call that is tried does.
const denied = unix.EXFULL

// passes tries a system call behind a filter that denies it: in a copy of this program that is stopped before its first instruction, and ended.
func passes(call uint64) (bool, error) {
	runtime.LockOSThread() // who has started it traces it
	defer runtime.UnlockOSThread()
	p, err := os.StartProcess("/proc/self/exe", []string{"seccomp"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}})
	if err != nil {
		return false, fmt.Errorf("start a process: %w", err)
	}
	defer func() {
		_ = p.Kill()
		_, _ = p.Wait()
	}()
	t := traced{pid: p.Pid}
	if _, err := t.stopped(&t.regs); err != nil {
		return false, err
	}
	// It will run these: syscall; int3.
	if _, err := syscall.PtracePokeText(t.pid, uintptr(t.regs.Rip), []byte{0x0f, 0x05, 0xcc}); err != nil {
		return false, fmt.Errorf("write code: %w", err)
	}
	at := (t.regs.Rsp - 256) &^ 7
	if _, err := syscall.PtracePokeData(t.pid, uintptr(at), filter(at, uint32(call))); err != nil {
		return false, fmt.Errorf("write a filter: %w", err)
	}
	for _, args := range [][]uint64{{unix.PR_SET_NO_NEW_PRIVS, 1}, {unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, at}} {
		if result, signal, err := t.call(unix.SYS_PRCTL, args...); err != nil {
			return false, err
		} else if result != 0 || signal != syscall.SIGTRAP {
			return false, fmt.Errorf("set a filter: %w, %v", syscall.Errno(-result), signal)
		}
	}
	result, signal, err := t.call(call)
	return err == nil && !(signal == syscall.SIGTRAP && result == -int64(denied)), err
}

// filter is a struct sock_fprog for an address, and behind it what it points to.
func filter(at uint64, call uint32) []byte {
	instructions := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(denied)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(instructions)))
	b = binary.LittleEndian.AppendUint64(b, at+16)
	for _, in := range instructions {
		b = binary.LittleEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	return b
}

// traced is a process that stands before the instructions syscall and int3.
type traced struct {
	pid  int
	regs syscall.PtraceRegs
}

// call has it make a system call, and says by which signal that has ended: SIGTRAP is int3's.
func (t *traced) call(number uint64, args ...uint64) (result int64, signal syscall.Signal, err error) {
	regs := t.regs
	regs.Rax, regs.Orig_rax = number, ^uint64(0)
	registers := []*uint64{&regs.Rdi, &regs.Rsi, &regs.Rdx, &regs.R10, &regs.R8}
	for i, r := range registers {
		*r = 0
		if i < len(args) {
			*r = args[i]
		}
	}
	if err := errors.Join(syscall.PtraceSetRegs(t.pid, &regs), syscall.PtraceCont(t.pid, 0)); err != nil {
		return 0, 0, fmt.Errorf("have a process make a system call: %w", err)
	}
	signal, err = t.stopped(&regs)
	return int64(regs.Rax), signal, err
}

// stopped waits until it is, by which signal, and reads its registers.
func (t *traced) stopped(regs *syscall.PtraceRegs) (syscall.Signal, error) {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(t.pid, &status, 0, nil); err != nil {
		return 0, fmt.Errorf("wait for a process: %w", err)
	}
	if !status.Stopped() {
		return 0, fmt.Errorf("a process did not stop, with status %#x", status)
	}
	if err := syscall.PtraceGetRegs(t.pid, regs); err != nil {
		return 0, fmt.Errorf("read registers: %w", err)
	}
	return status.StopSignal(), nil
}
