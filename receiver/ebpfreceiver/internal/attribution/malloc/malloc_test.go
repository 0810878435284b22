//go:build linux

package malloc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestShare(t *testing.T) {
	const window, growth = 10 * time.Second, 1e6
	leak, churn, cache := []uint64{1, 9}, []uint64{2, 9}, []uint64{3, 9}
	of := func(stack []uint64, n int, change func(s *sample)) (all []*sample) {
		for i := range n {
			s := &sample{stack: stack, size: 100, weight: 1000, at: time.Duration(i) * time.Second % (window / 2)}
			change(s)
			all = append(all, s)
		}
		return all
	}
	stable, changed, dead := func(*sample) {}, func(s *sample) { s.changed = true }, func(s *sample) { s.dead = true }
	young := func(s *sample) { s.at = window * 9 / 10 }
	names := func(held []Held) map[uint64]float64 {
		m := map[uint64]float64{}
		for _, h := range held {
			m[h.Stack[0]] = h.Bytes
		}
		return m
	}
	for name, c := range map[string]struct {
		all  [][]*sample
		want map[uint64]float64
		// unmarked is what an allocator shows that does not write into what is given back.
		unmarked map[uint64]float64
	}{
		"what stays":                         {[][]*sample{of(leak, 8, stable)}, map[uint64]float64{1: growth}, nil},
		"in equal parts":                     {[][]*sample{of(leak, 8, stable), of(cache, 8, stable)}, map[uint64]float64{1: growth / 2, 3: growth / 2}, nil},
		"the churner dies":                   {[][]*sample{of(leak, 8, stable), of(churn, 200, dead)}, map[uint64]float64{1: growth}, nil},
		"what is used, and never given back": {[][]*sample{of(leak, 8, changed)}, map[uint64]float64{1: growth}, nil},
		"the churner's place is taken":       {[][]*sample{of(leak, 8, stable), of(churn, 50, dead), of(churn, 50, changed)}, map[uint64]float64{1: growth}, nil},
		"too young to tell":                  {[][]*sample{of(leak, 8, young)}, map[uint64]float64{}, nil},
		"too few to tell":                    {[][]*sample{of(leak, 3, stable)}, map[uint64]float64{}, nil},
		"where nothing is written into what is given back, a few that stay prove nothing": {
			[][]*sample{of(leak, 8, stable), of(churn, 10, dead), of(churn, 8, stable)},
			map[uint64]float64{1: growth / 2, 2: growth / 2}, map[uint64]float64{1: growth},
		},
	} {
		var all []*sample
		for _, s := range c.all {
			all = append(all, s...)
		}
		assert.Equal(t, c.want, names(share(all, window, growth, true)), name)
		if c.unmarked != nil {
			assert.Equal(t, c.unmarked, names(share(all, window, growth, false)), name)
		}
	}
}
