//go:build linux

package ebpfreceiver

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

func TestMissingCapabilities(t *testing.T) {
	for _, c := range []struct {
		name, status string
		want         []string
	}{
		{"root", "Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n", nil},
		{"CAP_SYS_ADMIN stands for both", "CapEff:\t0000000000200000\n", nil},
		{"just what is needed", "CapEff:\t000000c000000000\n", nil},
		{"one of them", "CapEff:\t0000008000000000\n", []string{"CAP_PERFMON"}},
		{"none", "CapEff:\t0000000000000000\n", []string{"CAP_BPF", "CAP_PERFMON"}},
		{"not a status", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, missing(c.status, loading)) })
	}
}

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
