//go:build linux

// Package process reads a running process from outside: its memory, its mappings, and the files it has mapped, as it sees them.
//
// It only reads. What it takes is the right to trace the process (CAP_SYS_PTRACE for those of others).
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// Alive returns ErrGone when the process has ended.
func (p *Process) Alive() error {
	if _, started, err := p.stat(); err != nil || started != p.started {
		return ErrGone
	}
	return nil
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
