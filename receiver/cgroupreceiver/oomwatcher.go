package cgroupreceiver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// oomWatcher is told by cgroup v1 when a cgroup runs out of memory: an eventfd for each, registered in
// cgroup.event_control (Documentation/admin-guide/cgroup-v1/memory.rst, section 10).
type oomWatcher struct {
	events chan string

	epoll  int
	stop   int // eventfd that ends the loop
	done   chan struct{}
	mu     sync.Mutex
	byFD   map[int32]string
	byName map[string]int
}

func newOOMWatcher() (*oomWatcher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	w := &oomWatcher{events: make(chan string, 64), epoll: epoll, stop: stop, done: make(chan struct{}),
		byFD: map[int32]string{}, byName: map[string]int{}}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(stop)}); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll_ctl: %w", err), unix.Close(epoll), unix.Close(stop))
	}
	go w.run()
	return w, nil
}

// add asks the kernel to tell when a cgroup runs out of memory.
func (w *oomWatcher) add(cgroup, folder string) error {
	control, err := os.OpenFile(folder+"/memory.oom_control", os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }() // the kernel keeps what it needs
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if err := os.WriteFile(folder+"/cgroup.event_control", fmt.Appendf(nil, "%d %d", fd, control.Fd()), 0); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byFD[int32(fd)], w.byName[cgroup] = cgroup, fd
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		delete(w.byFD, int32(fd))
		delete(w.byName, cgroup)
		return errors.Join(fmt.Errorf("epoll_ctl: %w", err), unix.Close(fd))
	}
	return nil
}

// remove stops watching a cgroup.
func (w *oomWatcher) remove(cgroup string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fd, ok := w.byName[cgroup]; ok {
		delete(w.byFD, int32(fd))
		delete(w.byName, cgroup)
		_ = unix.Close(fd)
	}
}

func (w *oomWatcher) run() {
	defer close(w.done)
	ready := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, ready, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		for _, e := range ready[:n] {
			if int(e.Fd) == w.stop {
				return
			}
			w.mu.Lock()
			cgroup, ok := w.byFD[e.Fd]
			if ok {
				var count [8]byte
				_, _ = unix.Read(int(e.Fd), count[:]) // or it stays ready
			}
			w.mu.Unlock()
			if !ok {
				continue
			}
			select {
			case w.events <- cgroup:
			default: // the reader is behind; its next scan sees the kill
			}
		}
	}
}

func (w *oomWatcher) close() error {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, err := unix.Write(w.stop, one)
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fd := range w.byName {
		_ = unix.Close(fd)
	}
	return errors.Join(err, unix.Close(w.stop), unix.Close(w.epoll))
}
