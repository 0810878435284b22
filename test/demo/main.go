//go:build linux

// Program demo shows Tapio's main job on this machine: a real leak in a memory cgroup of its own, the prediction, the
// kernel's OOM kill, and how right the prediction was. It ends by itself within three minutes and leaves nothing behind.
//
// Exit status: 0 the kill was foreseen, 1 it was not, 2 the demo could not run, 130 interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/harness"
)

const (
	limit = 128 << 20 // bytes
	// The leak takes two minutes to the limit: long enough to watch, short enough to wait for.
	start, rate = "20Mi", "0.9Mi"
)

// errUnforeseen says that the demo ran and Tapio failed.
var errUnforeseen = errors.New("the kill was not foreseen")

func main() {
	bin := flag.String("bin", "bin", "folder of tapio, tapio-collector and workload")
	name := flag.String("name", "tapio-demo", "name of the cgroup")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 170*time.Second)
	err := run(ctx, *bin, *name)
	cancel()
	stop()
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything it started is gone")
		os.Exit(130)
	case errors.Is(err, errUnforeseen):
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, bin, name string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("it needs root, to make a memory cgroup of its own and to be OOM-killed in it; try: sudo make demo")
	}
	folder, err := os.MkdirTemp("", "tapio-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	cgroup, err := harness.NewCgroup(name, limit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cgroup.Remove()) }()

	say("starting tapio-collector on its default local configuration, reading cgroups every second")
	collector, err := harness.NewCollector(bin, folder, []string{"TAPIO_INTERVAL=1s"})
	if err != nil {
		return err
	}
	if err := collector.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, collector.Stop()) }()
	if err := observing(ctx, collector); err != nil {
		return err
	}

	say("starting a program that leaks %s a second in the cgroup %s, which may have %d MiB", rate, cgroup.Folder, limit>>20)
	leak, err := harness.StartWorkload(bin, cgroup, "leak", start, rate)
	if err != nil {
		return err
	}
	defer leak.Stop()
	if err := watch(ctx, collector, leak, name); err != nil {
		return err
	}
	at, killed := leak.Killed()
	if !killed {
		return errors.New("the program ended by itself: nothing was shown")
	}
	say("the kernel killed the program")
	return compare(ctx, collector, at, name)
}

// observing waits until the collector has seen anything: on a busy machine it has nothing to tell at first.
func observing(ctx context.Context, collector *harness.Collector) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, said, status := collector.Tapio(ctx, "check")
		if status == 0 || status == 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("tapio check: %s", said)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// watch shows what `tapio check` says until the program is gone.
func watch(ctx context.Context, collector *harness.Collector, leak *harness.Workload, name string) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the kill: %w", context.Cause(ctx))
		case <-leak.Ended():
			return nil
		case <-time.After(5 * time.Second):
		}
		out, errOut, status := collector.Tapio(ctx, "check", name)
		if status == 2 || status < 0 {
			return fmt.Errorf("tapio check: %s", errOut)
		}
		fmt.Printf("\n$ tapio check %s\n%s", name, strings.TrimRight(strings.Split(out, "\n\nCause")[0], "\n")+"\n")
	}
}

// compare waits for the diagnosis of the kill and says in one line how right the prediction was.
func compare(ctx context.Context, collector *harness.Collector, killed time.Time, name string) error {
	var diagnosis *finding.Finding
	for deadline := time.Now().Add(15 * time.Second); diagnosis == nil && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var err error
		if diagnosis, err = collector.Finding(ctx, "oom-killed", name); err != nil {
			return err
		}
	}
	if diagnosis == nil {
		return fmt.Errorf("%w: Tapio does not even know of it", errUnforeseen)
	}
	out, _, _ := collector.Tapio(ctx, "check", name)
	fmt.Printf("\n$ tapio check %s\n%s\n", name, out)
	o := diagnosis.Outcome
	if o == nil || !o.MadeAt.Before(killed) {
		return errUnforeseen
	}
	within := "within"
	if !o.WithinInterval {
		within = "outside"
	}
	off := fmt.Sprintf("%.1f s early", -o.ErrorSeconds)
	if o.ErrorSeconds >= 0 {
		off = fmt.Sprintf("%.1f s late", o.ErrorSeconds)
	}
	fmt.Printf("RESULT: predicted for %s, %.0f s before the kill; killed at %s: the prediction was %s, %s the interval given\n",
		o.PredictedAt.Local().Format(time.TimeOnly), killed.Sub(o.MadeAt).Seconds(), killed.Local().Format(time.TimeOnly), off, within)
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n# "+format+"\n", args...) }
