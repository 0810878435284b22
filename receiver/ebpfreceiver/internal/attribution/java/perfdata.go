//go:build linux

// Package java reads what a Java virtual machine tells about itself in its own memory: the counters that jstat shows, and where its heap is.
// Nothing is attached to it.
package java

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// Counters are those of the virtual machine (perfMemory.hpp), which it keeps in a mapped file, unless it runs with -XX:-UsePerfData.
type Counters struct {
	p  *process.Process
	at uint64
	n  int
}

// maxCounters bounds the memory that holds them; the machine's default is 32 KiB.
const maxCounters = 1 << 20

// Find finds them.
func Find(p *process.Process) (*Counters, error) {
	maps, err := p.Maps()
	if err != nil {
		return nil, err
	}
	for _, m := range maps {
		if strings.Contains(m.Path, "/hsperfdata_") && m.Offset == 0 {
			return &Counters{p: p, at: m.Start, n: int(min(m.End-m.Start, maxCounters))}, nil
		}
	}
	return nil, fmt.Errorf("the virtual machine of process %d keeps no counters (-XX:-UsePerfData)", p.PID)
}

// Values are the counters at one moment.
type Values struct {
	// Threads are those that live, Old what the old generation held when garbage was last collected, in bytes, 0 if there is none; Metaspace what
	// is used for metadata of classes.
	Threads, Old, Metaspace int64
	// Collections are all that there were, Full those that also went through the old generation.
	Collections, Full int64
}

// Read reads them.
func (c *Counters) Read() (Values, error) {
	b := make([]byte, c.n)
	if _, err := c.p.ReadAt(b, int64(c.at)); err != nil {
		return Values{}, err
	}
	all, err := parse(b)
	if err != nil {
		return Values{}, fmt.Errorf("read the counters of process %d: %w", c.p.PID, err)
	}
	return valuesOf(all), nil
}

func valuesOf(all map[string]int64) Values {
	v := Values{Threads: all["java.threads.live"], Metaspace: all["sun.gc.metaspace.used"]}
	// ZGC and Shenandoah have one generation, of which that counter tells all that was allocated.
	if _, young := all["sun.gc.generation.0.space.0.used"]; young {
		v.Old, v.Full = all["sun.gc.generation.1.space.0.used"], all["sun.gc.collector.1.invocations"]
	}
	for _, name := range []string{"sun.gc.collector.0.invocations", "sun.gc.collector.1.invocations", "sun.gc.collector.2.invocations"} {
		v.Collections += all[name]
	}
	return v
}

// parse reads the counters that are numbers: a prologue of 32 bytes, then entries, each with its own length.
func parse(b []byte) (map[string]int64, error) {
	if len(b) < 32 || !bytes.Equal(b[:4], []byte{0xca, 0xfe, 0xc0, 0xc0}) || b[4] != 1 {
		return nil, fmt.Errorf("not counters of a Java virtual machine in little-endian order")
	}
	word := binary.LittleEndian.Uint32
	used, at, n := uint64(word(b[8:])), uint64(word(b[24:])), word(b[28:])
	used = min(used, uint64(len(b)))
	all := map[string]int64{}
	for ; n > 0 && at+20 <= used; n-- {
		e := b[at:used]
		length, name, data := uint64(word(e)), uint64(word(e[4:])), uint64(word(e[16:]))
		if length < 20 || length > uint64(len(e)) || name >= length || data >= length {
			return all, fmt.Errorf("malformed at byte %d", at)
		}
		e = e[:length]
		if e[12] == 'J' && word(e[8:]) == 0 && data+8 <= length {
			if key, _, ok := bytes.Cut(e[name:], []byte{0}); ok {
				all[string(key)] = int64(binary.LittleEndian.Uint64(e[data:]))
			}
		}
		at += length
	}
	return all, nil
}

// Collects says whether a thread is one that collects garbage: it touches new memory on behalf of others.
func Collects(thread string) bool {
	for _, prefix := range []string{"VM Thread", "GC Thread", "G1 ", "ZWorker", "ZDriver", "XWorker", "Shenandoah"} {
		if strings.HasPrefix(thread, prefix) {
			return true
		}
	}
	return false
}
