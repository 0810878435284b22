//go:build linux

package bpf

import "golang.org/x/sys/unix"

// Now is the time by the clock that the programs tell, in nanoseconds since the machine started (CLOCK_MONOTONIC).
func Now() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it fails for no clock that there is
	return uint64(ts.Nano())
}
