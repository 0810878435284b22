//go:build linux

package ebpfreceiver

import (
	"time"

	"github.com/your-org/tapio/bpf"
)

// happened turns the time that the kernel's programs tell into the time of day. It is reckoned back from now, so that a clock that was set
// does not matter.
func happened(ns uint64) time.Time {
	return time.Now().Add(time.Duration(ns - bpf.Now()))
}
