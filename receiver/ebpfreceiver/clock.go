//go:build linux

package ebpfreceiver

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock turns the kernel's time since the start (CLOCK_MONOTONIC) into the time of day.
type clock struct{}

// ns is the kernel's time now.
func (clock) ns() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return uint64(ts.Nano())
}

// at returns when something happened. It is reckoned back from now, so that a clock that was set does not matter.
func (c clock) at(ns uint64) time.Time {
	return time.Now().Add(time.Duration(ns - c.ns()))
}
