//go:build linux

// Program ebpf measures what the ebpf receiver's probes cost: CPU time and throughput of workloads that hit them, off and on in
// turns in one run; the time of each program in the kernel; and memory. It needs root.
//
//	make bench-ebpf
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver"
)

var (
	rounds = flag.Int("rounds", 12, "how often each workload runs, off and on")
	length = flag.Duration("length", time.Second, "how long each run takes")
	which  = flag.String("workloads", "", "part of the names of the workloads to run; empty: all")
	groups = flag.String("probes", "all", "groups of probes, by commas; or all, or none: what a process beside the workload costs by itself")
	settle = flag.Duration("settle", 2*time.Second, "time from starting or stopping the receiver to measuring")
	only   = flag.Bool("receive", false, "only run the receiver, until standard input ends")
	tools  = flag.String("tools", "/usr/sbin:/usr/share/bpftrace/tools:/usr/bin", "folders of bpftrace's tools, to compare with")
)

// workload does something as often as it can until the context ends, and returns how often.
type workload struct {
	name string
	run  func(ctx context.Context) int64
	// tools are programs of bpftrace that watch the same.
	tools []string
}

func main() {
	flag.Parse()
	do := run
	if *only {
		do = receive
	}
	if err := do(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	url, stop, err := serve()
	if err != nil {
		return err
	}
	defer stop()
	dns, err := serveDNS()
	if err != nil {
		return err
	}
	defer dns.Close()
	workloads := []workload{
		{"HTTP on loopback, kept-alive connections", func(ctx context.Context) int64 { return get(ctx, url, true) }, []string{"runqlat.bt", "tcpretrans.bt"}},
		{"HTTP on loopback, a connection each", func(ctx context.Context) int64 { return get(ctx, url, false) }, []string{"tcpretrans.bt", "tcplife.bt"}},
		{"DNS lookups on loopback", func(ctx context.Context) int64 { return lookUp(ctx, dns) }, nil},
		{"system calls (getppid)", calls, []string{"runqlat.bt"}},
		{"fork and exec of /bin/true", execs, []string{"execsnoop.bt", "runqlat.bt"}},
		{"4 KiB direct writes", writes, []string{"biolatency.bt"}},
	}
	fmt.Printf("%d rounds of %s each, off and on in turns; medians of the ratios on/off, and the intervals that hold the true ones with 95 %%\n\n", *rounds, *length)
	fmt.Println("| workload | CPU time an operation, off | on | throughput, on |\n|---|---|---|---|")
	workloads = slices.DeleteFunc(workloads, func(w workload) bool { return !strings.Contains(w.name, *which) })
	for _, w := range workloads {
		off, cpu, through, err := compare(w, *rounds, receiver)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.3g µs | %s | %s |\n", w.name, 1e6*off, cpu, through)
	}
	if *groups == "none" {
		return nil
	}
	if err := programs(workloads); err != nil {
		return err
	}
	return others(workloads)
}

// receiver starts the ebpf receiver in a process of its own, as in life: what it takes itself, and its garbage, are not the workload's.
func receiver() (stop func(), err error) {
	c := exec.Command("/proc/self/exe", "-receive", "-probes", *groups)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = in.Close()
		_ = c.Wait()
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		stop()
		return nil, fmt.Errorf("start the receiver: %w", err)
	}
	return stop, nil
}

