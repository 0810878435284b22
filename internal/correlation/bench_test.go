package correlation_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// busy is an engine that watches n cgroups, each with all that the cgroup receiver says, read every 5 s; one in a hundred
// leaks. It has run for a while.
func busy(b testing.TB, n, scrapes int) (*world, []entity.Entity) {
	s := settings(b)
	s.MaxEntities = 2 * n
	w := newWorld(b, s)
	entities := make([]entity.Entity, n)
	for i := range entities {
		entities[i] = w.cgroup(fmt.Sprintf("/kubepods/pod%d/c%d", i/2, i))
	}
	for range scrapes {
		scrape(w, entities)
	}
	return w, entities
}

func scrape(w *world, entities []entity.Entity) {
	w.now = w.now.Add(5 * time.Second)
	age := w.now.Sub(start).Seconds()
	for i, e := range entities {
		used := 100.0 * mi
		if i%100 == 0 {
			used += age * mi / 10
		}
		w.observe(e, gauge(signal.MemoryUsed, used), gauge(signal.MemoryLimit, 512*mi), gauge(signal.MemoryFile, 50*mi),
			gauge(signal.MemoryPressure, 0), gauge(signal.CPUStalled, 0), gauge(signal.CPULimit, 1), gauge(signal.PIDsUsed, 10), gauge(signal.PIDsLimit, 100),
			counter(signal.OOMKill, 0, start), counter(signal.MemoryLimitHits, 0, start), counter(signal.MemoryHigh, 0, start),
			counter(signal.MemoryMajorFaults, age, start), counter(signal.CPUPeriods, 10*age, start), counter(signal.CPUThrottledPeriods, age, start),
			counter(signal.CPUThrottledTime, age/10, start), counter(signal.PIDsLimitHits, 0, start))
	}
	w.engine.Evaluate(w.now)
}

// One scrape of n cgroups, 16 signals each: taken in, forecast, and held against all patterns.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("entities=%d", n), func(b *testing.B) {
			w, entities := busy(b, n, 60)
			b.ReportAllocs()
			for b.Loop() {
				scrape(w, entities)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entity")
		})
	}
}

// A second's look at 1,000 entities, of which ten are read in it, unless they are gone.
func BenchmarkTick(b *testing.B) {
	const n = 1000
	cgroup := func(w *world, i int) entity.Entity { return w.cgroup(fmt.Sprintf("/kubepods/pod%d/c%d", i/2, i)) }
	certificate := func(_ *world, i int) entity.Entity {
		return entity.Entity{ID: entity.ID(fmt.Sprint("certificate:", i)), Kind: entity.Certificate, Name: fmt.Sprint(i)}
	}
	for _, tt := range []struct {
		found  string // once of each entity
		of     func(*world, int) entity.Entity
		kinds  []string // of events
		active int
	}{
		{found: "nothing", of: cgroup},
		{found: "kill", of: cgroup, kinds: []string{signal.OOMKill}, active: n},
		{found: "kill-and-end", of: cgroup, kinds: []string{signal.OOMKill, signal.Removed}, active: n},
		{found: "prediction", of: certificate, active: n},
	} {
		b.Run("found="+tt.found, func(b *testing.B) {
			var w *world
			var entities []entity.Entity
			read := func(e entity.Entity) {
				w.observe(e, gauge(signal.MemoryUsed, 100*mi), gauge(signal.MemoryLimit, 512*mi), gauge(signal.PIDsUsed, 10),
					gauge(signal.CertificateLeft, 1e6-w.now.Sub(start).Seconds()))
			}
			begin := func() {
				w, entities = newWorld(b, settings(b)), nil
				for i := range n {
					e := tt.of(w, i)
					entities = append(entities, e)
					read(e)
				}
				w.now = w.now.Add(time.Second)
				for _, e := range entities {
					for _, kind := range tt.kinds {
						w.observe(e, signal.Signal{Kind: kind, Shape: signal.Event, Value: 1})
					}
				}
				w.engine.Evaluate(w.now)
			}
			begin()
			gone := slices.Contains(tt.kinds, signal.Removed)
			second := 0
			for b.Loop() {
				if second++; second%500 == 0 { // a kill is told for ten minutes
					b.StopTimer()
					begin()
					b.StartTimer()
				}
				w.now = w.now.Add(time.Second)
				for i := range 10 {
					if !gone {
						read(entities[(10*second+i)%n])
					}
				}
				w.engine.Evaluate(w.now)
			}
			b.StopTimer()
			active := slices.DeleteFunc(w.engine.Findings(), func(f finding.Finding) bool { return f.State != finding.Active })
			require.Len(b, active, tt.active)
		})
	}
}

// All that is known of 1,000 entities is stored: once in a save interval.
func BenchmarkSave(b *testing.B) {
	var all []correlation.Shard
	for at := range correlation.Shards {
		all = append(all, at)
	}
	w, _ := busy(b, 1000, 60)
	for b.Loop() {
		w.save(all...)
	}
	size := 0
	for _, b := range w.stored {
		size += len(b)
	}
	b.ReportMetric(float64(size), "bytes")
}

func BenchmarkRestore(b *testing.B) {
	w, _ := busy(b, 1000, 60)
	w.saveAll()
	s := settings(b)
	for b.Loop() {
		e, err := correlation.New(s)
		require.NoError(b, err)
		require.Empty(b, e.Restore(w.now, w.stored))
	}
}

// What an entity takes of the heap, after an hour.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const n = 1000
	for b.Loop() {
		before := heap()
		w, entities := busy(b, n, 720)
		b.ReportMetric(float64(heap()-before)/n, "B/entity")
		runtime.KeepAlive(w)
		runtime.KeepAlive(entities)
	}
}
