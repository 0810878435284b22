//go:build linux

package modules

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

// library writes the smallest file that is one, and maps it as a loader does.
func library(t *testing.T, path string) {
	t.Helper()
	const size = 4096
	b := make([]byte, size)
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	code := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Filesz: size, Memsz: size, Align: size}
	n, err := binary.Encode(b, binary.LittleEndian, header)
	require.NoError(t, err)
	_, err = binary.Encode(b[n:], binary.LittleEndian, code)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b, 0o644))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	at, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, unix.Munmap(at)) })
}

// A program may have many libraries. Of more than are read it is said that there are.
func TestMany(t *testing.T) {
	dir := t.TempDir()
	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	read := func() (libraries int, unread error) {
		m, err := Read(p, nil)
		require.NoError(t, err)
		defer func() { assert.NoError(t, m.Close()) }()
		for _, mod := range m.All() {
			if strings.HasPrefix(mod.Path, dir) {
				libraries++
			}
		}
		return libraries, m.Unread()
	}
	for i := range 70 {
		library(t, filepath.Join(dir, fmt.Sprintf("lib%d.so", i)))
	}
	n, unread := read()
	assert.Equal(t, 70, n)
	assert.NoError(t, unread)
	for i := range maxOpen {
		library(t, filepath.Join(dir, fmt.Sprintf("more%d.so", i)))
	}
	n, unread = read()
	assert.LessOrEqual(t, n, maxOpen)
	assert.ErrorContains(t, unread, fmt.Sprint(maxOpen))
}

// What stands on a stack points into all that a program has mapped. What is not code is not opened for it.
func TestDataIsNoModule(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(path, make([]byte, 4096), 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	data, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { assert.NoError(t, unix.Munmap(data)) }()
	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	m, err := Read(p, nil)
	require.NoError(t, err)
	defer func() { assert.NoError(t, m.Close()) }()
	at := uint64(uintptr(unsafe.Pointer(&data[64])))
	assert.False(t, m.Calls(at, at))
	assert.Equal(t, "?", m.Frames(at)[0].Function)
	assert.Empty(t, m.open)
}

// All files of a process share the room that there is: of one that is mapped by many names, each is another.
func TestRoom(t *testing.T) {
	w := exec.Command("sleep", "60")
	require.NoError(t, w.Start())
	defer func() {
		require.NoError(t, w.Process.Kill())
		_ = w.Wait()
	}()
	p, err := process.Open(w.Process.Pid)
	require.NoError(t, err)
	const plenty = 1 << 30
	require.Eventually(t, func() bool { // it has loaded its libraries
		room := symbols.NewRoom(plenty)
		m, err := Read(p, room)
		require.NoError(t, err)
		defer func() { assert.NoError(t, m.Close()) }()
		m.Prepare()
		return !room.Take(plenty - 1000*32) // of a thousand functions
	}, 10*time.Second, 10*time.Millisecond)
}
