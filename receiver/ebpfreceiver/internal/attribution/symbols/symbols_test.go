package symbols

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// self is this test's program: a Go program with function table and symbols.
func self(t testing.TB) *Object {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	o, err := Open(f)
	require.NoError(t, err)
	require.NotNil(t, o.Go)
	return o
}

func TestGoProgram(t *testing.T) {
	o := self(t)
	assert.Equal(t, runtime.Version(), o.GoVersion)
	assert.Equal(t, "github.com/your-org/tapio", o.GoMain)

	// Since 1.26 the table does not tell where the code begins: this program knows where its functions are.
	const name = "github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols.TestGoProgram"
	here, other := uint64(reflect.ValueOf(TestGoProgram).Pointer()), uint64(reflect.ValueOf(runtime.GC).Pointer())
	_, size, r, ok := o.Section(".gopclntab")
	require.True(t, ok)
	table, err := NewGoTable(r, int64(size), 1<<30)
	require.NoError(t, err)
	entries, err := table.Entries(name, "runtime.GC", "runtime.isNoFunction")
	require.NoError(t, err)
	require.Len(t, entries, 2)
	assert.Equal(t, other-here, entries["runtime.GC"]-entries[name])

	text := here - (entries[name] - 1<<30)
	table, err = NewGoTable(r, int64(size), text)
	require.NoError(t, err)
	frames, err := table.Lookup(here + 1)
	require.NoError(t, err)
	require.Len(t, frames, 1)
	assert.Equal(t, name, frames[0].Function)
	assert.Equal(t, "symbols_test.go", filepath.Base(frames[0].File))
	assert.InDelta(t, 32, frames[0].Line, 4)

	for _, pc := range []uint64{0, text - 1, 1 << 63, 1<<64 - 1} {
		_, err := table.Lookup(pc)
		assert.Error(t, err, "%#x", pc)
	}
}

func TestNative(t *testing.T) {
	matches, err := filepath.Glob("/lib/*-linux-gnu/libc.so.6")
	require.NoError(t, err)
	if len(matches) == 0 {
		t.Skip("no GNU C library here")
	}
	f, err := os.Open(matches[0])
	require.NoError(t, err)
	defer f.Close()
	o, err := Open(f)
	require.NoError(t, err)
	assert.Nil(t, o.Go)
	assert.Len(t, o.BuildID, 40)
	at := o.Find("getenv", "no_such_symbol")
	require.Len(t, at, 1)
	frames := o.Lookup(at["getenv"] + 4)
	require.Len(t, frames, 1)
	assert.Contains(t, frames[0].Function, "getenv")
	assert.Empty(t, o.Lookup(1))
}

func TestOpenRefuses(t *testing.T) {
	for name, b := range map[string]string{"nothing": "", "text": "#!/bin/sh\n", "a magic number alone": "\x7fELF", "32 bits": "\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 64)} {
		_, err := Open(strings.NewReader(b))
		assert.Error(t, err, name)
	}
}

// tinyProgram is a program of two functions, one put into the other, and an address in that; nil where there is no compiler.
func tinyProgram(t testing.TB) ([]byte, uint64) {
	t.Helper()
	dir := t.TempDir()
	source, path := filepath.Join(dir, "tiny.c"), filepath.Join(dir, "tiny")
	require.NoError(t, os.WriteFile(source, []byte(`volatile int n;
static inline void inner(void)
{
	n++;
}
void _start(void)
{
	inner();
	for (;;)
		;
}
`), 0o600))
	if _, err := exec.LookPath("gcc"); err != nil {
		return nil, 0
	}
	out, err := exec.Command("gcc", "-O1", "-g", "-nostdlib", "-static", "-o", path, source).CombinedOutput()
	require.NoError(t, err, string(out))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	o, err := Open(bytes.NewReader(b))
	require.NoError(t, err)
	return b, o.Find("_start")["_start"]
}

