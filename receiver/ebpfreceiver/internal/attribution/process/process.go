//go:build linux

// Package process reads a running process from outside: its memory, its mappings, and the files it has mapped, as it sees them.
//
// It only reads. What it takes is the right to trace the process (CAP_SYS_PTRACE for those of others).
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Proc is where procfs is mounted.
const Proc = "/proc"

// ErrGone says that the process has ended.
var ErrGone = errors.New("the process has ended")

// Process is one process, and no other that is given its number later.
type Process struct {
	PID  int
	Name string
	// started is when it was started, in ticks since the machine was (proc_pid_stat(5), field 22).
	started string
}

// Open finds a process.
func Open(pid int) (*Process, error) {
	p := &Process{PID: pid}
	var err error
	if p.Name, p.started, err = p.stat(); err != nil {
		return nil, fmt.Errorf("find process %d: %w", pid, err)
	}
	return p, nil
}

// Alive returns ErrGone when the process has ended, or is about to: one that is killed loses its memory before it has.
func (p *Process) Alive() error {
	if _, started, err := p.stat(); err != nil || started != p.started || p.killed() {
		return ErrGone
	}
	return nil
}

// killed says whether SIGKILL is on its way to it.
func (p *Process) killed() bool {
	for _, name := range []string{"SigPnd", "ShdPnd"} {
		if mask, err := strconv.ParseUint(p.status(name), 16, 64); err == nil && mask>>(unix.SIGKILL-1)&1 != 0 {
			return true
		}
	}
	return false
}

// CPU is how much CPU time all its threads have used (clock_getcpuclockid(3)).
func (p *Process) CPU() (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED: exact, not by the tick
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^p.PID<<3|scheduled), &at); err != nil {
		return 0, ErrGone
	}
	return time.Duration(at.Nano()), nil
}

// maxWaiting bounds of how many threads is read how long they waited.
const maxWaiting = 256

// Waited is for how long its threads have waited for a CPU, added up (proc_pid_schedstat: the second field); 0 where the kernel does not
// say.
func (p *Process) Waited() time.Duration {
	dir, err := os.Open(p.file("task"))
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxWaiting)
	var sum time.Duration
	for _, name := range names {
		b, _ := os.ReadFile(p.file("task", name, "schedstat"))
		if fields := bytes.Fields(b); len(fields) > 1 {
			n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}

func (p *Process) stat() (name, started string, err error) {
	b, err := os.ReadFile(p.file("stat"))
	if err != nil {
		return "", "", err
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return "", "", fmt.Errorf("%s: no name in parentheses", p.file("stat"))
	}
	// What follows the name begins with field 3.
	fields := bytes.Fields(b[end+1:])
	if len(fields) < 20 {
		return "", "", fmt.Errorf("%s: %d fields after the name, want 20 at least", p.file("stat"), len(fields))
	}
	if s := fields[0][0]; s == 'Z' || s == 'X' {
		return "", "", ErrGone
	}
	return strings.ToValidUTF8(string(b[open+1:end]), "?"), string(fields[19]), nil
}

func (p *Process) file(names ...string) string {
	return filepath.Join(append([]string{Proc, strconv.Itoa(p.PID)}, names...)...)
}

// initial is the number of the machine's own pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h).
const initial = 0xeffffffc

// Outermost says whether the kernel's programs know processes by the same numbers as we do. In a pid namespace inside the machine's, as on a
// node that is a container itself (kind, k3d), they do not.
func Outermost() bool {
	var st unix.Stat_t
	return unix.Stat(filepath.Join(Proc, "self", "ns", "pid"), &st) != nil || st.Ino == initial
}

// Alone says whether only the processes of our own container are to be seen: as in a pod without hostPID. On a node, whichever it is, the first
// process is in another cgroup.
func Alone() bool {
	if Outermost() {
		return false
	}
	first, err := os.ReadFile(filepath.Join(Proc, "1", "cgroup"))
	own, errOwn := os.ReadFile(filepath.Join(Proc, "self", "cgroup"))
	return err == nil && errOwn == nil && bytes.Equal(first, own)
}

// InnerPID is the number it goes by in its own pid namespace: in its container.
func (p *Process) InnerPID() int {
	all := strings.Fields(p.status("NSpid"))
	if len(all) == 0 {
		return p.PID
	}
	pid, err := strconv.Atoi(all[len(all)-1])
	if err != nil {
		return p.PID
	}
	return pid
}

// Catches says whether it has a handler for a signal.
func (p *Process) Catches(signal int) bool {
	mask, err := strconv.ParseUint(p.status("SigCgt"), 16, 64)
	return err == nil && mask>>(signal-1)&1 != 0
}

// status is a field of proc_pid_status(5); empty when there is none.
func (p *Process) status(name string) string {
	b, err := os.ReadFile(p.file("status"))
	if err != nil {
		return ""
	}
	return field(b, name)
}

func field(status []byte, name string) string {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	return strings.TrimSpace(string(line))
}

// maxArgs bounds what is read of a command line, in bytes.
const maxArgs = 64 << 10

// Args is its command line, or the beginning of a long one; empty when it cannot be read.
func (p *Process) Args() []string {
	f, err := os.Open(p.file("cmdline"))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxArgs))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

// HasBeside says whether there is such a program in the folder of its own, as it sees it.
func (p *Process) HasBeside(name string) bool {
	exe, err := os.Readlink(p.file("exe"))
	if err != nil {
		return false
	}
	fd, err := p.inRoot(filepath.Join(filepath.Dir(exe), name))
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}
