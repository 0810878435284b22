//go:build linux

package ebpfreceiver

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBusiest(t *testing.T) {
	type peer struct {
		port  int
		times uint64
	}
	peers := func() map[string][]peer {
		return map[string][]peer{"/a": {{1, 9}, {2, 1}, {3, 2}}, "/b": {{1, 2}, {2, 7}, {4, 2}}}
	}
	for _, tt := range []struct {
		name string
		room int
		left int
		want map[string][]peer
	}{
		{"there is room for all", 6, 0, peers()},
		{"the least busy is left out", 5, 1, map[string][]peer{"/a": {{1, 9}, {3, 2}}, "/b": {{1, 2}, {2, 7}, {4, 2}}}},
		{"of those alike the first stay", 4, 2, map[string][]peer{"/a": {{1, 9}, {3, 2}}, "/b": {{1, 2}, {2, 7}}}},
		{"the busiest one", 1, 5, map[string][]peer{"/a": {{1, 9}}, "/b": {}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := peers()
			assert.Equal(t, tt.left, busiest(all, tt.room, func(p peer) uint64 { return p.times }))
			assert.Equal(t, tt.want, all)
		})
	}
}
