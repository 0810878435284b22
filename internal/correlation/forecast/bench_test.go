package forecast

import (
	"math"
	"math/rand"
	"testing"
	"time"
	"unsafe"
)

// A series takes at most 4 KiB, whatever it has seen, but for the lives it remembers (24 bytes each).
func TestASeriesIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Series{}); size > 4<<10 {
		t.Errorf("a Series takes %d bytes", size)
	}
}

// BenchmarkObserve is one sample of a long series, in the course that costs most: swings, so that two views are taken.
func BenchmarkObserve(b *testing.B) {
	for name, level := range map[string]func(m float64) float64{
		"leak":     func(m float64) float64 { return 0.2 + 0.00001*m },
		"sawtooth": func(m float64) float64 { return 0.2 + 0.00001*m + 0.2*math.Mod(m, 9)/9 },
		"flat":     func(m float64) float64 { return 0.5 },
	} {
		b.Run(name, func(b *testing.B) {
			var s Series
			r := rand.New(rand.NewSource(1))
			at, i := start, 0
			observe := func() {
				at = at.Add(5 * time.Second)
				i++
				s.Observe(Sample{Time: at, Used: (math.Min(0.9, level(float64(i)/12)) + 0.003*r.Float64()) * limit, Limit: limit})
			}
			for range 40000 {
				observe()
			}
			b.ReportMetric(float64(unsafe.Sizeof(s)), "bytes/series")
			b.ReportAllocs()
			for b.Loop() {
				observe()
			}
		})
	}
}
