//go:build linux

package ebpfreceiver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/test/harness"
)

// Connections are counted by how they ended, for whom, and to whom; what failed is told once for each peer and way to fail.
func TestRealNetwork(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.CollectionInterval = time.Second
	m := startMetrics(t, cfg)
	sink := startEvents(t, cfg)
	var c *harness.Cgroup
	var id string
	for whole := false; !whole; {
		c, id = realCgroup(t, 256*mib)
		before := m.lost(t, "network")
		require.NoError(t, workload(t, c, "network").Wait())
		whole = m.lost(t, "network") == before
	}
	m.await(t, "/"+c.Name, map[string]int64{
		"container.network.tcp.connects refused":                       3,
		"container.network.tcp.connects timed_out":                     1,
		"container.network.tcp.connects abandoned":                     1,
		"container.network.tcp.connects no_ports":                      1,
		"container.network.tcp.peer.connects 127.0.0.1 7002 refused":   3,
		"container.network.tcp.peer.connects 127.0.0.1 7001 connected": 5 + 2,     // the last of which take all ports
		"container.network.tcp.connects connected":                     5 + 1 + 2, // and one that is in the queue
	})
	got := m.of(t, "/"+c.Name)
	assert.GreaterOrEqual(t, got["container.network.tcp.retransmits"], int64(2), "each SYN that was sent again")
	for _, h := range []string{"container.network.tcp.connect.duration", "container.network.tcp.rtt"} {
		assert.Positive(t, m.histogram(t, "/"+c.Name, h), h)
	}

	want := map[string]int64{"7002 refused": 3, "7003 timed_out": 1, "7003 abandoned": 1, "7001 no_ports": 1}
	told := map[string]int64{}
	require.Eventually(t, func() bool {
		clear(told)
		for _, e := range sink.named(eventConnectFailed) {
			if e.resource["container.id"] == id {
				told[fmt.Sprint(e.attribute("network.peer.port").Int(), " ", e.attribute("network.connect.outcome").Str())] += e.attribute("network.connect.count").Int()
			}
		}
		return len(told) >= len(want)
	}, patience, 100*time.Millisecond, "%v", told)
	assert.Equal(t, want, told)
}

// An address that nobody has: the kernel asks for it for three seconds, and then there is no way there.
func TestRealUnreachable(t *testing.T) {
	near, far := namespace(t), namespace(t)
	veth(t, near, far)
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	require.NoError(t, workload(t, c, "netns", near, "connect", "10.77.0.99:80").Wait())
	m.await(t, "/"+c.Name, map[string]int64{
		"container.network.tcp.connects unreachable":                    1,
		"container.network.tcp.peer.connects 10.77.0.99 80 unreachable": 1,
	})
}