// receive runs the receiver until standard input ends.
func receive() error {
	if *groups != "none" {
		stop, err := inside()
		if err != nil {
			return err
		}
		defer stop()
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// inside starts both halves of the ebpf receiver in this process, and returns what stops them.
func inside() (stop func(), err error) {
	ctx := context.Background()
	f := ebpfreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	if *groups != "all" {
		p := &cfg.(*ebpfreceiver.Config).Probes
		probes := map[string]*ebpfreceiver.Probe{"oom": &p.OOM, "process": &p.Process, "network": &p.Network, "dns": &p.DNS, "performance": &p.Performance}
		for _, probe := range probes {
			probe.Enabled = false
		}
		for name := range strings.SplitSeq(*groups, ",") {
			if probes[name] == nil {
				return nil, fmt.Errorf("-probes: there is no group %q; want some of %v", name, slices.Sorted(maps.Keys(probes)))
			}
			probes[name].Enabled = true
		}
	}
	set := receivertest.NewNopSettings(f.Type())
	if set.Logger, err = zap.NewProduction(); err != nil { // what cannot be loaded costs nothing, and must not pass for that
		return nil, err
	}
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
	return func() { _ = errors.Join(logs.Shutdown(ctx), metrics.Shutdown(ctx)) }, nil
}

// compare runs a workload without and with something in turns, each first in every other round: a machine gets faster or slower by
// itself. off is the CPU time of an operation without (s). What starts and ends beside it is over before it is measured.
func compare(w workload, rounds int, with func() (func(), error)) (off float64, cpu, through string, err error) {
	var offs, cpus, throughs []float64
	for round := range rounds {
		var offOps, offCPU float64
		without := func() {
			time.Sleep(*settle)
			offOps, offCPU = measure(w)
		}
		if round%2 == 0 {
			without()
		}
		stop, err := with()
		if err != nil {
			return 0, "", "", err
		}
		time.Sleep(*settle)
		onOps, onCPU := measure(w)
		stop()
		if round%2 == 1 {
			without()
		}
		offs = append(offs, offCPU)
		cpus = append(cpus, onCPU/offCPU)
		throughs = append(throughs, onOps/offOps)
	}
	return median(offs), spread(cpus), spread(throughs), nil
}

// measure returns operations a second and CPU seconds an operation.
func measure(w workload) (rate, cpu float64) {
	ctx, cancel := context.WithTimeout(context.Background(), *length)
	defer cancel()
	before, began := cpuTime(), time.Now()
	n := w.run(ctx)
	return float64(n) / time.Since(began).Seconds(), (cpuTime() - before) / float64(max(n, 1))
}

func cpuTime() float64 {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		_ = unix.Getrusage(who, &u)
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum.Seconds()
}

func median(v []float64) float64 { return quantile(v, 0.5) }

func quantile(v []float64, q float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[int(q*float64(len(v)-1)+0.5)]
}

// spread is the median of ratios, less 1, and the interval that holds the true one with 95 %, by the ranks of what was measured.
func spread(v []float64) string {
	off := 0.98 / math.Sqrt(float64(len(v)))
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(median(v)-1), 100*(quantile(v, max(0.5-off, 0))-1), 100*(quantile(v, min(0.5+off, 1))-1))
}

func serve() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })}
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = s.Close() }, nil
}

func get(ctx context.Context, url string, keep bool) int64 {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableKeepAlives: !keep}}
	defer client.CloseIdleConnections()
	return side(ctx, 8, func() bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err == nil && resp.Body.Close() == nil
	})
}

// serveDNS answers each query with itself, as one that there is no answer to.
func serveDNS() (net.PacketConn, error) {
	c, err := net.ListenPacket("udp", "127.0.0.77:53")
	if err != nil {
		return nil, err
	}
	go func() {
		b := make([]byte, 512)
		for {
			n, to, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if n > 2 {
				b[2] |= 0x80 // a response
				_, _ = c.WriteTo(b[:n], to)
			}
		}
	}()
	return c, nil
}

// lookUp asks a DNS server, each time from another port.
func lookUp(ctx context.Context, server net.PacketConn) int64 {
	query := []byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02db\x04shop\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01")
	return side(ctx, 4, func() bool {
		c, err := net.Dial("udp", server.LocalAddr().String())
		if err != nil {
			return false
		}
		defer c.Close()
		if c.SetDeadline(time.Now().Add(time.Second)) != nil {
			return false
		}
		if _, err := c.Write(query); err != nil {
			return false
		}
		_, err = c.Read(make([]byte, 512))
		return err == nil
	})
}

// side does something side by side, and returns how often it was done.
func side(ctx context.Context, n int, do func() bool) int64 {
	var count atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if do() {
					count.Add(1)
				}
			}
		})
	}
	all.Wait()
	return count.Load()
}

func calls(ctx context.Context) int64 {
	return 1000 * side(ctx, 2, func() bool {
		for range 1000 {
			_, _, _ = syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
		}
		return true
	})
}

func execs(ctx context.Context) int64 {
	return side(ctx, 2, func() bool {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{})
		if err != nil {
			return false
		}
		_, err = syscall.Wait4(pid, nil, 0, nil)
		return err == nil
	})
}

func writes(ctx context.Context) int64 {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "tapio-bench-ebpf"), os.O_CREATE|os.O_WRONLY|unix.O_DIRECT, 0o600)
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0
	}
	return side(ctx, 1, func() bool {
		_, err := f.WriteAt(page, 0)
		return err == nil
	})
}

