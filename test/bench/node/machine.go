//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine is a node: containers, in cgroups of the shape that a kubelet makes, with processes in them.
type machine struct {
	crowd  string // the program that its processes are, see crowd/crowd.c
	of     int    // containers
	every  int    // seconds from one thing that a process does to the next
	wander bool
	top    string // name of the cgroup that all others are in
	dns    net.PacketConn
	pods   []*pod
}

// hierarchies are those of cgroup v1 in which a kubelet makes each container a cgroup.
var hierarchies = []string{"memory", "cpu", "cpuacct", "pids", "blkio"}

const mount = "/sys/fs/cgroup"

// newMachine fills a node with containers, and spreads processes over them.
func newMachine(crowd string, containers, processes, every int, wander bool) (*machine, error) {
	if _, err := os.Stat(filepath.Join(mount, "memory", "cgroup.procs")); err != nil {
		return nil, fmt.Errorf("this node is made of cgroups v1: %w", err)
	}
	m := &machine{crowd: crowd, of: containers, every: every, wander: wander, top: fmt.Sprintf("tapio-bench-%d", os.Getpid())}
	var err error
	if m.dns, err = net.ListenPacket("udp", "127.0.0.53:53"); err != nil {
		return nil, fmt.Errorf("answer DNS: %w", err)
	}
	go answer(m.dns)
	for i := range containers {
		p, err := m.start(i, processes/containers)
		if err != nil {
			return nil, errors.Join(err, m.stop())
		}
		m.pods = append(m.pods, p)
	}
	if err := m.full(processes / containers); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// full waits until all containers have their processes.
func (m *machine) full(processes int) error {
	deadline := time.Now().Add(time.Minute)
	for i, p := range m.pods {
		for {
			b, err := os.ReadFile(filepath.Join(p.folders[0], "cgroup.procs"))
			if err != nil {
				return fmt.Errorf("count processes: %w", err)
			}
			n := strings.Count(string(b), "\n")
			if n >= processes {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("container %d has %d processes, want %d", i, n, processes)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// answer answers queries for names: each other one that there is no such name.
func answer(c net.PacketConn) {
	b := make([]byte, 512)
	for i := byte(0); ; i++ {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if n >= 12 {
			b[2], b[3] = b[2]|0x80, 0x80|3*(i&1)
			_, _ = c.WriteTo(b[:n], from)
		}
	}
}

// pod is one with one container.
type pod struct {
	first   *exec.Cmd
	folders []string // of the pod, and in it of the container, in all hierarchies
}

// start starts a container; i is its address.
func (m *machine) start(i, processes int) (*pod, error) {
	uid := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rand.Uint32(), rand.N(1<<16), rand.N(1<<12), rand.N(1<<12), rand.N(1<<48))
	id := fmt.Sprintf("%016x%016x%016x%016x", rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64())
	p, enter := &pod{}, []string{}
	for _, h := range hierarchies {
		pod := filepath.Join(mount, h, m.top, "kubepods", "burstable", "pod"+uid)
		container := filepath.Join(pod, id)
		p.folders = append(p.folders, container, pod)
		if err := os.MkdirAll(container, 0o755); err != nil {
			return p, errors.Join(fmt.Errorf("make a container: %w", err), p.stop())
		}
		enter = append(enter, filepath.Join(container, "cgroup.procs"))
	}
	args := []string{"-c", `for f in $1; do echo $$ > $f || exit; done; shift; exec "$@"`, "container", strings.Join(enter, " "), m.crowd,
		strconv.Itoa(processes), strconv.Itoa(i), strconv.Itoa(m.of), strconv.Itoa(m.every)}
	if m.wander {
		args = append(args, "wander")
	}
	p.first = exec.Command("/bin/sh", args...)
	p.first.Stderr = os.Stderr
	p.first.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.first.Start(); err != nil {
		return p, errors.Join(fmt.Errorf("start a container: %w", err), p.stop())
	}
	return p, nil
}

func (p *pod) stop() error {
	if p.first != nil && p.first.Process != nil {
		_ = p.first.Process.Kill()
		_ = p.first.Wait()
	}
	var errs []error
	for _, folder := range p.folders {
		errs = append(errs, remove(folder))
	}
	return errors.Join(errs...)
}

// remove removes a cgroup; its processes may need a moment to be gone.
func remove(folder string) (err error) {
	for range 100 {
		if err = os.Remove(folder); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("remove a cgroup: %w", err)
}

func (m *machine) stop() error {
	errs := []error{m.dns.Close()}
	for _, p := range slices.Backward(m.pods) {
		errs = append(errs, p.stop())
	}
	for _, h := range hierarchies {
		for _, above := range []string{"kubepods/burstable", "kubepods", ""} {
			errs = append(errs, remove(filepath.Join(mount, h, m.top, above)))
		}
	}
	return errors.Join(errs...)
}

// churn starts a container every two seconds that lives for ten, until the channel is closed.
func (m *machine) churn(done <-chan struct{}) error {
	var young []*pod
	var errs []error
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-done:
			for _, p := range young {
				errs = append(errs, p.stop())
			}
			return errors.Join(errs...)
		case <-tick.C:
		}
		p, err := m.start(m.of+i%60000, 4)
		if err != nil {
			return err
		}
		if young = append(young, p); len(young) > 5 {
			if err := young[0].stop(); err != nil {
				return err
			}
			young = young[1:]
		}
	}
}