// A router on this machine, as one of a pod is, tells by ICMP that there is no way while the program is still at work in connect.
func TestRealUnreachableByRouter(t *testing.T) {
	near, router := namespace(t), namespace(t)
	veth(t, near, router)
	in(t, router, "ip", "address", "add", "10.77.0.2/24", "dev", "eth0")
	in(t, router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	in(t, router, "ip", "route", "add", "unreachable", "10.78.0.0/24")
	in(t, near, "ip", "route", "add", "10.78.0.0/24", "via", "10.77.0.2")
	in(t, near, "ip", "address", "add", "fd77::1/64", "dev", "eth0", "nodad")
	in(t, router, "ip", "address", "add", "fd77::2/64", "dev", "eth0", "nodad")
	in(t, router, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	in(t, router, "ip", "route", "add", "unreachable", "fd78::/64")
	in(t, near, "ip", "route", "add", "fd78::/64", "via", "fd77::2")
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	require.NoError(t, workload(t, c, "netns", near, "connect", "10.78.0.1:80").Wait())
	// Of IPv6 the kernel tells the program when the SYN is sent again, after a second.
	require.NoError(t, workload(t, c, "netns", near, "connect", "[fd78::1]:80", "500ms").Wait())
	m.await(t, "/"+c.Name, map[string]int64{
		"container.network.tcp.connects unreachable":                   2,
		"container.network.tcp.peer.connects 10.78.0.1 80 unreachable": 1,
		"container.network.tcp.peer.connects fd78::1 80 unreachable":   1,
	})
}

// Who is refused at the loopback address of IPv6 and goes on to that of IPv4 has tried one place, `localhost`: it is told how that ended.
func TestRealLocalhost(t *testing.T) {
	sink := startEvents(t, createDefaultConfig().(*Config))
	c, id := realCgroup(t, 256*mib)
	require.NoError(t, workload(t, c, "localhost").Wait())
	told := map[string]int64{}
	tell := func() {
		clear(told)
		for _, e := range sink.named(eventConnectFailed) {
			if e.resource["container.id"] == id {
				told[e.attribute("network.peer.address").Str()+" "+e.attribute("network.peer.port").AsString()] += e.attribute("network.connect.count").Int()
			}
		}
	}
	require.Eventually(t, func() bool { tell(); return len(told) >= 2 }, patience, 100*time.Millisecond, "%v", told)
	assert.Equal(t, map[string]int64{"127.0.0.1 7002": 3, "::1 7003": 3}, told, "nothing of 7001, which is there")
}

// tryLocalhost connects three times to each of three ports: 7001, at which 127.0.0.1 listens, and 7002, at which nobody does, by way of
// [::1]; and to [::1] only, at 7003.
func tryLocalhost() error {
	if err := ownNamespace(); err != nil {
		return err
	}
	server, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	loopback := [4]byte{127, 0, 0, 1}
	if err := errors.Join(unix.Bind(server, &unix.SockaddrInet4{Addr: loopback, Port: 7001}), unix.Listen(server, 16)); err != nil {
		return err
	}
	connect := func(family int, to unix.Sockaddr) error {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, to)
	}
	for range 3 {
		for port, want := range map[int]error{7001: nil, 7002: syscall.ECONNREFUSED, 7003: syscall.ECONNREFUSED} {
			if err := connect(unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}, Port: port}); !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("[::1]:%d: want a refusal, got %v", port, err)
			}
			if port == 7003 {
				continue
			}
			if err := connect(unix.AF_INET, &unix.SockaddrInet4{Addr: loopback, Port: port}); !errors.Is(err, want) {
				return fmt.Errorf("127.0.0.1:%d: want %v, got %v", port, want, err)
			}
		}
	}
	return nil
}

// connectInVain connects to an address that there is no way to, for no longer than it is told.
func connectInVain(address string, within ...string) error {
	var d net.Dialer
	for _, s := range within {
		var err error
		if d.Timeout, err = time.ParseDuration(s); err != nil {
			return err
		}
	}
	c, err := d.Dial("tcp", address)
	if !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.ENETUNREACH) && !(d.Timeout > 0 && os.IsTimeout(err)) {
		return fmt.Errorf("want no way there, got %v, %v", c, err)
	}
	return nil
}

// useNetwork makes connections of all kinds, in a network namespace of its own.
func useNetwork() error {
	if err := ownNamespace(); err != nil {
		return err
	}
	listen := func(port, backlog int) (int, error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		return fd, errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}), unix.Listen(fd, backlog))
	}
	connect := func(port int, prepare func(fd int)) (int, error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		if prepare != nil {
			prepare(fd)
		}
		return fd, unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
	}
	open, err := listen(7001, 16)
	if err != nil {
		return err
	}
	for range 5 {
		fd, err := connect(7001, nil)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		accepted, _, err := unix.Accept(open)
		if err != nil {
			return err
		}
		// An answer to something that was sent makes a round trip time; of connections that send little not all are taken.
		for range 10 {
			if _, err := unix.Write(fd, []byte("hello")); err != nil {
				return err
			}
			if _, err := unix.Read(accepted, make([]byte, 5)); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		_, _ = unix.Close(fd), unix.Close(accepted)
	}
	for range 3 {
		if fd, err := connect(7002, nil); !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("want a refusal, got %v", err)
		} else {
			unix.Close(fd)
		}
	}
	// One waits in the queue of who does not accept, and all others find it full.
	if _, err := listen(7003, 0); err != nil {
		return err
	}
	if _, err := connect(7003, nil); err != nil {
		return err
	}
	if fd, err := connect(7003, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1) }); !errors.Is(err, syscall.ETIMEDOUT) {
		return fmt.Errorf("want no answer, got %v", err)
	} else {
		unix.Close(fd)
	}
	if fd, err := connect(7003, func(fd int) {
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 1, Usec: 200000})
	}); !errors.Is(err, syscall.EINPROGRESS) {
		return fmt.Errorf("want no answer in time, got %v", err)
	} else {
		unix.Close(fd)
	}
	// All ports that there are.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40001"), 0); err != nil {
		return err
	}
	for range 2 {
		if _, err := connect(7001, nil); err != nil {
			return err
		}
	}
	if _, err := connect(7001, nil); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("want no port, got %v", err)
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