// programs tells how long each program runs, and what memory there is.
func programs(workloads []workload) error {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("measure programs: %w", err)
	}
	defer stats.Close()
	before := rss()
	stop, err := inside()
	if err != nil {
		return err
	}
	defer stop()
	time.Sleep(2 * time.Second) // the first look at all tasks is done, from which on more is to be done at the end of each
	fmt.Print("\n| program | while | runs | ns a run |\n|---|---|---|---|\n")
	seen := map[ebpf.ProgramID]ebpf.ProgramStats{}
	table(seen, "")
	for _, w := range workloads {
		measure(w)
		table(seen, w.name)
	}
	time.Sleep(11 * time.Second) // one look at all tasks
	table(seen, "nothing else")
	var locked uint64
	for id, err := ebpf.MapGetNextID(0); err == nil; id, err = ebpf.MapGetNextID(id) {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			continue
		}
		if info, err := m.Info(); err == nil {
			if n, ok := info.Memlock(); ok && ours(id) {
				locked += n
			}
		}
		m.Close()
	}
	fmt.Printf("\nMemory: maps %.1f MiB; this process grew by %.1f MiB RSS with the receiver.\n", float64(locked)/(1<<20), float64(rss()-before)/(1<<20))
	return nil
}

// rarely is how often a program runs at most that a workload does not mean to run.
const rarely = 1000

// table tells how often each program ran since it was seen, and for how long.
func table(seen map[ebpf.ProgramID]ebpf.ProgramStats, while string) {
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue
		}
		info, err := p.Info()
		stats, statsErr := p.Stats()
		if errors.Join(err, statsErr) == nil && strings.HasPrefix(info.Name, "tapio_") {
			runs, ns := stats.RunCount-seen[id].RunCount, stats.Runtime-seen[id].Runtime
			if while != "" && runs > rarely {
				fmt.Printf("| `%s` | %s | %d | %d |\n", info.Name, while, runs, uint64(ns)/runs)
			}
			seen[id] = *stats
		}
		p.Close()
	}
}

// ours says whether a map is held by this process: others run programs on this machine, too.
func ours(id ebpf.MapID) bool {
	infos, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, name := range infos {
		b, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(b), fmt.Sprintf("map_id:\t%d\n", id)) && strings.Contains(string(b), "frozen") {
			return true
		}
	}
	return false
}

func rss() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return n * int64(os.Getpagesize())
}

// others compares with the tools of bpftrace that watch the same, where they run.
func others(workloads []workload) error {
	fmt.Print("\n| workload | tool | CPU time an operation |\n|---|---|---|\n")
	for _, w := range workloads {
		for _, name := range w.tools {
			tool := find(name)
			if tool == "" {
				fmt.Printf("| %s | %s | not installed |\n", w.name, name)
				continue
			}
			_, cpu, _, err := compare(w, max(*rounds/3, 3), func() (func(), error) { return bpftrace(tool) })
			if err != nil {
				fmt.Printf("| %s | %s | does not run here: %s |\n", w.name, name, strings.ReplaceAll(err.Error(), "\n", " "))
				continue
			}
			fmt.Printf("| %s | %s | %s |\n", w.name, name, cpu)
		}
	}
	return nil
}

func find(name string) string {
	for _, folder := range strings.Split(*tools, ":") {
		if path := filepath.Join(folder, name); exists(path) {
			return path
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// bpftrace starts a tool, and returns when its probes are attached.
func bpftrace(tool string) (func(), error) {
	c := exec.Command("bpftrace", tool)
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.Stderr = c.Stdout
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return nil, err
	}
	attaching, gone := make(chan error, 2), make(chan struct{})
	go func() {
		defer close(gone)
		var said []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			// It complains when it cannot raise its limit of locked memory, and goes on.
			switch line := lines.Text(); {
			case strings.Contains(line, "could not attach"): // and it goes on without
				go func() { _, _ = io.Copy(io.Discard, out) }()
				return
			case strings.Contains(line, "Attaching"):
				attaching <- nil
			default:
				said = append(said, line)
			}
		}
		attaching <- errors.New(strings.Join(said[max(len(said)-1, 0):], ""))
	}()
	stop := func() {
		_ = c.Process.Signal(syscall.SIGINT)
		_ = c.Wait()
	}
	select {
	case err := <-attaching:
		if err != nil {
			stop()
			return nil, err
		}
	case <-time.After(20 * time.Second):
		stop()
		return nil, errors.New("it said nothing for 20 s")
	}
	select {
	case <-time.After(2 * time.Second): // "Attaching" is said before it is done
		return stop, nil
	case <-gone:
		stop()
		return nil, errors.New("its probes cannot be attached (kprobes?)")
	}
}
