//go:build linux

package ebpfreceiver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// What a listener discards is a connection that it dropped only where its queue was full.
func TestRealListenDrops(t *testing.T) {
	m := startMetrics(t, createDefaultConfig().(*Config))
	for _, c := range []struct {
		name, kind string
		want       map[string]int64
	}{
		{"a full queue", "full", map[string]int64{"listen_drops": 20, "connects connected": 1, "connects cancelled": 20}},
		{"two on one port", "both", map[string]int64{"listen_drops": 40, "connects connected": 2, "connects cancelled": 40}},
		{"MPTCP, as Go's listeners have it", "mptcp", map[string]int64{"listen_drops": 20, "connects connected": 1, "connects cancelled": 20}},
		{"a client of MPTCP", "mptcp-client", map[string]int64{"listen_drops": 0, "connects connected": 20}},
		{"closed before anybody looked", "closed", map[string]int64{"listen_drops": 20, "connects connected": 1, "connects cancelled": 20}},
		{"handshakes that are deferred", "deferred", map[string]int64{"listen_drops": 0, "connects connected": 20}},
		{"half-open probes", "probed", map[string]int64{"listen_drops": 0}},
		{"resets of who listens no more", "reset", map[string]int64{"listen_drops": 0, "resets transmit": 20, "resets receive": 20, "connects refused": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP); err == nil {
				unix.Close(fd)
			} else if c.kind == "mptcp" || c.kind == "mptcp-client" {
				t.Skipf("this kernel has no MPTCP: %v", err)
			}
			g, _ := realCgroup(t, 256*mib)
			folder := t.TempDir()
			workload(t, g, "namespace", "listen", c.kind, folder)
			has := func(file string) func() bool {
				return func() bool { _, err := os.Stat(filepath.Join(folder, file)); return err == nil }
			}
			require.Eventually(t, has("listens"), patience, poll)
			time.Sleep(rewalk) // the cgroup is found by the next walk through all
			m.of(t, "/"+g.Name)
			require.NoError(t, os.WriteFile(filepath.Join(folder, "go"), nil, 0o600))
			require.Eventually(t, has("done"), patience, poll)
			got := m.of(t, "/"+g.Name)
			for name, n := range c.want {
				assert.Equal(t, n, got["container.network.tcp."+name], "%s of %v", name, got)
			}
			assert.Equal(t, got["container.network.tcp.listen_drops"], m.of(t, "/"+g.Name)["container.network.tcp.listen_drops"], "they are counted once")
		})
	}
}

// On a node that is a container itself (kind, k3d) the kernel knows processes by other numbers than the node.
func TestRealListenDropsInside(t *testing.T) {
	const variable = "TAPIO_TEST_INNER"
	if os.Getenv(variable) != "" {
		require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		require.NoError(t, unix.Mount("proc", "/proc", "proc", 0, ""))
		require.False(t, process.Outermost())
		TestRealListenDrops(t)
		return
	}
	realCgroup(t, 256*mib) // or it cannot run
	inner := exec.Command(os.Args[0], "-test.run=^TestRealListenDropsInside$/^a_full_queue$", "-test.v")
	inner.Env = append(os.Environ(), variable+"=1")
	inner.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := inner.CombinedOutput()
	assert.NoError(t, err, string(out))
	assert.Contains(t, string(out), "--- PASS: TestRealListenDropsInside/a_full_queue")
}

// listenFor has listeners of a kind where it has a network namespace to itself, and when FOLDER has a file "go", has them discard something.
func listenFor(kind, folder string) error {
	const times = 20
	v4, v6 := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 7001}, &unix.SockaddrInet6{Addr: [16]byte{15: 1}, Port: 7001}
	socket := func(to unix.Sockaddr, protocol, flags int) (int, error) {
		family := unix.AF_INET
		if to == unix.Sockaddr(v6) {
			family = unix.AF_INET6
		}
		return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, protocol)
	}
	listen := func(at unix.Sockaddr, protocol, backlog int) (int, error) {
		fd, err := socket(at, protocol, 0)
		if err != nil {
			return 0, err
		}
		return fd, errors.Join(unix.Bind(fd, at), unix.Listen(fd, backlog))
	}
	connect := func(to unix.Sockaddr, protocol int) (int, error) {
		fd, err := socket(to, protocol, 0)
		if err != nil {
			return 0, err
		}
		return fd, unix.Connect(fd, to)
	}
	// overflow fills the queue, and has SYNs come that find no room: each is sent once.
	overflow := func(to unix.Sockaddr) error {
		if _, err := connect(to, 0); err != nil {
			return err
		}
		for range times {
			fd, err := socket(to, 0, unix.SOCK_NONBLOCK)
			if err != nil {
				return err
			}
			if err := unix.Connect(fd, to); !errors.Is(err, unix.EINPROGRESS) {
				return fmt.Errorf("want no answer yet, got %v", err)
			}
			if err := unix.Close(fd); err != nil {
				return err
			}
		}
		return nil
	}
	listeners := map[unix.Sockaddr]int{v4: 0}
	protocol, backlog := 0, 0
	act := func() error { return overflow(v4) }
	switch kind {
	case "both":
		listeners[v6] = 0
		act = func() error { return errors.Join(overflow(v4), overflow(v6)) }
	case "mptcp":
		protocol = unix.IPPROTO_MPTCP
	case "closed":
		act = func() error { return errors.Join(overflow(v4), unix.Close(listeners[v4])) }
	case "mptcp-client", "deferred":
		backlog = times
		act = func() error {
			for range times {
				client := 0
				if kind == "mptcp-client" {
					client = unix.IPPROTO_MPTCP
				} else if err := unix.SetsockoptInt(listeners[v4], unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 5); err != nil {
					return err
				}
				fd, err := connect(v4, client)
				if err != nil {
					return err
				}
				if _, err := unix.Write(fd, []byte("hello")); err != nil {
					return err
				}
				accepted, _, err := unix.Accept(listeners[v4])
				if err := errors.Join(err, unix.Close(accepted), unix.Close(fd)); err != nil {
					return err
				}
			}
			return nil
		}
	case "reset":
		backlog = times
		act = func() error {
			var accepted []int
			for range times {
				_, errConnect := connect(v4, 0)
				fd, _, err := unix.Accept(listeners[v4])
				if err := errors.Join(errConnect, err); err != nil {
					return err
				}
				accepted = append(accepted, fd)
			}
			if err := unix.Close(listeners[v4]); err != nil {
				return err
			}
			if _, err := connect(v4, 0); !errors.Is(err, unix.ECONNREFUSED) { // also a reset, of no socket
				return fmt.Errorf("want a refusal, got %v", err)
			}
			for _, fd := range accepted {
				if err := errors.Join(unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}), unix.Close(fd)); err != nil {
					return err
				}
			}
			return nil
		}
	case "probed":
		backlog = times
		act = func() error { return probe(v4, times) }
	}
	for at := range listeners {
		fd, err := listen(at, protocol, backlog)
		if err != nil {
			return err
		}
		listeners[at] = fd
	}
	if err := os.WriteFile(filepath.Join(folder, "listens"), nil, 0o600); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go")); err == nil {
			break
		}
		time.Sleep(poll)
	}
	if err := act(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "done"), nil, 0o600); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}

