//go:build linux

package ebpfreceiver

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock turns the kernel's time since the start (CLOCK_MONOTONIC) into the time of day.
type clock struct{}

// at returns when something happened. It is reckoned back from now, so that a clock that was set does not matter.
func (clock) at(ns uint64) time.Time {
	var ts unix.Timespec
	now := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return now
	}
	return now.Add(time.Duration(int64(ns) - ts.Nano()))
}
