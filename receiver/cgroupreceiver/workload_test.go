package cgroupreceiver

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
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// workload is this test binary run again, in cgroups of its own, doing as it is told. See serveWorkload.
type workload struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

const workloadVariable = "TAPIO_TEST_WORKLOAD"

// startWorkload starts a workload and moves it into a cgroup before it does anything.
func startWorkload(t *testing.T, c cgroup) *workload {
	w := &workload{cmd: exec.Command(os.Args[0])}
	w.cmd.Env = append(os.Environ(), workloadVariable+"=1", "GOGC=off", "GOMAXPROCS=1", "GORACE=exitcode=0")
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	w.stdin, err = w.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := w.cmd.StdoutPipe()
	require.NoError(t, err)
	w.out = bufio.NewReader(out)
	require.NoError(t, w.cmd.Start())
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	c.enter(t, w.cmd.Process.Pid)
	return w
}

// do has the workload do something, and returns its answer.
func (w *workload) do(t *testing.T, command string, args ...any) string {
	t.Helper()
	require.NoError(t, w.tell(command, args...))
	answer, err := w.out.ReadString('\n')
	require.NoError(t, err, "the workload died of %s", command)
	answer = strings.TrimSpace(answer)
	require.NotContains(t, answer, "error", command)
	return answer
}

func (w *workload) tell(command string, args ...any) error {
	_, err := fmt.Fprintln(w.stdin, append([]any{command}, args...)...)
	return err
}

// dieOf has the workload do what it is killed for, and waits until it is.
func (w *workload) dieOf(t *testing.T, command string, args ...any) {
	t.Helper()
	require.NoError(t, w.tell(command, args...))
	_, err := w.out.ReadString('\n')
	require.ErrorIs(t, err, io.EOF, "the workload should have been killed")
	err = w.cmd.Wait()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL, "the workload ended with %v", err)
}

// serveWorkload is what this binary does, and all of it, where it is started as the workload of a test.
func serveWorkload() {
	if os.Getenv(workloadVariable) == "" {
		return
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := strings.Fields(in.Text())
		answer, err := obey(f[0], f[1:])
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Println(answer)
	}
	os.Exit(0)
}

var held [][]byte

func obey(command string, args []string) (string, error) {
	switch command {
	case "anon": // SIZE: hold it
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return "", err
		}
		b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return "", err
		}
		for i := 0; i < n; i += 4096 {
			b[i] = 1
		}
		held = append(held, b)
		return "ok", nil
	case "file", "direct": // FILE SIZE: write it, through the page cache or past it
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return "", err
		}
		flags := os.O_CREATE | os.O_WRONLY
		if command == "direct" {
			flags |= unix.O_DIRECT
		}
		f, err := os.OpenFile(args[0], flags, 0o600)
		if err != nil {
			return "", err
		}
		b := make([]byte, 2<<20)
		b = b[4096-uintptr(unsafe.Pointer(&b[0]))%4096:][:1<<20]
		for ; n > 0; n -= len(b) {
			if _, err := f.Write(b); err != nil {
				return "", errors.Join(err, f.Close())
			}
		}
		return "ok", errors.Join(f.Sync(), f.Close())
	case "spin": // DURATION of wall time; it answers with the CPU time it took, in seconds
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		before := cpuTime()
		for end := time.Now().Add(d); time.Now().Before(end); {
		}
		return strconv.FormatFloat(cpuTime()-before, 'f', 6, 64), nil
	}
	return "", fmt.Errorf("what is %s?", command)
}

func cpuTime() float64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