// probe looks whether somebody listens, without a connection: the kernel knows nothing of the SYN, and resets what it is answered.
func probe(at *unix.SockaddrInet4, times int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for i := range times {
		syn := make([]byte, 20)
		binary.BigEndian.PutUint16(syn, uint16(50000+i))
		binary.BigEndian.PutUint16(syn[2:], uint16(at.Port))
		syn[12], syn[13] = 5<<4, 1<<1 // words of a header, SYN
		binary.BigEndian.PutUint16(syn[14:], 1024)
		// The checksum is of a header with addresses, protocol and length as well (RFC 9293, section 3.1).
		sum := uint32(unix.IPPROTO_TCP + len(syn))
		for _, b := range [][]byte{at.Addr[:], at.Addr[:], syn} {
			for ; len(b) > 0; b = b[2:] {
				sum += uint32(binary.BigEndian.Uint16(b))
			}
		}
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(syn[16:], ^uint16(sum+sum>>16))
		if err := unix.Sendto(fd, syn, 0, &unix.SockaddrInet4{Addr: at.Addr}); err != nil {
			return err
		}
	}
	return nil
}

// Of several in a namespace each is told what is certain, and no more.
func TestCertainDrops(t *testing.T) {
	of := func(cgroup, n uint64) *discarded {
		return &discarded{n: n, NetworkListener: bpf.NetworkListener{Cgroup: cgroup}}
	}
	for _, c := range []struct {
		name    string
		there   []*discarded
		dropped uint64
		want    []uint64
	}{
		{"alone, all of it", []*discarded{of(1, 20)}, 20, []uint64{20}},
		{"alone, none of it", []*discarded{of(1, 20)}, 0, []uint64{0}},
		{"alone, some of it twice: at the end of a handshake a full queue discards for two reasons", []*discarded{of(1, 20)}, 15, []uint64{15}},
		{"more than it discarded: those of listeners that are not known", []*discarded{of(1, 20)}, 50, []uint64{20}},
		{"both", []*discarded{of(1, 20), of(2, 5)}, 25, []uint64{20, 5}},
		{"of one certainly some", []*discarded{of(1, 20), of(2, 500)}, 500, []uint64{0, 480}},
		{"of none certainly", []*discarded{of(1, 20), of(2, 5)}, 5, []uint64{0, 0}},
		{"two of one cgroup", []*discarded{of(1, 20), of(1, 5)}, 22, []uint64{20, 2}},
		{"beside one that discarded nothing", []*discarded{of(1, 20), of(2, 0)}, 7, []uint64{7, 0}},
	} {
		assert.Equal(t, c.want, certain(c.there, c.dropped), c.name)
	}
}

func TestReadListenDrops(t *testing.T) {
	for _, c := range []struct {
		netstat string
		want    uint64
		ok      bool
	}{
		{"TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 2 3\nIpExt: InNoRoutes\nIpExt: 4\n", 3, true},
		{"IpExt: ListenDrops\nIpExt: 4\nTcpExt: ListenDrops\nTcpExt: 5", 5, true},
		{"TcpExt: SyncookiesSent ListenDrops\nTcpExt: 1\n", 0, false},
		{"TcpExt: ListenDrops\nTcpExt: -1\n", 0, false},
		{"TcpExt: ListenDrops\n", 0, false},
		{"TcpExt:\nTcpExt:\n", 0, false},
		{"", 0, false},
	} {
		got, ok := readListenDrops(c.netstat)
		assert.Equal(t, c.ok, ok, c.netstat)
		assert.Equal(t, c.want, got, c.netstat)
	}
}

// What a reading takes to judge listeners: to find a process in each network namespace, and to read what one of those counts.
func BenchmarkJudge(b *testing.B) {
	spec, err := bpf.LoadNetwork()
	require.NoError(b, err)
	a, err := attach(spec)
	if err != nil {
		b.Skip(err)
	}
	b.Run("members", func(b *testing.B) {
		for b.Loop() {
			_, err := a.members()
			require.NoError(b, err)
		}
	})
	b.Run("namespace", func(b *testing.B) {
		for b.Loop() {
			_, ok := listenDrops(1)
			require.True(b, ok)
		}
	})
	require.NoError(b, a.close())
}
