//go:build linux

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Lost is how many events and counts the programs of an object had no room for: the sum of its map lost (headers/tapio.h) over all CPUs.
func Lost(lost *ebpf.Map) (uint64, error) {
	n, err := sum(lost)
	if err != nil {
		return 0, fmt.Errorf("read how many events were lost: %w", err)
	}
	return n, nil
}

// Untold is how many ends of processes were counted only: the sum of the map untold (process.bpf.c) over all CPUs.
func Untold(untold *ebpf.Map) (uint64, error) {
	n, err := sum(untold)
	if err != nil {
		return 0, fmt.Errorf("read how many ends of processes were not told: %w", err)
	}
	return n, nil
}

// sum adds up what each CPU has counted in a map with one entry.
func sum(m *ebpf.Map) (n uint64, err error) {
	var each []uint64
	if err := m.Lookup(uint32(0), &each); err != nil {
		return 0, err
	}
	for _, of := range each {
		n += of
	}
	return n, nil
}
