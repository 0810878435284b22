//go:build linux

package ebpfreceiver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
)

// Lookups are counted by how they ended, for whom, of which name at which server, from connected and other sockets, over IPv4 and
// IPv6; what failed is told once for each name, server and way to fail.
func TestRealDNS(t *testing.T) {
	server := dnsServer(t)
	c, id := realCgroup(t, 256*mib)
	cfg := createDefaultConfig().(*Config)
	cfg.CollectionInterval = time.Second
	m := startMetrics(t, cfg)
	sink := startEvents(t, cfg)
	require.NoError(t, workload(t, c, "netns", server, "dns-ask").Wait())
	m.await(t, "/"+c.Name, map[string]int64{
		"container.dns.lookups noerror":                                 3 + 1 + 2 + 1 + 1,
		"container.dns.lookups nxdomain":                                2 + 1,
		"container.dns.lookups servfail":                                1,
		"container.dns.lookups refused":                                 2 + 1,
		"container.dns.lookups other":                                   0,
		"container.dns.lookups timed_out":                               1,
		"container.dns.retries":                                         1,
		"container.dns.name.lookups ok.test 127.0.0.1 noerror":          3 + 1,
		"container.dns.name.lookups ok.test ::1 noerror":                2,
		"container.dns.name.lookups late.test 127.0.0.1 noerror":        1,
		"container.dns.name.lookups slow.test 127.0.0.1 noerror":        1,
		"container.dns.name.lookups no-question.test 127.0.0.1 refused": 1,
		"container.dns.name.lookups silent.test 127.0.0.1 timed_out":    1,
		"container.dns.name.lookups ok.test.cluster 127.0.0.1 nxdomain": 1,
		"container.dns.name.lookups nowhere.test 127.0.0.1 nxdomain":    2,
		"container.dns.name.lookups broken.test 127.0.0.1 servfail":     1,
	})
	assert.Equal(t, uint64(8+3+1+3), m.histogram(t, "/"+c.Name, "dns.lookup.duration"), "all that were answered")

	// Of what was answered by a packet that cannot be read nothing is told, but that.
	lost, err := m.scraper.probes.attached["dns"].lost()
	require.NoError(t, err)
	assert.Positive(t, lost)

	// Not the name that was completed by a domain, since there is the one without.
	want := map[string]int64{"refused.test refused": 2, "no-question.test refused": 1, "broken.test servfail": 1, "nowhere.test nxdomain": 2,
		"silent.test timed_out": 1, "slow.test slow": 1, "late.test slow": 1}
	told := map[string]int64{}
	require.Eventually(t, func() bool {
		clear(told)
		for _, e := range sink.named(eventDNSFailed) {
			if e.resource["container.id"] == id {
				told[e.attribute("dns.question.name").Str()+" "+e.attribute("dns.lookup.outcome").Str()] += e.attribute("dns.lookup.count").Int()
			}
		}
		return len(told) >= len(want)
	}, patience, 100*time.Millisecond, "%v", told)
	assert.Equal(t, want, told)
}

// A server that is down while many ask: all of them are counted, also those that there is no room to remember more than.
func TestRealDNSDown(t *testing.T) {
	server := dnsServer(t)
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	before, err := m.scraper.probes.attached["dns"].lost()
	require.NoError(t, err)
	require.NoError(t, workload(t, c, "netns", server, "dns-flood", "5000").Wait())
	require.Eventually(t, func() bool {
		lost, err := m.scraper.probes.attached["dns"].lost()
		require.NoError(t, err)
		return m.of(t, "/"+c.Name)["container.dns.name.lookups silent.test 127.0.0.1 timed_out"]+lost-before >= 5000
	}, patience, time.Second)
}

