//go:build linux

// Package modules knows the programs and libraries that a process has mapped.
package modules

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/unwind"
)

// maxOpen bounds how many files are kept open.
const maxOpen = 512

// Modules are those of one process, as it had them mapped when they were read.
type Modules struct {
	// Room bounds what their symbols and debugging information take.
	Room *symbols.Room

	p    *process.Process
	maps []process.Mapping
	read time.Time // when maps were
	open map[file]*Module
	rows unwind.Rows
}

// again is how long a library that was loaded meanwhile may remain unknown.
const again = time.Second

type file struct {
	path  string
	inode uint64
}

// Module is a program or library.
type Module struct {
	Path   string
	File   *os.File
	Object *symbols.Object
	// Err says why it cannot be read, Unwind is nil where there is no table for it.
	Err    error
	unwind *unwind.Table
	// separate is the file with what was split off; nil where there is none.
	separate *os.File
}

// Read reads what a process has mapped. Of its files no more is kept than there is room for.
func Read(p *process.Process, room *symbols.Room) (*Modules, error) {
	maps, err := p.Maps()
	if err != nil {
		return nil, err
	}
	return &Modules{Room: room, p: p, maps: maps, read: time.Now(), open: map[file]*Module{}, rows: unwind.Rows{}}, nil
}

