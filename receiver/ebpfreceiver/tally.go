//go:build linux

package ebpfreceiver

import (
	"maps"
	"slices"
)

// tallied is what is counted, such as a peer that is connected to, and who is told of it.
type tallied[K comparable] struct {
	who  string
	what K
}

// tally is how often each happened.
type tally[K comparable, V any] map[tallied[K]]*V

// at is where one is counted; nil when there is no room for one more.
func (t tally[K, V]) at(who string, what K, room int) *V {
	k := tallied[K]{who, what}
	if t[k] == nil && len(t) < room {
		t[k] = new(V)
	}
	return t[k]
}

// clone is one that can be counted on without changing this one.
func (t tally[K, V]) clone() tally[K, V] {
	c := make(tally[K, V], len(t))
	for k, v := range t {
		of := *v
		c[k] = &of
	}
	return c
}

// keep forgets what nobody is told of any more but those that are known.
func (t tally[K, V]) keep(known map[string]bool) {
	maps.DeleteFunc(t, func(k tallied[K], _ *V) bool { return !known[k.who] })
}

// byOwner is what each owner is told of, in order.
func (t tally[K, V]) byOwner(compare func(a, b *V) int) map[string][]*V {
	of := map[string][]*V{}
	for k, v := range t {
		of[k.who] = append(of[k.who], v)
	}
	for _, some := range of {
		slices.SortFunc(some, compare)
	}
	return of
}