func TestLines(t *testing.T) {
	b, at := tinyProgram(t)
	if b == nil {
		t.Skip("no compiler here")
	}
	o, err := Open(bytes.NewReader(b))
	require.NoError(t, err)
	frames := o.Lookup(at)
	require.Len(t, frames, 2)
	assert.Equal(t, "inner", frames[0].Function)
	assert.True(t, frames[0].Inlined)
	assert.Equal(t, 4, frames[0].Line)
	assert.Equal(t, "_start", frames[1].Function)
	assert.Equal(t, 8, frames[1].Line)
	assert.Equal(t, "tiny.c", filepath.Base(frames[1].File))

	// Cut anywhere, it says less, or nothing.
	for n := 0; n < len(b); n += 61 {
		if o, err := Open(bytes.NewReader(b[:n])); err == nil {
			o.Lookup(at)
		}
	}
}

// Files that are looked at together share the room for what they say of themselves. What has none is left out.
func TestRoom(t *testing.T) {
	b, at := tinyProgram(t)
	if b == nil {
		t.Skip("no compiler here")
	}
	lookup := func(room *Room) []Frame {
		o, err := Open(bytes.NewReader(b))
		require.NoError(t, err)
		o.Share(room)
		return o.Lookup(at)
	}
	const plenty = 1 << 30
	room := NewRoom(plenty)
	all := lookup(room)
	require.Len(t, all, 2)
	room = NewRoom(plenty - room.left.Load())
	assert.Equal(t, all, lookup(room))
	assert.Zero(t, room.left.Load())
	assert.Empty(t, lookup(room), "the other file has taken all")

	room = NewRoom(2 * symbolBytes)
	assert.Equal(t, []Frame{{Function: "_start"}}, lookup(room), "debugging information is what takes most")
	assert.EqualValues(t, symbolBytes, room.left.Load(), "what was not kept is given back")
	assert.Equal(t, all, lookup(nil))

	// What is kept of a unit makes room for the next.
	u := &unit{rows: make([]row, 10)}
	d := &debugInfo{room: NewRoom(15 * keptBytes), kept: map[dwarf.Offset]*unit{}}
	d.keep(1, u)
	d.keep(2, u)
	assert.Equal(t, map[dwarf.Offset]*unit{2: u}, d.kept)
	d.keep(3, &unit{rows: make([]row, 16)})
	assert.Empty(t, d.kept)
	assert.EqualValues(t, 15*keptBytes, d.room.left.Load())
}

// FuzzDebug reads DWARF that is anybody's.
func FuzzDebug(f *testing.F) {
	if b, at := tinyProgram(f); b != nil {
		o, err := elf.NewFile(bytes.NewReader(b))
		require.NoError(f, err)
		section := func(name string) []byte {
			s := o.Section(name)
			if s == nil {
				return nil
			}
			b, err := s.Data()
			require.NoError(f, err)
			return b
		}
		f.Add(section(".debug_info"), section(".debug_abbrev"), section(".debug_line"), section(".debug_line_str"), section(".debug_rnglists"), at)
	}
	f.Fuzz(func(_ *testing.T, info, abbrev, line, lineStr, rnglists []byte, pc uint64) {
		d := newDebug(map[string][]byte{"info": info, "abbrev": abbrev, "line": line, "line_str": lineStr, "rnglists": rnglists})
		if d != nil {
			d.lookup(pc)
			d.lookup(pc + 4)
		}
	})
}

// A container's program is anybody's: whatever it says, it must neither crash nor hang us, nor cost much memory.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"), uint64(0x1000))
	if b, at := tinyProgram(f); b != nil {
		f.Add(b, at)
	}
	f.Fuzz(func(_ *testing.T, b []byte, pc uint64) {
		o, err := Open(bytes.NewReader(b))
		if err != nil {
			return
		}
		o.Lookup(pc)
		o.Find("malloc", "free")
		o.Address(pc)
		if o.Go != nil {
			_, _ = o.Go.Entries("main.main", "runtime.mallocgc")
		}
	})
}

func FuzzGoTable(f *testing.F) {
	for _, old := range []bool{false, true} {
		f.Add(tinyTable(old), []byte(strings.Repeat("\x00", 64)), uint64(0x1010))
	}
	f.Fuzz(func(_ *testing.T, b, inline []byte, pc uint64) {
		t, err := NewGoTable(bytes.NewReader(b), int64(len(b)), 0)
		if err != nil {
			return
		}
		t.WithInline(bytes.NewReader(inline))
		_, _ = t.Lookup(pc)
		_, _ = t.Lookup(t.Text() + pc%256)
		_, _ = t.Entries("main.main")
	})
}
