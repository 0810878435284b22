//go:build linux

package golang

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// On a node that is a container itself the kernel knows a program by another number than the node: that is said, rather than that nothing was
// seen.
func TestInner(t *testing.T) {
	if os.Getenv("TAPIO_TEST_INNER") != "" {
		require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		require.NoError(t, unix.Mount("proc", process.Proc, "proc", 0, ""))
		p, err := process.Open(os.Getpid())
		require.NoError(t, err)
		g, err := Open(p)
		require.NoError(t, err)
		_, err = WatchHeap(t.Context(), g, time.Second, time.Second, 0.04)
		assert.ErrorIs(t, err, ErrInner)
		assert.NoError(t, g.Close())
		return
	}
	if os.Getuid() != 0 {
		t.Skip("this test makes a pid namespace with a procfs of its own, which takes root")
	}
	inner := exec.Command(os.Args[0], "-test.run=^TestInner$")
	inner.Env = append(os.Environ(), "TAPIO_TEST_INNER=1")
	inner.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	out, err := inner.CombinedOutput()
	assert.NoError(t, err, string(out))
}
