//go:build linux

// Package malloc finds out what a program keeps that it has allocated with malloc and its like, or mapped: C, C++, Rust, and what
// they are called by.
package malloc

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
)

// Sets of functions are watched together, each for as long as its price allows.
const (
	allocating = iota // bursts
	freeing           // longer: what is given back, or moved
	mapping           // all the time, as long as the program maps memory seldom
	breaking          // the same for its end (brk)
	sets
)

// function is what is watched, by what it is called in C.
type function struct {
	name string
	call bpf.MallocCall
	set  int
}

// functions in the order in which they are attached.
var functions = []function{
	{"free", bpf.MallocCallFREE, freeing},
	{"realloc", bpf.MallocCallREALLOC, freeing},
	{"malloc", bpf.MallocCallMALLOC, allocating},
	{"calloc", bpf.MallocCallCALLOC, allocating},
	{"memalign", bpf.MallocCallMEMALIGN, allocating},
	{"aligned_alloc", bpf.MallocCallMEMALIGN, allocating},
	{"posix_memalign", bpf.MallocCallPOSIX_MEMALIGN, allocating},
	// jemalloc, as Rust programs call it.
	{"dallocx", bpf.MallocCallFREE, freeing},
	{"sdallocx", bpf.MallocCallFREE, freeing},
	{"rallocx", bpf.MallocCallREALLOC, freeing},
	{"mallocx", bpf.MallocCallMALLOC, allocating},
	// C++, where the allocator has operators of its own: new, new[], delete and delete[].
	{"_ZdlPv", bpf.MallocCallFREE, freeing},
	{"_ZdaPv", bpf.MallocCallFREE, freeing},
	{"_ZdlPvm", bpf.MallocCallFREE, freeing},
	{"_ZdaPvm", bpf.MallocCallFREE, freeing},
	{"_ZdlPvSt11align_val_t", bpf.MallocCallFREE, freeing},
	{"_ZdlPvmSt11align_val_t", bpf.MallocCallFREE, freeing},
	{"_ZdaPvSt11align_val_t", bpf.MallocCallFREE, freeing},
	{"_ZdaPvmSt11align_val_t", bpf.MallocCallFREE, freeing},
	{"_ZdlPvRKSt9nothrow_t", bpf.MallocCallFREE, freeing},
	{"_ZdaPvRKSt9nothrow_t", bpf.MallocCallFREE, freeing},
	{"_Znwm", bpf.MallocCallMALLOC, allocating},
	{"_Znam", bpf.MallocCallMALLOC, allocating},
	{"_ZnwmSt11align_val_t", bpf.MallocCallMALLOC, allocating},
	{"_ZnamSt11align_val_t", bpf.MallocCallMALLOC, allocating},
	{"_ZnwmRKSt9nothrow_t", bpf.MallocCallMALLOC, allocating},
	{"_ZnamRKSt9nothrow_t", bpf.MallocCallMALLOC, allocating},
	{"munmap", bpf.MallocCallFREE, mapping},
	{"mmap", bpf.MallocCallMMAP, mapping},
	{"mremap", bpf.MallocCallMREMAP, mapping},
	{"sbrk", bpf.MallocCallSBRK, breaking},
}

// entries are the programs for kernels that attach them one by one.
var entries = [bpf.MallocCallCALLS]string{
	bpf.MallocProgTapioMalloc, bpf.MallocProgTapioCalloc, bpf.MallocProgTapioMemalign, bpf.MallocProgTapioPosixMemalign, bpf.MallocProgTapioRealloc,
	bpf.MallocProgTapioFree, bpf.MallocProgTapioMmap, bpf.MallocProgTapioMremap, bpf.MallocProgTapioSbrk,
}

// prefixes that allocators give to these names where they are linked beside another.
var prefixes = []string{"", "_rjem_", "_rjem_je_", "je_", "mi_", "tc_"}

// maxAllocators bounds how many allocators of a process are watched.
const maxAllocators = 3

// What an allocator leaves in memory that is given back, by which it is known to be.
const (
	leavesNothing = iota // jemalloc
	writesInto           // tcmalloc, mimalloc: lists, in the first bytes
	hasSize              // glibc: these as well, and before it stands the size, which becomes another when it is joined to its neighbours
	hasIndex             // musl: the byte three before becomes 255
)

// allocator is a module that allocates.
type allocator struct {
	module *modules.Module
	// at are its functions' offsets in the file, by their names in C.
	at map[string]uint64
	// leaves is what it leaves in memory that is given back.
	leaves int
	// maps says that it maps large blocks by themselves, as glibc does.
	maps bool
}

// Has says whether a process has a malloc that is known.
func Has(m *modules.Modules) bool { return len(allocators(m)) > 0 }

// allocators are those of a process.
func allocators(m *modules.Modules) []allocator {
	var names []string
	for _, p := range prefixes {
		for _, f := range functions {
			names = append(names, p+f.name)
		}
	}
	names = append(names, marks...)
	var all []allocator
	for _, mod := range m.All() {
		base := filepath.Base(mod.Path)
		if strings.HasPrefix(base, "ld-linux") || strings.HasPrefix(base, "ld-2") {
			continue // its malloc is for itself, until the program's is there
		}
		found := mod.Object.Find(names...)
		for _, p := range prefixes {
			a := allocator{module: mod, at: map[string]uint64{}}
			for _, f := range functions {
				if address, ok := found[p+f.name]; ok {
					if off, ok := mod.Object.Offset(address); ok {
						a.at[f.name] = off
					}
				}
			}
			a.leaves, a.maps = kind(mod.Path, p, found)
			malloc, allocates := a.at["malloc"]
			_, frees := a.at["free"]
			// tcmalloc and mimalloc have both names for the same functions.
			again := slices.ContainsFunc(all, func(b allocator) bool { return b.module == mod && b.at["malloc"] == malloc })
			if allocates && frees && !again && len(all) < maxAllocators {
				all = append(all, a)
			}
		}
	}
	return all
}

// marks are functions that only one kind of allocator has.
var marks = []string{"mallctl", "tc_version", "mi_version", "__libc_malloc_impl", "__libc_memalign"}

func kind(path, prefix string, found map[string]uint64) (leaves int, maps bool) {
	has := func(name string) bool { _, ok := found[name]; return ok }
	switch {
	case strings.Contains(prefix, "je") || has("mallctl"):
		return leavesNothing, false
	case prefix == "mi_" || has("mi_version") || prefix == "tc_" || has("tc_version"):
		return writesInto, false
	case strings.Contains(path, "musl") || has("__libc_malloc_impl"):
		return hasIndex, false // it also maps pieces of that size together
	case has("__libc_memalign"):
		return hasSize, true
	}
	return leavesNothing, false
}
