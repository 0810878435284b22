//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	leak "github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// A look that does not come back holds up nobody else; and there are few such at most.
func TestALookIsHeld(t *testing.T) {
	p := &probes{held: map[string]bool{}}
	var looks atomic.Int32
	release := make(chan struct{})
	held := func() (*leak.Report, error) {
		looks.Add(1)
		<-release
		return nil, errors.New("it was late")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want := new(leak.Report)
	returns := func() (*leak.Report, error) { return want, nil }
	for i := range maxHeld {
		got, err := p.unlessHeld(ctx, "/other", time.Minute, returns) // it is asked to end, and does
		require.NoError(t, err)
		assert.Same(t, want, got)

		cgroup := fmt.Sprintf("/c%d", i)
		_, err = p.unlessHeld(ctx, cgroup, time.Millisecond, held)
		require.ErrorIs(t, err, errHeld)
		_, err = p.unlessHeld(t.Context(), cgroup, time.Minute, held)
		require.ErrorContains(t, err, "has not come back")
	}
	_, err := p.unlessHeld(t.Context(), "/other", time.Minute, returns)
	require.ErrorContains(t, err, "has not come back", "there are as many as may be")
	assert.EqualValues(t, maxHeld, looks.Load())
	close(release)
	require.Eventually(t, func() bool {
		_, err := p.unlessHeld(t.Context(), "/c0", time.Minute, returns)
		return err == nil
	}, patience, poll)
	require.Eventually(t, p.released, patience, poll)
}

// released says that nobody looks any more.
func (p *probes) released() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held) == 0
}

// A program may hold who reads its memory as long as it likes: by memory of which it says itself what is in there (userfaultfd(2)), as virtual
// machines have it that are moved.
func TestAProgramHoldsWhoReadsIt(t *testing.T) {
	const api, apiVersion, register, missing, size = 0xc018aa3f, 0xaa, 0xc020aa00, 1, 1 << 20 // include/uapi/linux/userfaultfd.h
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		t.Skipf("this kernel has no userfaultfd, or not for this user: %v", errno)
	}
	release := sync.OnceFunc(func() { require.NoError(t, unix.Close(int(fd))) })
	defer release()
	asked := [3]uint64{apiVersion}
	_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, api, uintptr(unsafe.Pointer(&asked)))
	require.Zero(t, errno)
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(memory)) }()
	at := uint64(uintptr(unsafe.Pointer(&memory[0])))
	of := [4]uint64{at, size, missing}
	_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, register, uintptr(unsafe.Pointer(&of)))
	require.Zero(t, errno)
	self, err := process.Open(os.Getpid())
	require.NoError(t, err)

	p := &probes{held: map[string]bool{}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = p.unlessHeld(ctx, "/c", 100*time.Millisecond, func() (*leak.Report, error) {
		_, err := self.Uint64(at)
		return nil, err
	})
	require.ErrorIs(t, err, errHeld)
	assert.False(t, p.released())
	release()
	require.Eventually(t, p.released, patience, poll)
}