// What the resolvers of Go and of the C library ask is seen wherever the answer comes in: at a device of the client's own network
// namespace, or, with macvlan, at that of another, or at a router that has yet to translate it.
func TestRealDNSResolvers(t *testing.T) {
	m := startMetrics(t, createDefaultConfig().(*Config))
	for _, wire := range []struct {
		name    string
		connect func(t *testing.T, server string) (client, address string)
	}{
		{"loopback", func(_ *testing.T, server string) (string, string) { return server, "127.0.0.1" }},
		{"veth", func(t *testing.T, server string) (string, string) {
			client := namespace(t)
			veth(t, server, client)
			in(t, client, "ip", "address", "add", "10.77.0.2/24", "dev", "eth0")
			return client, "10.77.0.1"
		}},
		{"macvlan", func(t *testing.T, server string) (string, string) {
			between, client := namespace(t), namespace(t)
			veth(t, server, between)
			in(t, between, "ip", "link", "add", "link", "eth0", "name", "macvlan0", "type", "macvlan", "mode", "bridge")
			in(t, between, "ip", "link", "set", "macvlan0", "netns", client)
			in(t, client, "ip", "link", "set", "macvlan0", "up")
			in(t, client, "ip", "address", "add", "10.77.0.2/24", "dev", "macvlan0")
			return client, "10.77.0.1"
		}},
		{"service", func(t *testing.T, server string) (string, string) {
			if _, err := exec.LookPath("iptables"); err != nil {
				t.Skip("iptables is not installed")
			}
			router, client := namespace(t), namespace(t)
			veth(t, server, router)
			in(t, router, "ip", "address", "add", "10.77.0.2/24", "dev", "eth0")
			in(t, router, "ip", "link", "set", "eth0", "name", "eth1")
			in(t, router, "ip", "link", "set", "eth1", "up")
			in(t, router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
			in(t, router, "iptables", "-t", "nat", "-A", "PREROUTING", "-d", "10.96.0.10", "-p", "udp", "--dport", "53", "-j", "DNAT", "--to", "10.77.0.1:53")
			in(t, router, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth1", "-j", "MASQUERADE", "--random-fully")
			in(t, router, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", client)
			in(t, router, "ip", "address", "add", "10.78.0.1/24", "dev", "eth0")
			in(t, router, "ip", "link", "set", "eth0", "up")
			in(t, client, "ip", "address", "add", "10.78.0.2/24", "dev", "eth0")
			in(t, client, "ip", "link", "set", "eth0", "up")
			in(t, client, "ip", "route", "add", "default", "via", "10.78.0.1")
			return client, "10.96.0.10"
		}},
	} {
		for _, resolver := range []string{"go", "libc"} {
			t.Run(wire.name+" "+resolver, func(t *testing.T) {
				if _, err := exec.LookPath("getent"); err != nil && resolver == "libc" {
					t.Skip("there is no C library here")
				}
				client, address := wire.connect(t, dnsServer(t))
				c, _ := realCgroup(t, 256*mib)
				require.NoError(t, workload(t, c, "netns", client, "resolve-"+resolver, address, resolver+".ok.test").Wait())
				// One query for IPv4, one for IPv6.
				m.await(t, "/"+c.Name, map[string]int64{fmt.Sprintf("container.dns.name.lookups %s.ok.test %s noerror", resolver, address): 2})
			})
		}
	}
}

// dnsServer starts a DNS server in a network namespace and a cgroup of its own, and returns its process id.
func dnsServer(t *testing.T) (pid string) {
	t.Helper()
	pid = namespace(t, "dns-server")
	require.Eventually(t, func() bool {
		for _, file := range []string{"udp", "udp6"} {
			b, err := os.ReadFile(filepath.Join("/proc", pid, "net", file))
			if err != nil || !strings.Contains(string(b), ":0035 ") {
				return false
			}
		}
		return true
	}, patience, poll)
	return pid
}

// namespace starts a process in a network namespace of its own, and returns its id.
func namespace(t *testing.T, words ...string) (pid string) {
	t.Helper()
	c, _ := realCgroup(t, 256*mib)
	if len(words) == 0 {
		words = []string{"wait"}
	}
	w := workload(t, c, append([]string{"namespace"}, words...)...)
	own, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	pid = strconv.Itoa(w.Process.Pid)
	require.Eventually(t, func() bool {
		its, err := os.Readlink(filepath.Join("/proc", pid, "ns/net"))
		return err == nil && its != own
	}, patience, poll)
	return pid
}

// in runs a command in the network namespace of a process.
func in(t *testing.T, pid string, command ...string) {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=/proc/" + pid + "/ns/net"}, command...)...).CombinedOutput()
	require.NoError(t, err, "%v: %s", command, out)
}

// veth connects the network namespaces of two processes; the first gets the address 10.77.0.1. It skips the test where the kernel
// has no such device, as those of our virtual machines, which come without modules.
func veth(t *testing.T, a, b string) {
	t.Helper()
	out, err := exec.Command("nsenter", "--net=/proc/"+a+"/ns/net", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0").CombinedOutput()
	if err != nil {
		t.Skipf("there is no veth here: %s", out)
	}
	in(t, a, "ip", "link", "set", "peer0", "netns", b)
	in(t, a, "ip", "address", "add", "10.77.0.1/24", "dev", "eth0")
	in(t, a, "ip", "link", "set", "eth0", "up")
	in(t, b, "ip", "link", "set", "peer0", "name", "eth0")
	in(t, b, "ip", "link", "set", "eth0", "up")
}

// ownNamespace moves this thread into a network namespace of its own.
func ownNamespace() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	return loopbackUp()
}

// enterNamespace moves this thread into the network namespace of another process.
func enterNamespace(pid string) error {
	runtime.LockOSThread()
	fd, err := unix.Open(filepath.Join("/proc", pid, "ns/net"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

// become starts this process anew, to do as told by the words: all of its threads are where this one is.
func become(words ...string) error {
	if err := os.Setenv(workloadVariable, strings.Join(words, " ")); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args[:1], os.Environ())
}

// serveDNS answers by the name that is asked for.
func serveDNS() error {
	asked := map[string]int{}
	v4, err := net.ListenPacket("udp4", "0.0.0.0:53")
	if err != nil {
		return err
	}
	v6, err := net.ListenPacket("udp6", "[::]:53")
	if err != nil {
		return err
	}
	type query struct {
		from net.PacketConn
		to   net.Addr
		raw  []byte
	}
	queries := make(chan query)
	for _, c := range []net.PacketConn{v4, v6} {
		go func() {
			for {
				b := make([]byte, 1500)
				n, to, err := c.ReadFrom(b)
				if err != nil {
					os.Exit(99)
				}
				queries <- query{c, to, b[:n]}
			}
		}()
	}
	for q := range queries {
		var m dnsmessage.Message
		if m.Unpack(q.raw) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		name := strings.ToLower(strings.TrimSuffix(m.Questions[0].Name.String(), "."))
		asked[name]++
		delay := time.Duration(0)
		switch {
		case name == "silent.test", name == "late.test" && asked[name] == 1:
			continue
		case name == "slow.test":
			delay = 1200 * time.Millisecond
		case name == "broken.test":
			m.RCode = dnsmessage.RCodeServerFailure
		case name == "no-question.test":
			m.Questions = nil
			fallthrough
		case name == "refused.test":
			m.RCode = dnsmessage.RCodeRefused
		case name != "late.test" && name != "pages.test" && !strings.HasSuffix(name, "ok.test"):
			m.RCode = dnsmessage.RCodeNameError
		}
		if m.RCode == dnsmessage.RCodeSuccess && m.Questions[0].Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}}}
		}
		b, err := m.Pack()
		if err != nil {
			return err
		}
		if name == "pages.test" {
			if err := sendInPages(q.from.(*net.UDPConn), b, q.to.(*net.UDPAddr)); err != nil {
				return err
			}
			continue
		}
		time.AfterFunc(delay, func() { _, _ = q.from.WriteTo(b, q.to) })
	}
	return nil
}

// sendInPages sends a message as some drivers hand it over: only its header is at the packet's data, and the rest in pages.
func sendInPages(from *net.UDPConn, b []byte, to *net.UDPAddr) error {
	raw, err := from.SyscallConn()
	if err != nil {
		return err
	}
	address := &unix.SockaddrInet4{Addr: [4]byte(to.IP.To4()), Port: to.Port}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = errors.Join(unix.Sendto(int(fd), b[:12], unix.MSG_MORE, address), unix.Sendto(int(fd), b[12:], 0, address))
		return true
	})
	return errors.Join(err, sent)
}

