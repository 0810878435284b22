//go:build linux

package attribution

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkMemleak compares what is left of a C program's throughput while it is attributed with what is left under bcc's memleak, in
// turns, in a second of its CPU time: it does nothing but malloc and free, so that it shows what each call costs.
func BenchmarkMemleak(b *testing.B) {
	if os.Getenv("BCC_KERNEL_SOURCE") == "" {
		b.Skip("test/bench/memleak.sh runs this, with memleak and what that needs")
	}
	c := startCounting(b, "env", "LD_LIBRARY_PATH="+libcOfItsOwn(b), cleak.build(b), "count")
	time.Sleep(time.Second)
	const window = 10 * time.Second
	rate := func(look func()) float64 {
		n, cpu := c.done.Load(), c.cpu(b)
		look()
		return float64(c.done.Load()-n) / (c.cpu(b) - cpu)
	}
	rest := func() { time.Sleep(window) }
	var off, attributed, traced, sampled float64
	for b.Loop() {
		off += rate(rest)
		attributed += rate(func() {
			_, err := Run(b.Context(), []int{c.cmd.Process.Pid}, Options{Window: window, Duty: Duty})
			require.NoError(b, err)
		})
		stop := startMemleak(b, c.cmd.Process.Pid)
		traced += rate(rest)
		stop()
		stop = startMemleak(b, c.cmd.Process.Pid, "-s", "1000")
		sampled += rate(rest)
		stop()
	}
	b.ReportMetric(off/float64(b.N), "pairs/s-of-CPU")
	b.ReportMetric(attributed/off, "attributed/off")
	b.ReportMetric(traced/off, "memleak/off")
	b.ReportMetric(sampled/off, "memleak-s1000/off")
}

// libcOfItsOwn returns a folder with a copy of the C library. memleak asks for a counter of references, and the kernel has either all probes
// at one place with it or none: at the library of everybody memleak and others who attribute refuse each other.
func libcOfItsOwn(b *testing.B) string {
	b.Helper()
	path, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
	require.NoError(b, err)
	code, err := os.ReadFile(strings.TrimSpace(string(path)))
	require.NoError(b, err)
	folder := b.TempDir()
	require.NoError(b, os.WriteFile(folder+"/libc.so.6", code, 0o755))
	return folder
}

// startMemleak returns when it has reported for the first time: then all its probes are there.
func startMemleak(b *testing.B, pid int, args ...string) (stop func()) {
	b.Helper()
	cmd, err := memleak(pid, args)
	require.NoError(b, err)
	return func() {
		require.NoError(b, cmd.Process.Signal(syscall.SIGINT))
		_ = cmd.Wait()
	}
}

func memleak(pid int, args []string) (*exec.Cmd, error) {
	// bcc wants tracefs where it used to be.
	script := `mount -t debugfs debugfs /sys/kernel/debug && mount -t tracefs tracefs /sys/kernel/debug/tracing && exec memleak-bpfcc "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "memleak", "-p", strconv.Itoa(pid), "-T", "3"}, append(args, "1")...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() {
		var said []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Top 3 stacks") {
				ready <- nil
				_, _ = io.Copy(io.Discard, out)
				return
			}
			said = append(said, lines.Text())
		}
		ready <- fmt.Errorf("memleak does not run here:\n%s", strings.Join(said, "\n"))
	}()
	select {
	case err = <-ready:
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		err = fmt.Errorf("memleak has not reported within a minute: %w", <-ready)
	}
	if err != nil {
		return nil, errors.Join(err, cmd.Wait())
	}
	return cmd, nil
}
