//go:build linux

// Package malloc finds out what a program keeps that it has allocated with malloc and its like: C, C++, Rust, and what they are
// called by.
package malloc

import (
	"path/filepath"
	"strings"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
)

// Which function is called: the enumeration in bpf/malloc.bpf.c.
const (
	callMalloc = iota
	callCalloc
	callRealloc
	callMemalign
	callPosixMemalign
	callFree
	calls
)

// functions are what is watched, by what they are called in C: free first, so that nothing is sampled and given back unseen.
var functions = []struct {
	name    string
	call    int
	program string
}{
	{"free", callFree, bpf.MallocProgTapioFree},
	{"malloc", callMalloc, bpf.MallocProgTapioMalloc},
	{"calloc", callCalloc, bpf.MallocProgTapioCalloc},
	{"realloc", callRealloc, bpf.MallocProgTapioRealloc},
	{"memalign", callMemalign, bpf.MallocProgTapioMemalign},
	{"aligned_alloc", callMemalign, bpf.MallocProgTapioMemalign},
	{"posix_memalign", callPosixMemalign, bpf.MallocProgTapioPosixMemalign},
	// jemalloc, as Rust programs call it.
	{"dallocx", callFree, bpf.MallocProgTapioFree},
	{"sdallocx", callFree, bpf.MallocProgTapioFree},
	{"mallocx", callMalloc, bpf.MallocProgTapioMalloc},
	{"rallocx", callRealloc, bpf.MallocProgTapioRealloc},
}

// prefixes that allocators give to these names where they are linked beside another.
var prefixes = []string{"", "_rjem_", "_rjem_je_", "je_", "mi_", "tc_"}

// maxAllocators bounds how many allocators of a process are watched.
const maxAllocators = 3

// allocator is a module that allocates.
type allocator struct {
	module *modules.Module
	prefix string
	// at are its functions' offsets in the file, by their names in C.
	at map[string]uint64
	// marks says that it writes into memory that is given back, as glibc does: what does not change is kept.
	marks bool
}

// allocators are those of a process.
func allocators(m *modules.Modules) []allocator {
	var all []allocator
	for _, mod := range m.All() {
		name := filepath.Base(mod.Path)
		if strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld-2") {
			continue // its malloc is for itself, until the program's is there
		}
		var names []string
		for _, p := range prefixes {
			for _, f := range functions {
				names = append(names, p+f.name)
			}
		}
		found := mod.Object.Find(names...)
		for _, p := range prefixes {
			a := allocator{module: mod, prefix: p, at: map[string]uint64{}, marks: p == "" && isGlibc(name)}
			for _, f := range functions {
				if address, ok := found[p+f.name]; ok {
					if off, ok := mod.Object.Offset(address); ok {
						a.at[f.name] = off
					}
				}
			}
			_, allocates := a.at["malloc"]
			_, frees := a.at["free"]
			if allocates && frees && len(all) < maxAllocators {
				all = append(all, a)
			}
		}
	}
	return all
}

func isGlibc(name string) bool {
	return strings.HasPrefix(name, "libc.so.6") || strings.HasPrefix(name, "libc-2.")
}
