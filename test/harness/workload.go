//go:build linux

package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Workload is a process of our own in a cgroup.
type Workload struct {
	cmd   *exec.Cmd
	ended chan struct{}
	at    time.Time
	err   error
	said  bytes.Buffer
}

// StartWorkload starts test/workload in a cgroup, with its arguments.
func StartWorkload(bin string, c *Cgroup, args ...string) (*Workload, error) {
	w := &Workload{ended: make(chan struct{})}
	w.cmd = exec.Command(filepath.Join(bin, "workload"), append([]string{"-cgroup", strings.Join(c.Folders(), ",")}, args...)...)
	w.cmd.Stderr = &w.said
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the workload: %w", err)
	}
	go func() {
		w.err = w.cmd.Wait()
		w.at = time.Now()
		close(w.ended)
	}()
	return w, nil
}

// Ended is closed when the process has ended.
func (w *Workload) Ended() <-chan struct{} { return w.ended }

// Killed says when the process was ended by SIGKILL; false when it ended otherwise, or has not. Call it after Ended.
func (w *Workload) Killed() (time.Time, bool) {
	var exit *exec.ExitError
	if !errors.As(w.err, &exit) {
		return w.at, false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return w.at, ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Said is what the process wrote to its standard error. Call it after Ended.
func (w *Workload) Said() string { return w.said.String() }

// Stop ends the process.
func (w *Workload) Stop() {
	_ = w.cmd.Process.Kill()
	<-w.ended
}