// Close closes the files.
func (m *Modules) Close() error {
	var errs []error
	for _, of := range m.open {
		for _, f := range []*os.File{of.File, of.separate} {
			if f != nil {
				errs = append(errs, f.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// All returns the modules with code, in the order of their addresses.
func (m *Modules) All() []*Module {
	var all []*Module
	seen := map[*Module]bool{}
	for _, of := range m.maps {
		if !of.Executable() || !of.File() {
			continue
		}
		if mod := m.module(of); mod != nil && mod.Err == nil && !seen[mod] {
			seen[mod] = true
			all = append(all, mod)
		}
	}
	return all
}

// Names are what the files with code are called, in the order of their addresses.
func (m *Modules) Names() []string {
	var all []string
	for _, of := range m.maps {
		if of.Executable() && of.File() {
			all = append(all, base(of.Path))
		}
	}
	return all
}

// Named returns the first program or library whose file has a name that is looked for; nil when there is none that can be read.
func (m *Modules) Named(is func(base string) bool) *Module {
	for _, of := range m.maps {
		if !of.File() || !is(base(of.Path)) {
			continue
		}
		if mod := m.module(of); mod != nil && mod.Err == nil {
			return mod
		}
	}
	return nil
}

// Find returns where in the process's memory symbols of a module are.
func (m *Modules) Find(mod *Module, names ...string) map[string]uint64 {
	found := map[string]uint64{}
	for _, of := range m.maps {
		address, ok := mod.Object.Address(of.Offset)
		if of.Path != mod.Path || !ok {
			continue
		}
		for name, at := range mod.Object.Find(names...) {
			found[name] = at - address + of.Start
		}
		break
	}
	return found
}

// Unread says why a module could not be read, of the first of them; nil where all could.
func (m *Modules) Unread() error {
	for _, of := range m.maps {
		if !of.Executable() || !of.File() {
			continue
		}
		switch mod := m.module(of); {
		case mod == nil:
			return fmt.Errorf("it has mapped more files than are read (%d)", maxOpen)
		case mod.Err != nil:
			return mod.Err
		}
	}
	return nil
}

// at finds the module that an address is in, and the linker's address for it.
func (m *Modules) at(pc uint64) (*Module, uint64, bool) {
	find := func() (i int, ok bool) {
		i = sort.Search(len(m.maps), func(i int) bool { return m.maps[i].End > pc })
		return i, i < len(m.maps) && pc >= m.maps[i].Start
	}
	i, ok := find()
	if !ok && time.Since(m.read) > again {
		m.read = time.Now()
		if maps, err := m.p.Maps(); err == nil {
			m.maps = maps
			i, ok = find()
		}
	}
	// What stands on a stack may point into anything that is mapped, as the memory of a graphics card.
	if !ok || !m.maps[i].File() || !m.maps[i].Executable() {
		return nil, 0, false
	}
	mod := m.module(m.maps[i])
	if mod == nil || mod.Err != nil {
		return mod, 0, false
	}
	address, ok := mod.Object.Address(pc - m.maps[i].Start + m.maps[i].Offset)
	return mod, address, ok
}

// module opens the file of a mapping; nil when too many are open.
func (m *Modules) module(of process.Mapping) *Module {
	key := file{of.Path, of.Inode}
	if mod, ok := m.open[key]; ok {
		return mod
	}
	if len(m.open) >= maxOpen {
		return nil
	}
	mod := &Module{Path: of.Path}
	m.open[key] = mod
	// The mapping that has the beginning of the file proves that it is the same.
	for _, first := range m.maps {
		if first.Path == of.Path && first.Inode == of.Inode && first.Offset == 0 {
			of = first
			break
		}
	}
	if mod.File, mod.Err = m.p.MappedFile(of); mod.Err != nil {
		return mod
	}
	if mod.Object, mod.Err = symbols.Open(mod.File); mod.Err != nil {
		mod.Err = errors.Join(mod.Err, mod.File.Close())
		mod.File = nil
		return mod
	}
	mod.Object.Share(m.Room)
	mod.separate = m.separate(mod.Object)
	arm64 := mod.Object.Machine == elf.EM_AARCH64
	frames, size, framesReader, ok := mod.Object.Section(".eh_frame")
	if index, _, indexReader, indexed := mod.Object.Section(".eh_frame_hdr"); ok && indexed {
		mod.unwind, _ = unwind.New(indexReader, index, framesReader, frames, size, arm64, m.rows)
	}
	if ok && mod.unwind == nil && m.Room.Take(unwind.ScanBytes) {
		if mod.unwind, _ = unwind.Scan(framesReader, frames, size, arm64, m.rows); mod.unwind == nil {
			m.Room.Give(unwind.ScanBytes)
		}
	}
	return mod
}

// Frames tells the functions that an address is in, the innermost first: where no name is known, the module and an offset.
func (m *Modules) Frames(pc uint64) []symbols.Frame {
	mod, address, ok := m.at(pc)
	if !ok {
		name := "?"
		if mod != nil {
			name = base(mod.Path) + "+?"
		}
		return []symbols.Frame{{Function: name}}
	}
	frames := mod.Object.Lookup(address)
	if len(frames) == 0 {
		frames = []symbols.Frame{{Function: mod.unnamed(address)}}
	}
	for i := range frames {
		frames[i].Module = mod.Path
	}
	return frames
}

// Caller goes from a function to its caller on a copy of the stack; see unwind.Table.
func (m *Modules) Caller(s *unwind.State, lookup uint64, stack unwind.Memory) bool {
	mod, address, ok := m.at(lookup)
	if !ok || mod.unwind == nil {
		return false
	}
	return mod.unwind.Caller(s, address, stack)
}

// separate opens what distributions split off from programs and libraries, if it is installed where the process runs.
func (m *Modules) separate(o *symbols.Object) *os.File {
	if !o.Lacks() || len(o.BuildID) < 4 {
		return nil
	}
	f, err := m.p.OpenInRoot(fmt.Sprintf("/usr/lib/debug/.build-id/%s/%s.debug", o.BuildID[:2], o.BuildID[2:]))
	if err != nil {
		return nil
	}
	if of, err := symbols.Open(f); err == nil && o.Separate(of) {
		return f
	}
	_ = f.Close()
	return nil
}

// unnamed is what a function is called that has no symbol: by its module, and its address as the linker gave it, by which a copy of the
// program that has symbols tells its name.
func (mod *Module) unnamed(address uint64) string {
	if mod.unwind != nil {
		if start, ok := mod.unwind.Start(address); ok {
			address = start
		}
	}
	name := fmt.Sprintf("%s+%#x", base(mod.Path), address)
	if mod.Object.BuildID != "" {
		name += " (build id " + mod.Object.BuildID + ")"
	}
	return name
}

// Covers says whether an unwind table tells who called the code at an address; Ends that nobody did.
func (m *Modules) Covers(pc uint64) bool {
	mod, address, ok := m.at(pc)
	return ok && mod.unwind != nil && mod.unwind.Covers(address)
}

// Ends says that a thread begins with the function at an address.
func (m *Modules) Ends(pc uint64) bool {
	mod, address, ok := m.at(pc)
	if !ok {
		return false
	}
	if mod.unwind != nil && mod.unwind.Ends(address) {
		return true
	}
	return mod.Object.Function(address) == "main"
}

// Prepare reads what it takes to follow stacks, so that nobody has to wait for that while a program is slowed down by probes.
func (m *Modules) Prepare() {
	for _, mod := range m.All() {
		mod.Object.Function(0)
	}
}

// At is the module that an address is in; nil where it is none that could be read.
func (m *Modules) At(pc uint64) *Module {
	mod, _, ok := m.at(pc)
	if !ok {
		return nil
	}
	return mod
}

// Calls says whether the instruction before an address is a call that may have led to the function around another: what stands
// on a stack may be anything.
func (m *Modules) Calls(ret, pc uint64) bool {
	mod, address, ok := m.at(ret)
	if !ok {
		return false
	}
	var code [7]byte
	if _, err := mod.Object.At(address-uint64(len(code))).ReadAt(code[:], 0); err != nil {
		return false
	}
	to, direct, ok := called(code[:], address, mod.Object.Machine)
	if !ok || !direct {
		return ok
	}
	of, at, ok := m.at(pc)
	if !ok || of != mod {
		return true // by way of a table of addresses
	}
	start, known := mod.Object.Start(at)
	_, function := mod.Object.Start(to)
	return !known || start == to || !function
}

// called decodes the call that ends at an address: where it goes, if the instruction says so itself.
func called(code []byte, end uint64, machine elf.Machine) (to uint64, direct, ok bool) {
	n := len(code)
	if machine == elf.EM_AARCH64 {
		in := binary.LittleEndian.Uint32(code[n-4:])
		if in>>26 == 0x25 { // bl
			return end - 4 + uint64(int64(int32(in<<6)>>4)), true, true
		}
		return 0, false, in&0xfffffc1f == 0xd63f0000 // blr
	}
	if code[n-5] == 0xe8 {
		return end + uint64(int64(int32(binary.LittleEndian.Uint32(code[n-4:])))), true, true
	}
	// call r/m: ff /2, by the length of the operand.
	for _, c := range []struct {
		length int
		mod    byte
	}{{2, 3}, {2, 0}, {3, 1}, {6, 2}, {6, 0}, {7, 2}, {4, 1}, {3, 0}} {
		if b := code[n-c.length:]; b[0] == 0xff && b[1]>>3&7 == 2 && b[1]>>6 == c.mod {
			return 0, false, true
		}
	}
	return 0, false, false
}

func base(path string) string {
	path = strings.TrimSuffix(path, " (deleted)")
	return path[strings.LastIndexByte(path, '/')+1:]
}
