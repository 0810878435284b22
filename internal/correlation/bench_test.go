package correlation_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
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

// A look at 1,000 entities of which nothing new was heard: once a second.
func BenchmarkTick(b *testing.B) {
	w, _ := busy(b, 1000, 60)
	for b.Loop() {
		w.engine.Evaluate(w.now)
	}
}

// A look where 1,000 containers were killed and are gone: once a second.
func BenchmarkTickOfTheGone(b *testing.B) {
	w, entities := busy(b, 1000, 1)
	for _, e := range entities {
		w.observe(e, signal.Signal{Kind: signal.OOMKill, Shape: signal.Event, Value: 1}, signal.Signal{Kind: signal.Removed, Shape: signal.Event, Value: 1})
	}
	w.engine.Evaluate(w.now)
	require.Len(b, w.engine.Findings(), len(entities))
	for b.Loop() {
		w.now = w.now.Add(time.Second)
		if w.now.Sub(start) > time.Minute { // it must not end
			w.now = start.Add(30 * time.Second)
		}
		w.engine.Evaluate(w.now)
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
