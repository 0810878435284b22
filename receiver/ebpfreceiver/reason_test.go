//go:build linux

package ebpfreceiver

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// What the reader is told says what to do, whatever the kernel's own words are.
func TestReason(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("attach x: %w", unix.ENOENT), "lacks a tracepoint"},
		{fmt.Errorf("load: %w", ebpf.ErrNotSupported), "Linux 5.10 and later"},
		{fmt.Errorf("load: %w", unix.EINVAL), "please report this"},
	} {
		assert.Contains(t, reason(c.err), c.want)
	}
}
