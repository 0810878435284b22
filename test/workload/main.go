//go:build linux

// Program workload behaves like programs that come to grief, or only look like it, in a cgroup of its own: for the demo and
// the end-to-end tests.
//
//	workload -cgroup FOLDER leak START RATE    holds START bytes at once, then RATE bytes more each second, until it is killed
//	workload -cgroup FOLDER hold SIZE          holds SIZE bytes and grows no more
//	workload -cgroup FOLDER threads RATE       starts RATE threads a second, until the kernel refuses one
//	workload -cgroup FOLDER processes RATE     starts RATE processes a second, and goes on trying when the kernel refuses one
//	workload -cgroup FOLDER connect ADDRESS    connects to ADDRESS twice a second, and goes on when it cannot
//	workload -cgroup FOLDER lookup NAME SERVER asks the DNS SERVER for NAME twice a second, and goes on when it does not answer
//	workload -cgroup FOLDER cache SIZE FILE    writes and reads FILE of SIZE bytes again and again: page cache fills the limit
//	workload parent SIZE [AFTER]               has a child that holds SIZE bytes, and outlives it; or ends as it did, so many milliseconds later
//	workload exit CODE AFTER                   ends with CODE after so many milliseconds
//	workload pause                             does nothing, until it is told to end
//
// Sizes are in bytes, or with the suffix Ki, Mi or Gi. It moves itself into the cgroup before it does anything; without
// -cgroup it stays where it is, as in a container.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	cgroup := flag.String("cgroup", "", "the folder of the cgroup to live in, in each hierarchy that it is to be limited in; separated by commas")
	flag.Parse()
	if err := run(*cgroup, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run(cgroups string, args []string) error {
	for _, folder := range strings.FieldsFunc(cgroups, func(r rune) bool { return r == ',' }) {
		if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	if len(args) == 0 {
		return errors.New("want one of " + kinds)
	}
	kind, args := args[0], args[1:]
	number := func(i int, name string) int {
		if i >= len(args) {
			fail("%s: %s is missing", kind, name)
		}
		n, err := size(args[i])
		if err != nil {
			fail("%s: %s: %v", kind, name, err)
		}
		return n
	}
	switch kind {
	case "leak":
		return leak(number(0, "START"), number(1, "RATE"))
	case "hold":
		return leak(number(0, "SIZE"), 0)
	case "threads":
		threads(number(0, "RATE"))
	case "processes":
		processes(number(0, "RATE"))
	case "connect":
		if len(args) != 1 {
			return fmt.Errorf("connect: want ADDRESS")
		}
		connect(args[0])
	case "lookup":
		if len(args) != 2 {
			return fmt.Errorf("lookup: want NAME SERVER")
		}
		lookUp(args[0], args[1])
	case "cache":
		if len(args) != 2 {
			return fmt.Errorf("cache: want SIZE FILE")
		}
		return cache(number(0, "SIZE"), args[1])
	case "parent":
		after := 0
		if len(args) > 1 {
			after = number(1, "AFTER")
		}
		return parent(number(0, "SIZE"), time.Duration(after)*time.Millisecond)
	case "exit":
		time.Sleep(time.Duration(number(1, "AFTER")) * time.Millisecond)
		os.Exit(number(0, "CODE"))
	case "pause":
		pause()
		return nil
	}
	return fmt.Errorf("%s is not known; want one of %s", kind, kinds)
}

const kinds = "leak, hold, threads, processes, connect, lookup, cache, parent, exit, pause"

// parent starts a child that is killed for the memory it takes, sees it die, and lives on; or ends as it did after a while, as shells
// do: with 128 and the number of the signal.
func parent(n int, after time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "hold", strconv.Itoa(n))
	child.Stderr = os.Stderr
	fmt.Fprintln(os.Stderr, "the child ended:", child.Run())
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && after > 0 {
		time.Sleep(after)
		os.Exit(128 + int(status.Signal()))
	}
	pause()
	return nil
}

// pause waits for SIGTERM or SIGINT. The Go runtime ends on them by itself, but for the first process of a container.
func pause() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGTERM, unix.SIGINT)
	<-told
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "workload: "+format+"\n", args...)
	os.Exit(1)
}

// leak holds start bytes, and rate more each second, in steps of a tenth of one. Memory is mapped, not allocated: no garbage
// collector has a say.
func leak(start, rate int) error {
	if err := grow(start); err != nil {
		return err
	}
	const step = 100 * time.Millisecond
	begin, held := time.Now(), 0
	for range time.Tick(step) {
		// From the clock, not by steps: a late tick must not make the leak slower.
		due := int(float64(rate) * time.Since(begin).Seconds())
		if err := grow(due - held); err != nil {
			return err
		}
		held = due
	}
	return nil
}

func grow(n int) error {
	page := os.Getpagesize()
	if n = n / page * page; n <= 0 {
		return nil
	}
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map %d bytes: %w", n, err)
	}
	for i := 0; i < n; i += page {
		b[i] = 1
	}
	return nil
}

// threads starts threads that do nothing. When the kernel refuses one, the Go runtime ends the process.
func threads(rate int) {
	for range time.Tick(time.Second / time.Duration(max(rate, 1))) {
		go func() {
			runtime.LockOSThread()
			select {}
		}()
	}
}

// processes starts processes that do nothing, and that end with this one.
func processes(rate int) {
	runtime.LockOSThread() // they end with the thread that started them
	// Threads that the Go runtime may need later, when there may be no more.
	var threads sync.WaitGroup
	for range 16 {
		threads.Go(func() { _ = unix.Nanosleep(&unix.Timespec{Nsec: 1e8}, nil) })
	}
	threads.Wait()
	for range time.Tick(time.Second / time.Duration(max(rate, 1))) {
		idle := exec.Command("sleep", "3600")
		idle.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		_ = idle.Start()
	}
}

// cache keeps the page cache of one file as full as the limit lets it be.
func cache(n int, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for written := 0; written < n; written += len(block) {
		if _, err := f.Write(block); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	// Dirty pages cannot be dropped; clean ones are the cache that must raise no alarm.
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	for {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{f}, block); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// size reads a number of bytes such as 1.5Mi.
func size(s string) (int, error) {
	factor := 1.0
	for suffix, f := range map[string]float64{"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = rest, f
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v*factor < 1<<50) {
		return 0, fmt.Errorf("%q is no size, want bytes such as 1048576 or 1.5Mi", s)
	}
	return int(v * factor), nil
}

// connect asks for something that may not be there, as clients do that try again.
func connect(address string) {
	for ; ; time.Sleep(500 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", address, 2*time.Second); err == nil {
			c.Close()
		}
	}
}

// lookUp asks for a name again and again, and waits a second for each answer.
func lookUp(name, server string) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
	for range time.Tick(500 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if _, err := r.LookupHost(ctx, name); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		cancel()
	}
}
