//go:build linux

package uprobe

import (
	"debug/elf"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPlace(t *testing.T) {
	for name, c := range map[string]struct {
		code []byte
		want int
	}{
		"push, as malloc begins":            {[]byte{0x41, 0x54, 0x55}, 0},
		"test and jump, as free begins":     {[]byte{0x48, 0x85, 0xff, 0x0f, 0x84, 0xbf, 0, 0, 0, 0x55}, 3},
		"the check of the stack, as in Go":  {[]byte{0x49, 0x3b, 0x66, 0x10, 0x76, 0x20}, 4},
		"an argument is overwritten before": {[]byte{0x31, 0xff, 0x55}, 0},
		"another register is, before":       {[]byte{0x48, 0x89, 0xf8, 0x55}, 3},
		"the stack is moved before":         {[]byte{0x48, 0x83, 0xec, 0x18, 0x55}, 0},
		"an instruction that is none":       {[]byte{0x06, 0x55}, 0},
		"nothing":                           {nil, 0},
		"memory is written":                 {[]byte{0x48, 0x89, 0x3c, 0x24, 0x55}, 0},
	} {
		assert.Equal(t, c.want, place(c.code, elf.EM_X86_64, C), name)
		assert.Zero(t, place(c.code, elf.EM_AARCH64, C), name)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add([]byte{0x48, 0x85, 0xff, 0x0f, 0x84, 0xbf, 0, 0, 0, 0x55})
	f.Fuzz(func(t *testing.T, code []byte) {
		if at := place(code, elf.EM_X86_64, Go); at < 0 || at > len(code) {
			t.Fatalf("a probe at %d of %d bytes", at, len(code))
		}
	})
}
