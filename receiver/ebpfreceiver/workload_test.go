//go:build linux

package ebpfreceiver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/test/harness"
)

const workloadVariable = "TAPIO_TEST_WORKLOAD"

// workload is this test binary run again, in a cgroup of its own, doing as it is told.
func workload(t *testing.T, c *harness.Cgroup, words ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workloadVariable+"="+strings.Join(append([]string{c.Folder}, words...), " "), "GOGC=off", "GORACE=exitcode=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if words[0] == "wait" { // for nothing before it is where it belongs
		require.Eventually(t, func() bool {
			procs, _ := c.Read("cgroup.procs")
			return strings.Contains("\n"+procs+"\n", fmt.Sprintf("\n%d\n", cmd.Process.Pid))
		}, patience, poll)
	}
	return cmd
}

// serveWorkload is what this binary does, and all of it, where it is started as the workload of a test.
func serveWorkload() {
	words := strings.Fields(os.Getenv(workloadVariable))
	if len(words) == 0 {
		return
	}
	try := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
	if words[1] == "coverage" {
		try(printCoverage())
		os.Exit(0)
	}
	if err := os.WriteFile(filepath.Join(words[0], "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	switch words[1] {
	case "hold": // BYTES, and end
		n, err := strconv.Atoi(words[2])
		if err != nil {
			os.Exit(99)
		}
		b := make([]byte, n)
		for i := 0; i < n; i += 4096 {
			b[i] = 1
		}
		if b[n/2/4096*4096] != 1 {
			os.Exit(99)
		}
	case "exit": // CODE
		code, _ := strconv.Atoi(words[2])
		os.Exit(code)
	case "abort":
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		byDefault(unix.SIGABRT)
		_ = unix.Kill(os.Getpid(), unix.SIGABRT)
		time.Sleep(time.Hour)
	case "fault": // that Go's runtime does not catch
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		byDefault(unix.SIGSEGV)
		b, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			os.Exit(99)
		}
		b[0] = 1
	case "wild": // a read from where on x86 no address can be
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		byDefault(unix.SIGSEGV)
		address := uint64(0x4141414141414141)
		os.Exit(int(**(**byte)(unsafe.Pointer(&address))))
	case "children": // COUNT of them, each of which dies of a signal
		n, _ := strconv.Atoi(words[2])
		for range n {
			// Not os/exec, which forks once more to see what the kernel can do.
			pid, err := syscall.ForkExec("/proc/self/exe", os.Args[:1], &syscall.ProcAttr{Env: []string{workloadVariable + "=" + words[0] + " abort"}})
			if err != nil {
				os.Exit(99)
			}
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
	case "again": // in the cgroup FOLDER, with a number of a process that has ended
		try(endAgain(words[2]))
	case "spin": // for DURATION, two threads on one CPU
		var one unix.CPUSet
		one.Set(0)
		d, _ := time.ParseDuration(words[2])
		end := time.Now().Add(d)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				runtime.LockOSThread()
				_ = unix.SchedSetaffinity(0, &one)
				for time.Now().Before(end) {
				}
			})
		}
		both.Wait()
	case "cache": // BYTES written to FILE, and to the disk
		n, _ := strconv.Atoi(words[2])
		f, err := os.Create(words[3])
		if err != nil {
			os.Exit(99)
		}
		for b := make([]byte, 1<<20); n > 0; n -= len(b) {
			if _, err := f.Write(b); err != nil {
				os.Exit(99)
			}
		}
		if f.Sync() != nil {
			os.Exit(99)
		}
	case "grow": // by BYTES, and wait
		n, _ := strconv.Atoi(words[2])
		time.Sleep(3 * time.Second)
		for b := make([]byte, n); ; time.Sleep(10 * time.Millisecond) {
			for i := 0; i < n; i += 4096 {
				b[i]++
			}
		}
	case "network":
		try(useNetwork())
	case "localhost":
		try(tryLocalhost())
	case "refused": // by ADDRESS so many TIMES
		try(refuse(words[2], words[3]))
	case "listen": // in a way of KIND; FOLDER says when to go on
		try(listenFor(words[2], words[3]))
	case "connect": // to ADDRESS, to which there is no way, for DURATION
		try(connectInVain(words[2], words[3:]...))
	case "uninterruptible": // for DURATION
		try(waitUninterruptibly(words[2]))
	case "namespace": // of the network, of its own, and there WORD...
		try(ownNamespace())
		try(become(slices.Concat(words[:1], words[2:])...))
	case "netns": // of the process PID, and there WORD...
		try(enterNamespace(words[2]))
		try(become(slices.Concat(words[:1], words[3:])...))
	case "dns-server":
		try(serveDNS())
	case "dns-ask":
		try(askDNS())
	case "dns-flood": // with COUNT queries
		try(floodDNS(words[2]))
	case "resolve-go": // at SERVER the NAME
		try(resolveGo(words[2], words[3]))
	case "resolve-libc": // at SERVER the NAME
		try(resolveLibc(words[2], words[3]))
	case "exhaust": // in FOLDER, with the FOLDERS of its cgroups
		try(exhaust(words[2], strings.Split(words[3], ",")))
	case "keys": // more than its user may have
		try(addKeys())
	case "files": // of the whole machine
		try(openAll())
	case "wait": // to be killed
		time.Sleep(time.Hour)
	}
	os.Exit(0)
}

// byDefault undoes what Go's runtime does at a signal.
func byDefault(signal unix.Signal) {
	var action [4]uint64 // struct sigaction of the kernel, with SIG_DFL
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
		os.Exit(99)
	}
}
