//go:build linux

// Program node measures what the agent takes on a busy node of Kubernetes: 200 containers with 5,000 processes, in real cgroups, which
// open connections to each other, ask DNS, and run programs. By default it compares, in turns, the collector with a node's
// configuration, the same without the ebpf receiver, and the bare distribution; and a node's with each configuration that is given
// as an argument added. With -soak it watches one collector for long while containers come and go as well, and tells what grows. It
// needs root, cgroup v1, and a network namespace of its own.
//
//	make bench-node
//	test/bench/soak.sh 60
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

var (
	bin        = flag.String("bin", "bin", "folder of the programs tapio-collector and crowd")
	out        = flag.String("out", "", "folder for logs, samples and heap profiles; empty: none is kept")
	containers = flag.Int("containers", 200, "containers on the node")
	processes  = flag.Int("processes", 5000, "processes in all of them")
	every      = flag.Int("every", 30, "seconds from one thing that a process does to the next")
	rounds     = flag.Int("rounds", 3, "how often each configuration is measured")
	settle     = flag.Duration("settle", time.Minute, "how long a collector runs before it is measured")
	measure    = flag.Duration("measure", time.Minute, "how long it is measured")
	soak       = flag.Duration("soak", 0, "watch one collector for so long instead")
	churn      = flag.Bool("churn", true, "with -soak: have containers and peers come and go")
	period     = flag.Duration("period", 30*time.Second, "from one sample to the next, with -soak")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (err error) {
	if *bin, err = filepath.Abs(*bin); err != nil {
		return err
	}
	folder := *out
	if folder == "" {
		if folder, err = os.MkdirTemp("", "tapio-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(folder)
	}
	m, err := newMachine(filepath.Join(*bin, "crowd"), *containers, *processes, *every, *soak > 0 && *churn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	s, err := startCollector(*bin, filepath.Join(folder, "sink"), m.top, sink)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	fmt.Printf("%d containers, %d processes; some %d connections and queries for names a second\n\n", *containers, *processes, *processes/5 / *every)
	if *soak > 0 {
		return watch(ctx, folder, m)
	}
	return compare(ctx, folder, m)
}

// wait waits, or returns what ended it.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
