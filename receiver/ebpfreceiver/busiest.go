//go:build linux

package ebpfreceiver

import (
	"maps"
	"slices"
)

// busiest leaves of what all cgroups have as many as there is room for, those with the most times, and returns how many it left out.
// They are the same ones each time, as long as they stay the busiest: each that comes and goes is another series to whoever stores them.
func busiest[T any](all map[string][]T, room int, times func(T) uint64) (left int) {
	var sorted []uint64
	for _, of := range all {
		for _, t := range of {
			sorted = append(sorted, times(t))
		}
	}
	if left = len(sorted) - room; left <= 0 {
		return 0
	}
	slices.Sort(sorted)
	least := sorted[left]
	// Of those with as few as the last that there is room for, the first in order.
	few := 0
	for _, n := range sorted[left:] {
		if n == least {
			few++
		}
	}
	for _, cgroup := range slices.Sorted(maps.Keys(all)) {
		all[cgroup] = slices.DeleteFunc(all[cgroup], func(t T) bool {
			n := times(t)
			if n == least {
				few--
				return few < 0
			}
			return n < least
		})
	}
	return left
}
