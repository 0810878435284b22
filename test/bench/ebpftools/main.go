//go:build linux

// Program ebpftools compares what the ebpf receiver's programs take in the kernel with what those of bpftrace's tools take that watch the
// same, on the same workload, by the kernel's own measure (BPF_ENABLE_STATS): ns a run, times runs, for each thing that is done. Most of
// the tools want kprobes, so that it runs in a virtual machine with a kernel that has them. What a kprobe itself costs beside its
// program, and what the tools do outside of the kernel, is not in the figures. It needs root and bpftrace.
//
//	make bench-ebpf-tools
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver"
)

// comparison is a workload that a tool of bpftrace watches, and a group of our probes.
type comparison struct {
	tool, unit string
	// same is the one of our programs that does what the tool does, where the group has others that run as well; empty: all count.
	same  string
	group func(c *ebpfreceiver.Config) *bool
	run   func() (times int, err error)
}

const tools = "/usr/sbin/"

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("have the kernel measure programs: %w", err)
	}
	defer stats.Close()
	fmt.Println("| what is done | by whom | ns each | programs: runs × ns a run |\n|---|---|---|---|")
	for _, c := range []comparison{
		{"execsnoop.bt", "fork and exec of /bin/true", "", func(c *ebpfreceiver.Config) *bool { return &c.Probes.Process.Enabled }, execs},
		{"tcpretrans.bt", "retransmit", "tapio_retransmit", func(c *ebpfreceiver.Config) *bool { return &c.Probes.Network.Enabled }, retransmits},
		{"runqlat.bt", "switch from one task to another", "", func(c *ebpfreceiver.Config) *bool { return &c.Probes.Performance.Enabled }, switches},
		{"biolatency.bt", "4 KiB direct write", "", func(c *ebpfreceiver.Config) *bool { return &c.Probes.Performance.Enabled }, writes},
	} {
		for _, who := range []struct {
			name  string
			start func() (func() error, error)
		}{
			{"the receiver's probes", func() (func() error, error) { return receiver(c.group) }},
			{c.tool, func() (func() error, error) { return bpftrace(c.tool) }},
		} {
			if err := c.measure(who.name, who.start); err != nil {
				fmt.Printf("| %s | %s | does not run here: %s | |\n", c.unit, who.name, strings.ReplaceAll(err.Error(), "\n", " "))
			}
		}
	}
	return nil
}

// measure does the workload under somebody's programs, and tells what those took.
func (c comparison) measure(who string, start func() (stop func() error, err error)) error {
	others := programs()
	stop, err := start()
	if err != nil {
		return err
	}
	before := programs()
	times, err := c.run()
	after := programs()
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	var all time.Duration
	var each []string
	for id, p := range after {
		if _, other := others[id]; other || p.runs == before[id].runs {
			continue
		}
		runs, took := p.runs-before[id].runs, p.took-before[id].took
		if c.same == "" || p.name == c.same || !strings.HasPrefix(p.name, "tapio_") {
			all += took
		}
		each = append(each, fmt.Sprintf("%s %d × %d", p.name, runs, uint64(took)/runs))
	}
	if len(each) == 0 {
		return errors.New("none of its programs ran: this kernel calls no function that it has probes at")
	}
	fmt.Printf("| %s, %d times | %s | %.0f | %s |\n", c.unit, times, who, float64(all)/float64(times), strings.Join(each, ", "))
	return nil
}

// program is what one in the kernel has done so far.
type program struct {
	name string
	runs uint64
	took time.Duration
}

func programs() map[ebpf.ProgramID]program {
	all := map[ebpf.ProgramID]program{}
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone
		}
		info, err := p.Info()
		stats, statsErr := p.Stats()
		if errors.Join(err, statsErr) == nil {
			all[id] = program{info.Name, stats.RunCount, stats.Runtime}
		}
		p.Close()
	}
	return all
}

