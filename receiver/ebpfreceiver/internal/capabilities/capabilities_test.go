//go:build linux

package capabilities

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMissing(t *testing.T) {
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
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, Missing(c.status, Loading)) })
	}
}
