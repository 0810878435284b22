//go:build linux

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Lost is how many events and counts the programs of an object had no room for: the sum of its map lost (headers/tapio.h) over all CPUs.
func Lost(lost *ebpf.Map) (n uint64, err error) {
	var each []uint64
	if err := lost.Lookup(uint32(0), &each); err != nil {
		return 0, fmt.Errorf("read how many events were lost: %w", err)
	}
	for _, of := range each {
		n += of
	}
	return n, nil
}