// receiver starts the ebpf receiver with one group of probes.
func receiver(group func(*ebpfreceiver.Config) *bool) (stop func() error, err error) {
	ctx := context.Background()
	f := ebpfreceiver.NewFactory()
	cfg := f.CreateDefaultConfig().(*ebpfreceiver.Config)
	wanted := group(cfg)
	cfg.Probes = ebpfreceiver.Probes{}
	*wanted = true
	set := receivertest.NewNopSettings(f.Type())
	logs, err := f.CreateLogs(ctx, set, cfg, consumertest.NewNop())
	if err != nil {
		return nil, err
	}
	metrics, err := f.CreateMetrics(ctx, set, cfg, consumertest.NewNop())
	if err != nil {
		return nil, err
	}
	host := componenttest.NewNopHost()
	if err := errors.Join(logs.Start(ctx, host), metrics.Start(ctx, host)); err != nil {
		return nil, err
	}
	return func() error { return errors.Join(logs.Shutdown(ctx), metrics.Shutdown(ctx)) }, nil
}

// bpftrace starts a tool, and returns when its probes are attached.
func bpftrace(tool string) (stop func() error, err error) {
	// runqlat.bt takes one constant from the kernel's headers, which are large and need not be there.
	headers, err := os.MkdirTemp("", "tapio-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(headers)
	if err := errors.Join(os.Mkdir(headers+"/linux", 0o755), os.WriteFile(headers+"/linux/sched.h", []byte("#define TASK_RUNNING 0\n"), 0o644)); err != nil {
		return nil, err
	}
	cmd := exec.Command("bpftrace", "-I", headers, tools+tool)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	attaching := make(chan error, 1)
	go func() {
		var said []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Attaching") {
				attaching <- nil
				_, _ = io.Copy(io.Discard, out)
				return
			}
			said = append(said, lines.Text())
		}
		attaching <- errors.New(strings.Join(said, " "))
	}()
	if err := <-attaching; err != nil {
		return nil, errors.Join(err, cmd.Wait())
	}
	time.Sleep(10 * time.Second) // "Attaching" is said before it is done, and this machine is slow
	if cmd.ProcessState != nil || syscall.Kill(cmd.Process.Pid, 0) != nil {
		return nil, errors.New("it ended at once")
	}
	return func() error {
		err := cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		return err
	}, nil
}

func execs() (int, error) {
	for range 200 {
		if err := exec.Command("/bin/true").Run(); err != nil {
			return 0, err
		}
	}
	return 200, nil
}

// retransmits has SYNs sent again, after one second and after three, to a listener whose queue is full.
func retransmits() (int, error) {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(l)
	if err := errors.Join(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 7001}), unix.Listen(l, 0)); err != nil {
		return 0, err
	}
	before := retransmitted()
	for range 100 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return 0, err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 7001}); err != nil && err != unix.EINPROGRESS {
			return 0, err
		}
	}
	time.Sleep(5 * time.Second)
	n := retransmitted() - before
	if n == 0 {
		return 0, errors.New("nothing was sent again")
	}
	return n, nil
}

// retransmitted is how many segments the kernel has sent again.
func retransmitted() int {
	b, _ := os.ReadFile("/proc/net/snmp")
	var names []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "RetransSegs" {
				var n int
				_, _ = fmt.Sscan(fields[i], &n)
				return n
			}
		}
	}
	return 0
}

// switches has two processes pass a byte to and fro.
func switches() (int, error) {
	const times = 10_000
	cat := exec.Command("/bin/cat")
	in, err := cat.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cat.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cat.Start(); err != nil {
		return 0, err
	}
	b := []byte{0}
	began := time.Now()
	for range times / 2 {
		if _, err := in.Write(b); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(out, b); err != nil {
			return 0, err
		}
	}
	// The receiver looks at all tasks each ten seconds: one look belongs to it, whether the switches took as long or not.
	time.Sleep(time.Until(began.Add(11 * time.Second)))
	return times, errors.Join(in.Close(), cat.Wait())
}

func writes() (int, error) {
	f, err := os.OpenFile("tapio-bench-ebpf-tools", os.O_CREATE|os.O_WRONLY|unix.O_DIRECT, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, err
	}
	for range 1000 {
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, err
		}
	}
	return 1000, nil
}
