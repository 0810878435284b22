//go:build linux

package python

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"
	"strings"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// Program is a running interpreter.
type Program struct {
	*process.Process
	// Version is "3.11".
	Version string

	at      offsets
	runtime uint64
	files   map[uint64]string // of modules, by their addresses
}

// Open finds the interpreter of a process.
func Open(p *process.Process, m *modules.Modules) (*Program, error) {
	maps, err := p.Maps()
	if err != nil {
		return nil, err
	}
	for _, prefix := range []string{"libpython", "python", ""} {
		mod := m.Named(func(base string) bool { return strings.HasPrefix(base, prefix) })
		if mod == nil {
			continue
		}
		found := m.Find(mod, "_PyRuntime", "Py_Version")
		runtime, ok := found["_PyRuntime"]
		if !ok {
			continue
		}
		var version uint64
		if at, ok := found["Py_Version"]; ok {
			if version, err = p.Uint64(at); err != nil {
				return nil, err
			}
		}
		o, err := offsetsOf(version, maps)
		if err != nil {
			return nil, err
		}
		if err := o.improve(p, runtime); err != nil {
			return nil, err
		}
		g := &Program{Process: p, Version: fmt.Sprintf("3.%d", o.minor), at: o, runtime: runtime, files: map[uint64]string{}}
		// What must be true of it: there are modules, with builtins and sys among them.
		roots, _, err := g.roots(context.Background(), newGraph(p, o))
		if err != nil {
			return nil, err
		}
		if len(roots) == 0 {
			return nil, errors.New("its interpreter has no modules (yet), or is none that is known")
		}
		return g, nil
	}
	return nil, errors.New("its interpreter does not tell where it is: no symbol _PyRuntime (Python 3.7 and later have it)")
}

// Bounds of what is gone through to find roots.
const (
	maxInterpreters = 16
	maxThreads      = 256
	maxFrames       = 128
	maxRoots        = 20_000
)

// roots are the modules of all interpreters, and the variables of functions that run. whole says that it had the time to find all.
func (p *Program) roots(ctx context.Context, g *graph) (all []root, whole bool, err error) {
	runtime.LockOSThread() // its CPU time is bounded
	defer runtime.UnlockOSThread()
	until := used() + rootsTime
	late := func() bool { return used() > until || ctx.Err() != nil }
	interpreter, err := p.Uint64(p.runtime + p.at.interpreters)
	if err != nil {
		return nil, false, err
	}
	for range maxInterpreters {
		if !place(interpreter) {
			break
		}
		table, err := p.Uint64(interpreter + p.at.modules)
		if err != nil {
			return nil, false, err
		}
		found := p.modules(g, table)
		if len(found) == 0 {
			break // it is not what it is taken for
		}
		all = append(all, found...)
		thread, err := p.Uint64(interpreter + p.at.threads)
		if err != nil {
			return nil, false, err
		}
		for range maxThreads {
			if !place(thread) || len(all) >= maxRoots || late() {
				break
			}
			if of, err := p.Uint64(thread + p.at.threadInterp); err != nil || of != interpreter {
				break
			}
			all = append(all, p.frames(g, thread, late)...)
			if thread, err = p.Uint64(thread + p.at.threadNext); err != nil {
				break
			}
		}
		if interpreter, err = p.Uint64(interpreter + p.at.next); err != nil {
			return nil, false, err
		}
	}
	return all[:min(len(all), maxRoots)], !late(), nil
}

// modules are those in sys.modules; none when it is not what it must be.
func (p *Program) modules(g *graph, table uint64) []root {
	o, ok := g.object(table)
	if !ok || o.typ.class != dict {
		return nil
	}
	var all []root
	proof := 0
	g.entries(o, func(key, value uint64) {
		name, ok := g.str(key)
		of, isObject := g.object(value)
		if !ok || !isObject || of.typ.class != module || len(all) >= maxRoots {
			return
		}
		if name == "sys" || name == "builtins" {
			proof++
			return // what they hold is Python's own
		}
		r := root{name: name, addr: value, rank: ofLibrary}
		if r.file, ok = p.files[value]; !ok {
			if space, ok := g.object(of.word(16)); ok && space.typ.class == dict {
				r.file, _ = g.str(g.item(space, "__file__"))
			}
			p.files[value] = r.file
		}
		if name == "__main__" || r.file != "" && !library(r.file) {
			r.rank = ofProgram
		}
		all = append(all, r.identified())
	})
	if proof < 2 {
		return nil
	}
	return all
}

// library says whether a file is Python's, or one that was installed.
func library(file string) bool {
	for _, part := range []string{"/site-packages/", "/dist-packages/", "/lib/python3"} {
		if strings.Contains(file, part) {
			return true
		}
	}
	return false
}

func (r root) identified() root {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.name + "\x00" + r.within + "\x00" + r.file))
	r.id = h.Sum64()
	return r
}

// frames are the variables of the functions that a thread runs.
func (p *Program) frames(g *graph, thread uint64, late func() bool) []root {
	var all []root
	frame, err := p.Uint64(thread + p.at.frame)
	if err == nil && p.at.between {
		frame, err = p.Uint64(frame + p.at.betweenFrame)
	}
	for range maxFrames {
		if err != nil || !place(frame) || late() {
			break
		}
		of, e := p.Uint64(frame + p.at.code)
		if e != nil {
			break
		}
		if r, ok := g.function(of); ok {
			g.variables(frame, func(ref, key uint64, _ step) {
				if r.name, ok = g.str(key); ok && len(all) < maxRoots {
					r.addr, r.rank = ref, ofFrame
					all = append(all, r.identified())
				}
			})
		}
		frame, err = p.Uint64(frame + p.at.previous)
	}
	return all
}
