//go:build linux

package attribution

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counting is a program that says on its standard output how far it has come, as numbers in lines.
type counting struct {
	cmd  *exec.Cmd
	done atomic.Int64
}

func startCounting(b *testing.B, path string, args ...string) *counting {
	b.Helper()
	c := &counting{cmd: exec.Command(path, args...)}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, c.cmd.Start())
	b.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.ParseInt(strings.TrimSpace(lines.Text()), 10, 64); err == nil {
				c.done.Store(n)
			}
		}
	}()
	return c
}

// cpu is the time that the program has used, in seconds (proc_pid_stat(5): utime and stime, in hundredths).
func (c *counting) cpu(b *testing.B) float64 {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	require.NoError(b, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	require.NoError(b, err)
	system, err := strconv.ParseFloat(fields[12], 64)
	require.NoError(b, err)
	return (user + system) / 100
}

// BenchmarkThroughput compares what programs get done in a second of CPU time while one of them is looked at to what they get done
// otherwise, in turns: the ratio of the attributed one, and that of another of the same program. CPU time, because these
// machines are busy with other things as well.
func BenchmarkThroughput(b *testing.B) {
	for _, c := range []struct {
		name string
		p    *program
		args []string
		env  string
	}{
		{"a Go program that does nothing but allocate", goleak, []string{"-leak", "count"}, ""},
		{"a C program that does nothing but malloc and free", cleak, []string{"count"}, ""},
		{"the same in 8 threads", cleak, []string{"count", "8"}, ""},
		{"the same with jemalloc", cleak, []string{"count"}, "LD_PRELOAD=" + jemalloc},
		{"the same on musl", cleakMusl, []string{"count"}, ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := c.p.build(b)
			args := c.args
			if c.env != "" {
				path, args = "env", append([]string{c.env, path}, args...)
			}
			of, other := startCounting(b, path, args...), startCounting(b, path, args...)
			time.Sleep(time.Second)
			const window = 10 * time.Second
			measure := func(look func()) (float64, float64) {
				n, m, nCPU, mCPU := of.done.Load(), other.done.Load(), of.cpu(b), other.cpu(b)
				look()
				return float64(of.done.Load()-n) / (of.cpu(b) - nCPU), float64(other.done.Load()-m) / (other.cpu(b) - mCPU)
			}
			var off, on, otherOff, otherOn float64
			for b.Loop() {
				n, m := measure(func() { time.Sleep(window) })
				off, otherOff = off+n, otherOff+m
				n, m = measure(func() {
					_, err := Run(b.Context(), []int{of.cmd.Process.Pid}, Options{Window: window, Duty: Duty})
					require.NoError(b, err)
				})
				on, otherOn = on+n, otherOn+m
			}
			b.ReportMetric(on/off, "attributed/off")
			b.ReportMetric(otherOn/otherOff, "other/off")
		})
	}
}
