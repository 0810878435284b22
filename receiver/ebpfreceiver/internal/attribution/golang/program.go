//go:build linux

package golang

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

// ErrNotGo says that a process is no Go program.
var ErrNotGo = errors.New("not a Go program")

// Program is a running Go program.
type Program struct {
	*process.Process
	Object *symbols.Object
	// Version is its toolchain's, as "go1.26.0".
	Version string
	// Path is the file it was started from, as a path of ours.
	Path string

	layout layout
	bias   uint64 // what is added to the linker's addresses
	file   *os.File
	module module
}

// module is the part of runtime.moduledata that is of use; addresses are the process's.
type module struct{ text, gofunc uint64 }

// Open looks at a process's program. The error is ErrNotGo for other programs.
func Open(p *process.Process) (g *Program, err error) {
	path := filepath.Join(process.Proc, strconv.Itoa(p.PID), "exe")
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the program of process %d: %w", p.PID, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	o, err := symbols.Open(f)
	if err != nil {
		return nil, fmt.Errorf("open the program of process %d: %w", p.PID, err)
	}
	if o.Go == nil {
		return nil, ErrNotGo
	}
	g = &Program{Process: p, Object: o, Version: o.GoVersion, Path: path, file: f}
	if g.layout, err = layoutOf(o.GoVersion); err != nil {
		return nil, err
	}
	if g.bias, err = bias(p, o); err != nil {
		return nil, err
	}
	if g.module, err = g.findModule(); err != nil {
		return nil, err
	}
	// Addresses in the table's terms are the linker's, so that the file serves all processes of the program.
	text := g.module.text - g.bias
	_, size, r, ok := o.Section(".gopclntab")
	if !ok {
		_, size, r, ok = o.Section(".data.rel.ro.gopclntab")
	}
	if ok {
		if o.Go, err = symbols.NewGoTable(r, int64(size), text); err != nil {
			return nil, err
		}
	}
	if g.module.gofunc != 0 {
		o.Go.WithInline(o.At(g.module.gofunc - g.bias))
	}
	return g, nil
}

// Close closes its file.
func (g *Program) Close() error { return g.file.Close() }

// bias finds how far from the linker's addresses a program was loaded.
func bias(p *process.Process, o *symbols.Object) (uint64, error) {
	exe, err := os.Readlink(filepath.Join(process.Proc, strconv.Itoa(p.PID), "exe"))
	if err != nil {
		return 0, fmt.Errorf("find the program of process %d: %w", p.PID, err)
	}
	maps, err := p.Maps()
	if err != nil {
		return 0, err
	}
	for _, m := range maps {
		if m.Path != exe {
			continue
		}
		if at, ok := o.Address(m.Offset); ok {
			return m.Start - at, nil
		}
	}
	return 0, fmt.Errorf("process %d has not mapped its program %s", p.PID, exe)
}

// maxData bounds the data in which the module is looked for.
const maxData = 64 << 20

// findModule finds runtime.firstmoduledata, which begins with the address of the function table, followed by that of the names.
func (g *Program) findModule() (m module, err error) {
	table := g.Object.GoTableAt + g.bias
	names, err := g.Uint64(table + 8 + 3*8)
	if err != nil {
		return m, err
	}
	names += table
	for _, s := range g.Object.Segments() {
		at, err := g.search(s, table, names)
		if err != nil {
			return m, err
		}
		if at == 0 {
			continue
		}
		if m.text, err = g.Uint64(at + moduledataText); err != nil {
			return m, err
		}
		if m.gofunc, err = g.Uint64(at + g.layout.gofunc); err != nil {
			return m, err
		}
		if _, ok := g.Object.Offset(m.gofunc - g.bias); !ok {
			m.gofunc = 0
		}
		if _, ok := g.Object.Offset(m.text - g.bias); !ok {
			break
		}
		return m, nil
	}
	return m, fmt.Errorf("process %d: no module data of %s found in the program", g.PID, g.Version)
}

// search looks for two words, one after the other, in a segment.
func (g *Program) search(s elf.ProgHeader, first, second uint64) (uint64, error) {
	const step = 1 << 20
	buf := make([]byte, step+8)
	start := (s.Vaddr + g.bias) &^ 7
	for at := start; at < start+min(s.Filesz, maxData); at += step {
		n, err := g.ReadAt(buf, int64(at))
		if err != nil && n < 16 {
			if errors.Is(err, process.ErrGone) {
				return 0, err
			}
			return 0, nil //nolint:nilerr // the segment's end
		}
		for i := 0; i+16 <= n; i += 8 {
			if binary.LittleEndian.Uint64(buf[i:]) == first && binary.LittleEndian.Uint64(buf[i+8:]) == second {
				return at + uint64(i), nil
			}
		}
	}
	return 0, nil
}

// functions finds where functions are in the program's file: what uprobes want.
func (g *Program) functions(names ...string) (map[string]uint64, error) {
	entries, err := g.Object.Go.Entries(names...)
	if err != nil {
		return nil, fmt.Errorf("find functions of the Go runtime: %w", err)
	}
	for _, name := range names {
		at, ok := entries[name]
		if !ok {
			return nil, fmt.Errorf("the program has no function %s", name)
		}
		off, ok := g.Object.Offset(at)
		if !ok {
			return nil, fmt.Errorf("find functions of the Go runtime: %s is at %#x, which is not in the file", name, at)
		}
		entries[name] = off
	}
	return entries, nil
}

// Lookup tells the functions that an address of the process is in, the innermost first.
func (g *Program) Lookup(pc uint64) []symbols.Frame {
	frames := g.Object.Lookup(pc - g.bias)
	for i := range frames {
		frames[i].Function = instantiated(frames[i].Function)
	}
	return frames
}

// instantiated leaves type arguments away, as Go does where it tells a stack: they name shapes, which several types share.
func instantiated(function string) string {
	from, to := strings.IndexByte(function, '['), strings.LastIndexByte(function, ']')
	if from < 0 || to < from {
		return function
	}
	return function[:from] + "[...]" + function[to+1:]
}

var _ io.ReaderAt = (*Program)(nil)
