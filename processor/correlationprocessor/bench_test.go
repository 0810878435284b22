package correlationprocessor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// What it takes to store the state on a node where a container is killed and gone every second, so that there are 1,000 findings,
// beside 200 containers that live, read every 5 s. An operation is one such second; only what is about storing is measured. What
// is known of a container that was killed is little, or of each another amount, up to 36 times that.
func BenchmarkStore(b *testing.B) {
	for _, most := range []int{0, 96} {
		b.Run(fmt.Sprintf("events=%d", most), func(b *testing.B) { benchmarkStore(b, most) })
	}
}

func benchmarkStore(b *testing.B, most int) {
	r := newRig(b, stored)
	folder := b.TempDir()
	ext := r.storage(folder)
	c, err := newCorrelator(r.set, r.cfg)
	require.NoError(b, err)
	c.ended = func() {}
	require.NoError(b, c.open(ctx, r.host))

	began := time.Now()
	second := func(i int) time.Time {
		now := began.Add(time.Duration(i) * time.Second)
		short := fmt.Sprintf("/kubepods/short%d", i)
		scrape(c.engine, short, now, now)
		for j := range i * 37 % (most + 1) {
			observe(c.engine, short, signal.Signal{Time: now, Kind: fmt.Sprintf("event%d", j%3), Shape: signal.Event, Value: 1, Text: strings.Repeat("x", j)})
		}
		observe(c.engine, short, signal.Signal{Time: now, Kind: signal.OOMKill, Shape: signal.Event, Value: 1},
			signal.Signal{Time: now, Kind: signal.Removed, Shape: signal.Event, Value: 1})
		for j := range 200 {
			if i%5 == j%5 {
				scrape(c.engine, fmt.Sprintf("/kubepods/long%d", j), began, now)
			}
		}
		c.engine.Evaluate(now)
		return now
	}
	const before = 1100
	for i := range before {
		second(i)
	}
	require.Len(b, c.engine.Findings(), 1000)
	c.turned = began.Add(before * time.Second)
	for turn := range correlation.Turns {
		require.NoError(b, c.save(ctx, c.engine.Touched(turn)))
	}
	var cpu time.Duration
	var wrote int64
	sizes := []int64{size(b, folder)}
	for b.Loop() {
		now := second(before + len(sizes))
		cpu -= used(b)
		wrote -= written(b)
		c.persist(ctx, now)
		cpu += used(b)
		wrote += written(b)
		sizes = append(sizes, size(b, folder))
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(wrote)/float64(b.N), "written-B/op")
	for _, at := range []float64{0, 0.5, 1} {
		b.ReportMetric(float64(sizes[int(at*float64(len(sizes)-1))])/1e6, fmt.Sprintf("MB-at-%.0f%%", 100*at))
	}
	live := 0
	for turn := range correlation.Turns {
		var all []correlation.Shard
		for i := range correlation.Shards / correlation.Turns {
			all = append(all, correlation.Shard(turn)*correlation.Shards/correlation.Turns+i)
		}
		saved, err := c.engine.Save(all...)
		require.NoError(b, err)
		for _, b := range saved {
			live += len(b)
		}
	}
	b.ReportMetric(float64(live)/1e6, "MB-live")
	require.NoError(b, c.store.Close(ctx))
	c.close()
	r.stop(ext)
}

func observe(e *correlation.Engine, cgroup string, signals ...signal.Signal) {
	ent := entity.Entity{ID: entity.ID("cgroup:n1:" + cgroup), Kind: entity.Cgroup, Name: filepath.Base(cgroup), CgroupPath: cgroup, CgroupVersion: "2", Node: "n1"}
	for i := range signals {
		signals[i].Entity, signals[i].Layer = ent.ID, finding.LayerCgroup
	}
	e.Observe(signals[0].Time, signal.Batch{Entity: ent, Signals: signals})
}

// scrape is what the cgroup receiver says of a container.
func scrape(e *correlation.Engine, cgroup string, born, now time.Time) {
	age := now.Sub(born).Seconds()
	var all []signal.Signal
	for kind, v := range map[string]float64{signal.MemoryUsed: 100 << 20, signal.MemoryLimit: 512 << 20, signal.MemoryFile: 50 << 20,
		signal.MemoryPressure: 0, signal.CPUStalled: 0, signal.CPULimit: 1, signal.PIDsUsed: 10, signal.PIDsLimit: 100} {
		all = append(all, signal.Signal{Time: now, Kind: kind, Shape: signal.Gauge, Value: v})
	}
	for kind, v := range map[string]float64{signal.OOMKill: 0, signal.MemoryLimitHits: 0, signal.MemoryHigh: 0, signal.MemoryMajorFaults: age,
		signal.CPUPeriods: 10 * age, signal.CPUThrottledPeriods: age, signal.CPUThrottledTime: age / 10, signal.PIDsLimitHits: 0} {
		all = append(all, signal.Signal{Time: now, Kind: kind, Shape: signal.Counter, Value: v, Start: born})
	}
	observe(e, cgroup, all...)
}

// used is the CPU time of this process.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// written is how many bytes this process has written.
func written(b *testing.B) (n int64) {
	io, err := os.ReadFile("/proc/self/io")
	require.NoError(b, err)
	_, err = fmt.Sscanf(string(io), "rchar: %d\nwchar: %d", new(int64), &n)
	require.NoError(b, err)
	return n
}

// size is what the files in a folder take of the disk: they are longer than what was ever written.
func size(b *testing.B, folder string) (n int64) {
	files, err := os.ReadDir(folder)
	require.NoError(b, err)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(b, err)
		n += 512 * info.Sys().(*syscall.Stat_t).Blocks
	}
	return n
}
