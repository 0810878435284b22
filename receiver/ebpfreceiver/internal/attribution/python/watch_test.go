//go:build linux

package python

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// What a program keeps grows, evenly or not; what it sweeps, or empties when it is full, does not.
func TestGroupGrows(t *testing.T) {
	for name, c := range map[string]struct {
		size func(second float64) int
		want bool
	}{
		"evenly":                     {func(s float64) int { return int(100 * s) }, true},
		"not while it had no CPU":    {func(s float64) int { return int(100 * (min(s, 4) + max(s-9, 0)*6)) }, true},
		"with some that are removed": {func(s float64) int { return int(100*s) + int(10*s)%10 }, true},
		"until it is full":           {func(s float64) int { return min(int(400*s), 1600) }, false},
		"until it is nearly full":    {func(s float64) int { return min(int(200*s), 1500) }, false},
		"swept each 1.5 seconds":     {func(s float64) int { return 1000 + int(1000*s)%1500 }, false},
		"swept each second":          {func(s float64) int { return 1000 + int(1003*s)%1000 }, false},
		// Looked at that often, it seems to grow slowly.
		"swept about each half second": {func(s float64) int { return 1000 + int(1000*s/0.487)%1000 }, false},
		"swept twice":                  {func(s float64) int { return int(1000*s) % 5500 }, false},
		"swept, with some kept":        {func(s float64) int { return int(1000*s) + int(500*s)%500 }, true},
	} {
		of := group{points: make([]trend.Point, looks+1)}
		for n := range of.points {
			at := when(n, 10*time.Second)
			of.points[n] = trend.Point{At: at, Bytes: float64(c.size(at.Seconds()))}
		}
		assert.Equal(t, c.want, of.grows(), name)
	}
}

// Who looks may have had no CPU for a while, and then looks several times in a row.
func TestGroupGrowsUnevenlySeen(t *testing.T) {
	for name, seen := range map[string]func(at time.Duration) time.Duration{
		"not at the beginning": func(at time.Duration) time.Duration { return max(at, 6*time.Second) },
		"not in the middle":    func(at time.Duration) time.Duration { return max(at, min(2*at, 8*time.Second)) },
		"not at the end": func(at time.Duration) time.Duration {
			if at > 5*time.Second {
				return max(at, 9900*time.Millisecond)
			}
			return at
		},
	} {
		of := group{points: make([]trend.Point, looks+1)}
		for n := range of.points[1:] {
			at := seen(when(n+1, 10*time.Second))
			of.points[n+1] = trend.Point{At: at, Bytes: 100 * at.Seconds()}
		}
		assert.True(t, of.grows(), name)
	}
}

// What was counted by going through all of it must never have become less.
func TestRises(t *testing.T) {
	for name, c := range map[string]struct {
		counts []int
		want   bool
	}{
		"all the time":                    {[]int{100, 600, 1100}, true},
		"also when it was counted again":  {[]int{100, 600, 750, 900, 1100}, true},
		"not for a while":                 {[]int{100, 600, 600, 900, 1100}, true},
		"few":                             {[]int{100, 120, 140}, false},
		"no more in the second half":      {[]int{100, 1000, 1000, 1000, 1050}, false},
		"not in the first half":           {[]int{100, 90, 500, 700, 1100}, false},
		"it was emptied once":             {[]int{100, 600, 50, 700, 1100}, false},
		"it was emptied, and grew larger": {[]int{100, 600, 1000, 300, 1100}, false},
	} {
		var w watch
		for _, n := range c.counts {
			w.walks = append(w.walks, walked{kinds: map[kin]int{{1, 2}: n}})
		}
		_, ok := w.rises(leastObjects, func(all walked) int { return all.kinds[kin{1, 2}] })
		assert.Equal(t, c.want, ok, name)
	}
}
