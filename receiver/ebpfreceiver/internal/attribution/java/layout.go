//go:build linux

package java

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// Kinds of memory, in words for people.
const (
	KindHeap      = "the Java heap"
	KindCode      = "compiled Java code"
	KindMetaspace = "metadata of classes"
)

// Layout finds where the virtual machine's memory is, by the tables that it exports for debuggers (vmStructs.cpp). What cannot be found is
// left out.
func Layout(p *process.Process, m *modules.Modules) (process.Layout, error) {
	var l process.Layout
	maps, err := p.Maps()
	if err != nil {
		return l, err
	}
	for _, of := range maps {
		switch {
		case strings.Contains(of.Path, "/memfd:java_heap"): // of ZGC, which maps it more than once
			l.Regions = append(l.Regions, process.Region{Start: of.Start, End: of.End, Kind: KindHeap})
		case strings.HasSuffix(of.Path, ".jsa"): // the archive of classes; others come right after it, within a gigabyte
			l.Regions = append(l.Regions, process.Region{Start: of.End, End: of.Start + 1<<30, Kind: KindMetaspace})
		}
	}
	s, err := structs(p, m)
	if err != nil {
		return l, err
	}
	word := func(at uint64) uint64 {
		v, e := p.Uint64(at)
		err = errors.Join(err, e)
		return v
	}
	if heap, region := s["Universe::_collectedHeap"], s["CollectedHeap::_reserved"]; heap != 0 && s["MemRegion::_word_size"] == 8 {
		at := word(heap) + region
		start, words := word(at), word(at+8)
		if err == nil && start != 0 && words < 1<<44 {
			l.Regions = append([]process.Region{{Start: start, End: start + words*8, Kind: KindHeap}}, l.Regions...)
		}
	}
	if low, high := s["CodeCache::_low_bound"], s["CodeCache::_high_bound"]; low != 0 && high != 0 {
		if start, end := word(low), word(high); err == nil && start < end {
			l.Regions = append([]process.Region{{Start: start, End: end, Kind: KindCode}}, l.Regions...)
		}
	}
	return l, err
}

// Bounds of the table.
const (
	maxStructs = 8192
	maxStride  = 256
	maxText    = 64
)

// structs reads the table of fields: the address of one that is static, the offset of another.
func structs(p *process.Process, m *modules.Modules) (map[string]uint64, error) {
	jvm := m.Named(func(base string) bool { return base == "libjvm.so" })
	if jvm == nil {
		return nil, errors.New("libjvm.so cannot be read")
	}
	const prefix = "gHotSpotVMStruct"
	at := m.Find(jvm, prefix+"s", prefix+"EntryArrayStride", prefix+"EntryTypeNameOffset", prefix+"EntryFieldNameOffset",
		prefix+"EntryIsStaticOffset", prefix+"EntryOffsetOffset", prefix+"EntryAddressOffset")
	value := map[string]uint64{}
	for name, a := range at {
		v, err := p.Uint64(a)
		if err != nil {
			return nil, err
		}
		value[strings.TrimPrefix(name, prefix)] = v
	}
	table, stride := value["s"], value["EntryArrayStride"]
	field := func(name string) uint64 { return min(value["Entry"+name+"Offset"], maxStride) }
	if table == 0 || stride < 48 || stride > maxStride {
		return nil, errors.New("libjvm.so does not tell where its memory is")
	}
	b := make([]byte, stride*maxStructs)
	n, err := p.ReadAt(b, int64(table)) // it ends before, mostly
	if n == 0 {
		return nil, err
	}
	entries := b[:n]
	all := map[string]uint64{}
	for ; uint64(len(entries)) >= stride; entries = entries[stride:] {
		e := make([]byte, maxStride+8)
		copy(e, entries[:stride])
		word := func(name string) uint64 { return binary.LittleEndian.Uint64(e[field(name):]) }
		if word("TypeName") == 0 {
			break
		}
		key := text(p, word("TypeName")) + "::" + text(p, word("FieldName"))
		if binary.LittleEndian.Uint32(e[field("IsStatic"):]) != 0 {
			all[key] = word("Address")
		} else {
			all[key] = word("Offset")
		}
	}
	return all, nil
}

func text(p *process.Process, at uint64) string {
	b := make([]byte, maxText)
	n, _ := p.ReadAt(b, int64(at))
	b, _, _ = bytes.Cut(b[:n], []byte{0})
	return string(b)
}
