//go:build linux

package uprobe

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Of all system calls, filters decide but about the one that the kernel makes for probes.
func TestPasses(t *testing.T) {
	for name, call := range map[string]uint64{"one that is known": unix.SYS_GETPID, "one that there is not": 1000} {
		pass, err := passes(call)
		require.NoError(t, err, name)
		assert.False(t, pass, name)
	}
	symbols, err := os.ReadFile("/proc/kallsyms")
	require.NoError(t, err)
	has, err := hasSymbol(strings.NewReader(string(symbols)), "__x64_sys_uretprobe")
	require.NoError(t, err)
	if !has {
		t.Skip("this kernel has no uretprobe")
	}
	pass, err := passes(uretprobe)
	require.NoError(t, err)
	known, err := ReturnsPass()
	require.NoError(t, err)
	assert.Equal(t, known, pass, "as its version says, if that does")
}

func TestHasSymbol(t *testing.T) {
	const table = "0000000000000000 t __pfx___x64_sys_uretprobe\n0000000000000000 T __x64_sys_uretprobe\n0000000000000000 t other\t[module]\n"
	for name, want := range map[string]bool{"__x64_sys_uretprobe": true, "other": true, "sys_uretprobe": false, "[module]": false} {
		has, err := hasSymbol(strings.NewReader(table), name)
		require.NoError(t, err)
		assert.Equal(t, want, has, name)
	}
	_, err := hasSymbol(strings.NewReader(""), "other")
	assert.Error(t, err, "a kernel that does not tell is not believed")
}
