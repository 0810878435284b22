//go:build linux

package attribution

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/malloc"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

const (
	// programsVariable names a folder with programs that are built, as in our virtual machines, where nothing can be.
	programsVariable = "TAPIO_TEST_PROGRAMS"
	// lookVariable makes this binary look at a process, and say what it has found.
	lookVariable = "TAPIO_TEST_LOOK"
)

// What takes 10 seconds here takes longer under a kernel that is emulated.
var patient = Options{Window: 10 * time.Second, Longest: time.Minute, Duty: Duty}

func TestRealC(t *testing.T) {
	t.Parallel()
	w := start(t, 30*megabyte, inCStatic.build(t), "malloc", "2000")
	p := w.lookFor(t, patient)
	holds(t, p, "malloc_keep ← work ← main")
	w.killed(t)
}

// Who is looked at lives on, also where a filter would kill it for a system call that it does not know itself to make.
func TestRealFiltered(t *testing.T) {
	t.Parallel()
	w := start(t, 200*megabyte, inCStatic.build(t), "malloc", "2000", "filter") // room for longer than any look takes
	p := w.lookFor(t, patient)
	filtered, err := (&process.Process{PID: p.PID}).Filtered()
	require.NoError(t, err, "it lives")
	assert.True(t, filtered)
	if !strings.Contains(p.Reason, malloc.ErrFiltered.Error()) {
		holds(t, p, "malloc_keep ← work ← main")
	}
	w.killed(t)
}

func TestRealGo(t *testing.T) {
	t.Parallel()
	w := start(t, 60*megabyte, goleak.build(t), "-every", "20ms")
	p := w.lookFor(t, patient)
	holds(t, p, "main.(*SessionCache).Put ← main.users")
	w.killed(t)
}

const nobody = 65534

// It takes CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, as no particular user, and CAP_DAC_READ_SEARCH where a program is not
// everybody's to read. Where one is missing the answer says which.
func TestRealPrivileges(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(inCStatic.build(t))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "native")
	require.NoError(t, os.WriteFile(path, b, 0o700))
	w := start(t, 100*megabyte, path, "malloc", "2000")
	all := []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH}
	names := []string{"CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}
	look := func(capabilities []uintptr) string {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), lookVariable+"="+strconv.Itoa(w.cmd.Process.Pid))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", w.cmd.Process.Pid))
		return string(b) == "native\n"
	}, time.Minute, 10*time.Millisecond)
	for i, name := range names {
		some := append(append([]uintptr{}, all[:i]...), all[i+1:]...)
		assert.Contains(t, look(some), "this process lacks "+name, name)
	}
	out := look(all)
	if level := paranoid(); level > 2 && strings.Contains(out, "kernel.perf_event_paranoid is ") { // Debian's 5.10
		require.NoError(t, os.WriteFile(fileParanoid, []byte("2"), 0))
		defer func() { assert.NoError(t, os.WriteFile(fileParanoid, []byte(strconv.Itoa(level)), 0)) }()
		out = look(all)
	}
	if strings.Contains(out, "let only CAP_SYS_ADMIN put probes") { // Debian's 6.1
		all = append(all, unix.CAP_SYS_ADMIN)
		out = look(all)
	}
	assert.Contains(t, out, "malloc_keep ← work ← main")
	assert.NotContains(t, out, "lacks")
}

// serveLook looks at a process where this binary is told to, as somebody who may do less, and ends.
func serveLook() {
	pid, err := strconv.Atoi(os.Getenv(lookVariable))
	if err != nil {
		return
	}
	r, err := Run(context.Background(), []int{pid}, Options{Window: 8 * time.Second, Longest: time.Minute, Duty: 0.2}) // it is about rights, not about cost
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	a := r.Answer()
	fmt.Println(strings.TrimSpace(a.Text + "\n" + a.Reason))
	os.Exit(0)
}