// askDNS sends queries and waits for the answers, each from a socket of its own.
func askDNS() error {
	id := uint16(os.Getpid())
	ask := func(server, name string, connected, recursion bool, sends int) (answered bool, err error) {
		to := netip.AddrPortFrom(netip.MustParseAddr(server), 53)
		id++
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: recursion},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		b, err := m.Pack()
		if err != nil {
			return false, err
		}
		var c *net.UDPConn
		if connected {
			c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		} else {
			c, err = net.ListenUDP("udp", nil)
		}
		if err != nil {
			return false, err
		}
		defer c.Close()
		for range sends {
			if connected {
				_, err = c.Write(b)
			} else {
				_, err = c.WriteToUDPAddrPort(b, to)
			}
			if err != nil {
				return false, err
			}
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			answer := make([]byte, 1500)
			if n, _, err := c.ReadFromUDPAddrPort(answer); err == nil {
				return n > 2 && binary.BigEndian.Uint16(answer) == id, nil
			}
		}
		return false, nil
	}
	for _, q := range []struct {
		server, name string
		unconnected  bool
		times, sends int
		unanswered   bool
		iterative    bool
	}{
		{server: "127.0.0.1", name: "ok.test.", times: 3},
		{server: "127.0.0.1", name: "oK.TeSt.", unconnected: true},
		{server: "::1", name: "ok.test."},
		{server: "::1", name: "ok.test.", unconnected: true},
		{server: "127.0.0.1", name: "ok.test.cluster."},
		{server: "127.0.0.1", name: "nowhere.test.", times: 2},
		{server: "127.0.0.1", name: "refused.test.", times: 2},
		{server: "127.0.0.1", name: "no-question.test."},
		{server: "127.0.0.1", name: "broken.test."},
		{server: "127.0.0.1", name: "slow.test."},
		{server: "127.0.0.1", name: "late.test.", sends: 2},
		{server: "127.0.0.1", name: "pages.test."},
		{server: "127.0.0.1", name: "ok.test.", iterative: true}, // which does not count
		{server: "127.0.0.1", name: "silent.test.", unanswered: true},
	} {
		for range max(q.times, 1) {
			answered, err := ask(q.server, q.name, !q.unconnected, !q.iterative, max(q.sends, 1))
			if err != nil || answered == q.unanswered {
				return fmt.Errorf("ask %s for %s: answered: %t: %v", q.server, q.name, answered, err)
			}
		}
	}
	return nil
}

