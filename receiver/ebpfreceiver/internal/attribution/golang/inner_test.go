//go:build linux

package golang

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

var kept [][]byte

// On a node that is a container itself (kind, k3d) the kernel knows a program by another number than the node, and its containers by a third.
func TestInner(t *testing.T) {
	t.Parallel()
	again := func(as string, flags uintptr) *exec.Cmd {
		c := exec.Command(os.Args[0], "-test.run=^TestInner$")
		c.Env = append(os.Environ(), "TAPIO_TEST_INNER="+as)
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | flags, Pdeathsig: syscall.SIGKILL}
		return c
	}
	switch os.Getenv("TAPIO_TEST_INNER") {
	case "node":
		require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		require.NoError(t, unix.Mount("proc", process.Proc, "proc", 0, ""))
		require.False(t, process.Outermost())
		container := again("container", 0)
		require.NoError(t, container.Start())
		defer func() { _, _ = container.Process.Kill(), container.Wait() }()
		p, err := process.Open(container.Process.Pid)
		require.NoError(t, err)
		require.Equal(t, 1, p.InnerPID())
		g, err := Open(p)
		require.NoError(t, err)
		require.NoError(t, rlimit.RemoveMemlock())
		h, err := WatchHeap(t.Context(), g, 3*time.Second, time.Minute, 0.04)
		require.NoError(t, err)
		assert.Positive(t, h.Hits)
		assert.GreaterOrEqual(t, h.Collections, leastCollections)
		assert.NotEmpty(t, h.Held)
		assert.NoError(t, g.Close())
	case "container":
		for {
			kept = append(kept, make([]byte, 64<<10))
			time.Sleep(2 * time.Millisecond)
			if len(kept)%64 == 0 {
				runtime.GC()
			}
		}
	default:
		if os.Getuid() != 0 {
			t.Skip("this test makes a pid namespace with a procfs of its own, which takes root")
		}
		out, err := again("node", unix.CLONE_NEWNS).CombinedOutput()
		assert.NoError(t, err, string(out))
	}
}
