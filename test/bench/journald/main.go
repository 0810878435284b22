// Command journald compares, on the same journal, the CPU and wall time that readers of the journal need for an entry: Tapio's
// receiver, the upstream journaldreceiver (with the journalctl that it runs), and go-systemd's sdjournal alone, without records.
//
//	journald read READER DIR ENTRIES    reads a journal of so many entries from the beginning
//	journald follow READER DIR SECONDS  follows a journal that somebody writes to
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/sdjournal"
	upstream "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/journaldreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	tapio "github.com/your-org/tapio/receiver/journaldreceiver"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: journald read|follow tapio|upstream|sdjournal DIR ENTRIES|SECONDS")
	}
	what, reader, dir := args[0], args[1], args[2]
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	var read func(dir, startAt string, want int, until time.Duration) (int, error)
	switch reader {
	case "tapio":
		read = receive(tapio.NewFactory(), map[string]any{"directories": []any{dir}})
	case "upstream":
		read = receive(upstream.NewFactory(), map[string]any{"directory": dir})
	case "sdjournal":
		read = sd
	default:
		return fmt.Errorf("no reader %q", reader)
	}
	if what == "read" {
		wall := time.Now()
		got, err := read(dir, "beginning", n, time.Hour)
		if err != nil {
			return err
		}
		spent, cpu := time.Since(wall), cpuTime()
		fmt.Printf("%-10s read %d entries: %6.2f s wall, %6.2f s CPU, %5.1f µs CPU an entry, %7.0f entries a CPU-second\n",
			reader, got, spent.Seconds(), cpu.Seconds(), float64(cpu.Microseconds())/float64(got), float64(got)/cpu.Seconds())
		return nil
	}
	got, err := read(dir, "end", 1<<62, time.Duration(n)*time.Second)
	if err != nil {
		return err
	}
	spent := cpuTime() - started
	fmt.Printf("%-10s followed %d entries in %d s, %.0f a second: %.2f %% of a core\n",
		reader, got, n, float64(got)/float64(n), 100*spent.Seconds()/float64(n))
	return nil
}

// started is the CPU time when the reader was ready: what it takes to begin is not what it costs to follow.
var started time.Duration

// cpuTime is that of this process and of the journalctl it waited for.
func cpuTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			panic(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}

// receive runs a receiver until it has told so many entries, or for some time.
func receive(f receiver.Factory, conf map[string]any) func(dir, startAt string, want int, until time.Duration) (int, error) {
	return func(_, startAt string, want int, until time.Duration) (int, error) {
		ctx := context.Background()
		conf["start_at"] = startAt
		cfg := f.CreateDefaultConfig()
		if err := confmap.NewFromStringMap(conf).Unmarshal(cfg); err != nil {
			return 0, err
		}
		set := receiver.Settings{ID: component.NewID(f.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
		set.Logger = zap.NewNop() // that its journalctl is killed in the end is no error
		var got atomic.Int64
		done := make(chan struct{})
		next, err := consumer.NewLogs(func(_ context.Context, ld plog.Logs) error {
			n := int64(ld.LogRecordCount())
			if now := got.Add(n); now >= int64(want) && now-n < int64(want) {
				close(done)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		r, err := f.CreateLogs(ctx, set, cfg, next)
		if err != nil {
			return 0, err
		}
		if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
			return 0, err
		}
		started = cpuTime()
		select {
		case <-done:
		case <-time.After(until):
		}
		err = r.Shutdown(ctx)
		// The upstream receiver's journalctl is killed, and waited for a moment later.
		time.Sleep(300 * time.Millisecond)
		return int(got.Load()), err
	}
}

// sd reads with go-systemd's sdjournal, and throws away what it read.
func sd(dir, startAt string, want int, until time.Duration) (int, error) {
	j, err := sdjournal.NewJournalFromDir(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = j.Close() }()
	if startAt == "end" {
		if err := j.SeekTail(); err != nil {
			return 0, err
		}
		if _, err := j.Previous(); err != nil {
			return 0, err
		}
	}
	started = cpuTime()
	got := 0
	for end := time.Now().Add(until); got < want; {
		n, err := j.Next()
		if err != nil {
			return got, err
		}
		if n > 0 {
			if _, err := j.GetEntry(); err != nil {
				return got, err
			}
			got++
			continue
		}
		left := time.Until(end)
		if left <= 0 {
			break
		}
		j.Wait(min(left, time.Second))
	}
	return got, nil
}
