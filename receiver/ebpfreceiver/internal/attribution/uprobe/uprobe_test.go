//go:build linux

package uprobe

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A tracer that has come first, and wants the kernel to count at a place of its own, keeps others from that function. They are told why.
func TestRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it puts probes at functions")
	}
	require.NoError(t, rlimit.RemoveMemlock())
	// A file that nobody else has mapped.
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path, self, 0o755))
	object, err := elf.Open(path)
	require.NoError(t, err)
	defer object.Close()
	var at uint64
	for _, p := range object.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			at = object.Entry - p.Vaddr + p.Off
		}
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, License: "GPL",
	})
	require.NoError(t, err)
	defer program.Close()

	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	f, err := Open(file, object.Machine)
	require.NoError(t, err)
	first, err := f.Enter(at, C, program, os.Getpid())
	require.NoError(t, err, "before there is another")
	require.NoError(t, first.Close())

	place, err := f.entry(at, C)
	require.NoError(t, err)
	other, err := link.OpenExecutable(path)
	require.NoError(t, err)
	tracer, err := other.Uprobe("", program, &link.UprobeOptions{Address: place, RefCtrOffset: 6})
	require.NoError(t, err)
	defer tracer.Close()
	_, err = f.Enter(at, C, program, os.Getpid())
	assert.ErrorContains(t, err, "another tracer has probes with a counter of references")
}
