//go:build linux

package ebpfreceiver

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/internal/attribution"
)

// machineVariable says that the machine is the test's own, as our virtual ones are: what all of it shares may be used up.
const machineVariable = "TAPIO_TEST_MACHINE"

// A user's quota, of keys: every kernel has it, while those of disks need tools and modules.
func TestRealQuota(t *testing.T) {
	c, _ := realCgroup(t, 256*mib)
	desk, _ := startWithDesk(t)
	failsFor(t, desk, workload(t, c, "keys").Process.Pid, attribution.Subject{Name: "c", Cgroup: "/" + c.Name}, []string{"add_key EDQUOT"})
}

// As many files are open as the machine may have (fs.file-max): who is not root can open none.
func TestRealFileTable(t *testing.T) {
	if os.Getenv(machineVariable) == "" {
		t.Skipf("this test uses up the files of the whole machine: test/vm/ebpf.sh runs it in one of its own, and sets %s", machineVariable)
	}
	c, _ := realCgroup(t, 256*mib)
	desk, _ := startWithDesk(t)
	const fileMax = "/proc/sys/fs/file-max"
	before, err := os.ReadFile(fileMax)
	require.NoError(t, err)
	var open uint64
	table, err := os.ReadFile("/proc/sys/fs/file-nr")
	require.NoError(t, err)
	_, err = fmt.Sscan(string(table), &open)
	require.NoError(t, err)
	w := workload(t, c, "files")
	t.Cleanup(func() { assert.NoError(t, os.WriteFile(fileMax, before, 0)) })
	require.NoError(t, os.WriteFile(fileMax, fmt.Append(nil, open+64), 0))
	failsFor(t, desk, w.Process.Pid, attribution.Subject{Name: "machine"}, []string{"openat ENFILE"})
}

// failsFor makes sure that these calls of a process, and no others, fail.
func failsFor(t *testing.T, desk attribution.Desk, pid int, who attribution.Subject, want []string) {
	t.Helper()
	require.Eventually(t, func() bool { // it has come so far
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return strings.Contains(string(b), fmt.Sprintf("\nUid:\t%d\t", nobody))
	}, patience, poll)
	a := ask(t, desk, attribution.Question{Kind: attribution.Errors, Window: 3 * time.Second, Subject: who})
	require.Equal(t, attribution.Done, a.State, a.Reason)
	t.Log(a.Text)
	var got []string
	for _, f := range a.Failures {
		if f.PID == pid {
			got = append(got, f.Syscall+" "+f.Error)
			assert.GreaterOrEqual(t, f.Count, uint64(2), "%+v", f)
		}
	}
	assert.ElementsMatch(t, want, got)
}

// addKeys goes beyond nobody's quota of keys, again and again.
func addKeys() error {
	if err := syscall.Setuid(nobody); err != nil {
		return err
	}
	for i := 0; ; i++ {
		_, err := unix.AddKey("user", fmt.Sprintf("tapio-%d", i), []byte("of a test"), unix.KEY_SPEC_PROCESS_KEYRING)
		if errors.Is(err, unix.EDQUOT) {
			time.Sleep(10 * time.Millisecond)
		} else if err != nil {
			return err
		}
	}
}

// openAll opens files until there may be no more, again and again.
func openAll() error {
	if err := syscall.Setuid(nobody); err != nil {
		return err
	}
	for {
		_, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			continue
		}
		if errors.Is(err, unix.EMFILE) { // the table is still large
			if err := unix.CloseRange(3, ^uint(0), 0); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, unix.ENFILE) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
