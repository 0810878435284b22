//go:build linux

package ebpfreceiver

import (
	"bytes"
	"slices"
	"strings"
)

// cgroupPath puts together the path of a cgroup from its names as the kernel has them: from the leaf to the root, each ended
// by a zero.
func cgroupPath(names []byte) string {
	parts := strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00")
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

// text is a string of C in a fixed array.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.ToValidUTF8(string(b), "?")
}