// floodDNS asks a server that says nothing, with so many queries.
func floodDNS(queries string) error {
	n, err := strconv.Atoi(queries)
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	defer c.Close()
	for id := range n {
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: uint16(id), RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("silent.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		b, err := m.Pack()
		if err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// resolveGo asks by Go's own resolver.
func resolveGo(server, name string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
	_, err := r.LookupHost(context.Background(), name+".")
	return err
}

// resolveLibc asks by the C library's resolver, which knows no other server than the one in resolv.conf.
func resolveLibc(server, name string) error {
	runtime.LockOSThread()
	f, err := os.CreateTemp("", "resolv.conf")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := fmt.Fprintln(f, "nameserver", server); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount(f.Name(), "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if out, err := exec.Command("getent", "ahosts", name+".").CombinedOutput(); err != nil {
		return fmt.Errorf("getent: %w: %s", err, out)
	}
	return nil
}

func TestDomainName(t *testing.T) {
	for _, c := range []struct{ wire, want string }{
		{"\x02db\x04shop\x00", "db.shop"},
		{"\x02db\x04shop", "db.shop"},
		{"", "."},
		{"\x00\x02db", "."},
		{"\x03a.b\x05x\"\\y \x00", `a\.b.x\"\\y\032`},
		{"\x02\xc3\xbc\x00", `\195\188`},
		{"\x02db\x3fabc", "db.abc…"},
		{"\x02db\x04ab\x00\x00\x00", "db.ab…"},
	} {
		assert.Equal(t, c.want, domainName([]byte(c.wire)), "%q", c.wire)
	}
}

// Resolvers complete names by the domains that they search: only the name that people know is told, and only if there is none of all.
func TestSearched(t *testing.T) {
	exists := func(name string) *lookups {
		return &lookups{question: question{name: name}, n: [bpf.DNSOutcomeOUTCOMES]uint64{bpf.DNSOutcomeNOERROR: 1}}
	}
	isNot := func(name string) *lookups {
		return &lookups{question: question{name: name}, n: [bpf.DNSOutcomeOUTCOMES]uint64{bpf.DNSOutcomeNXDOMAIN: 1}}
	}
	for _, c := range []struct {
		name  string
		asked []*lookups
		want  bool
	}{
		{"google.com.shop.svc.cluster.local", []*lookups{exists("google.com")}, true},
		{"db.shop", []*lookups{exists("db.shop.svc.cluster.local")}, true},
		{"nowhere.example.com.svc.cluster.local", []*lookups{isNot("nowhere.example.com")}, true},
		{"nowhere.example.com", []*lookups{isNot("nowhere.example.com.svc.cluster.local"), isNot("nowhere.example.com")}, false},
		{"gone.example.com", []*lookups{exists("gone.example.com"), exists("example.com"), exists("gone.example.common")}, false},
	} {
		assert.Equal(t, c.want, searched(c.name, c.asked), c.name)
	}
}

// A container that asks for many names that there are not cannot hide that a server is silent.
func TestWorstFailures(t *testing.T) {
	var failed []lookupFailure
	for i := range 40 {
		l := lookups{question: question{name: fmt.Sprint("n", i)}, n: [bpf.DNSOutcomeOUTCOMES]uint64{bpf.DNSOutcomeNXDOMAIN: uint64(i + 1)}}
		failed = append(failed, l.failures(nil)...)
	}
	silent := lookups{question: question{name: "db.shop"}, n: [bpf.DNSOutcomeOUTCOMES]uint64{0, 0, 0, 0, 0, 1}, slow: 0}
	told, more := worst(append(failed, silent.failures(nil)...))
	require.Len(t, told, maxLookupFailures)
	assert.Equal(t, 41-maxLookupFailures, more)
	assert.Equal(t, "db.shop timed_out", told[0].name+" "+told[0].outcome)
	assert.Equal(t, "n39 nxdomain", told[1].name+" "+told[1].outcome)
}
