//go:build linux

package golang

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/uprobe"
)

// The functions of the runtime that are watched.
const (
	funcSpan   = "runtime.(*mheap).setSpans"
	funcMark   = "runtime.(*gcControllerState).startCycle"
	funcMarked = "runtime.(*gcControllerState).resetLive"
	// funcStart calls funcQueue with what it has made.
	funcStart = "runtime.newproc.func1"
	funcQueue = "runtime.runqput"
)

// attach loads the programs for the kernel, tells them where things are in this version's runtime, and puts them at its functions.
func (w *heapWatch) attach() error {
	at, err := w.g.functions(funcSpan, funcMark, funcMarked)
	if err != nil {
		return err
	}
	spec, err := bpf.LoadGoHeap()
	if err != nil {
		return err
	}
	if w.coll, err = ebpf.NewCollection(spec); err != nil {
		return fmt.Errorf("load the programs that watch Go's heap: %w", err)
	}
	l := w.g.layout.span
	w.told = bpf.GoHeapTarget{
		Sweepgen: uint32(l.sweepgen), Class: uint32(l.class), State: uint32(l.state), Goid: uint32(w.g.layout.g.goid), M: gM, Curg: uint32(w.g.layout.g.curg),
	}
	if err := w.g.serving(&w.told); err != nil {
		return err
	}
	if err := w.target(1); err != nil {
		return err
	}
	if w.events, err = ringbuf.NewReader(w.coll.Maps[bpf.GoHeapMapEvents]); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	f, err := uprobe.Open(w.g.file, w.g.Object.Machine)
	if err != nil {
		return err
	}
	w.marking = &throttled{cost: markCost, hits: func(s *bpf.GoHeapState) uint64 { return s.Marks }, attach: func() (io.Closer, error) {
		mark, err := w.enter(f, funcMark, at[funcMark], bpf.GoHeapProgTapioGoheapMark)
		if err != nil {
			return nil, err
		}
		marked, err := w.enter(f, funcMarked, at[funcMarked], bpf.GoHeapProgTapioGoheapMarked)
		if err != nil {
			return nil, errors.Join(err, mark.Close())
		}
		return both{mark, marked}, nil
	}}
	w.spans = &throttled{cost: hitCost, hits: func(s *bpf.GoHeapState) uint64 { return s.Spans }, attach: func() (io.Closer, error) {
		return w.enter(f, funcSpan, at[funcSpan], bpf.GoHeapProgTapioGoheapSpan)
	}}
	if err := errors.Join(w.marking.start(), w.spans.start()); err != nil {
		return err
	}
	return w.attachStarts(f)
}

// attachStarts attaches the probe where goroutines are started. A runtime in which that place is not found does without.
func (w *heapWatch) attachStarts(f *uprobe.File) error {
	entries, err := w.g.Object.Go.Entries(funcStart, funcQueue)
	if err != nil {
		return err
	}
	entry, ok := entries[funcStart]
	off, inFile := w.g.Object.Offset(entry)
	if !ok || !inFile {
		return nil
	}
	_, end, err := w.g.Object.Go.Bounds(entry)
	if err != nil || end-entry > 4096 {
		return nil //nolint:nilerr // not what it is taken for
	}
	code := make([]byte, end-entry)
	n, _ := w.g.Object.At(entry).ReadAt(code, 0)
	at, ok := call(code[:n], entry, entries[funcQueue], w.g.Object.Machine)
	if !ok {
		return nil
	}
	w.started = &throttled{cost: hitCost, hits: func(s *bpf.GoHeapState) uint64 { return s.Started }, attach: func() (io.Closer, error) {
		return w.enter(f, funcStart, off+uint64(at), bpf.GoHeapProgTapioGoheapStarted)
	}}
	return w.started.start()
}

// enter has the kernel run a program whenever the process comes to an offset of the file, which is in a function.
func (w *heapWatch) enter(f *uprobe.File, function string, offset uint64, program string) (io.Closer, error) {
	l, err := f.Enter(offset, uprobe.Go, w.coll.Programs[program], w.g.PID)
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", function, err)
	}
	return l, nil
}

// target says where fields are, and in how many pages one is sampled.
func (w *heapWatch) target(oneIn uint32) error {
	w.told.OneIn = oneIn
	if err := w.coll.Maps[bpf.GoHeapMapTargets].Put(uint32(0), w.told); err != nil {
		return fmt.Errorf("tell the kernel what to watch: %w", err)
	}
	return nil
}

// both are two probes that come and go together.
type both [2]io.Closer

func (b both) Close() error { return errors.Join(b[0].Close(), b[1].Close()) }
