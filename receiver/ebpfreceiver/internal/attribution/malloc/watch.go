//go:build linux

package malloc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// ErrNoAllocator says that a process has no malloc that is known.
var ErrNoAllocator = errors.New("no malloc and free found in the program or its libraries")

// Probes are at the allocator in bursts only: a call costs the program a few microseconds meanwhile. Whatever it does, it
// loses no more than the share of the time that bursts take.
const (
	burst = 50 * time.Millisecond
	// look is how often it is looked whether samples are still as they were.
	look = 250 * time.Millisecond
	// wanted is how many samples a burst shall have, kept how many of those that outlive it are followed.
	wanted = 1000
	kept   = 128
)

// Events of bpf/malloc.bpf.c.
const (
	eventSample = 1
	eventDeath  = 2
)

// Held is what one stack has allocated and the program keeps.
type Held struct {
	// Stack are addresses of the process, the innermost first: return addresses, but for what Complete says.
	Stack   []uint64
	Samples int
	// Bytes is its share of the growth, Objects how many of its size that is.
	Bytes, Objects float64
}

// Result is what a watch has found.
type Result struct {
	// Growth is by how much the process's memory has grown over the window; Grows says whether it did, and still does.
	Growth float64
	Grows  bool
	Held   []Held
	// Samples were taken; Followed of them outlived the burst, Truncated of those had stacks that could not be followed to the end.
	Samples, Followed, Truncated int
	// Calls is how many allocations the bursts saw, On how long bursts were, all together, Lost how many events had no room.
	Calls, Lost uint64
	On          time.Duration
}

type watch struct {
	p       *process.Process
	modules *modules.Modules
	allocs  []allocator
	coll    *ebpf.Collection
	multi   bool // probes are attached all at once
	events  *ringbuf.Reader
	begin   time.Time
	live    map[uint64]*sample // by address
	all     []*sample
	memory  []trend.Point
	result  Result
	quiet   [calls]bool // functions that the program does not call
	bytes   uint64      // seen so far
	every   uint64      // bytes for each sample
}

// Watch follows what a process allocates until ctx is done or ends the window. duty is the share of the time that probes may
// be attached, of 1.
func Watch(ctx context.Context, p *process.Process, m *modules.Modules, window time.Duration, duty float64) (r Result, err error) {
	w := &watch{p: p, modules: m, allocs: allocators(m), begin: time.Now(), live: map[uint64]*sample{}, every: 8 << 10}
	if len(w.allocs) == 0 {
		return r, ErrNoAllocator
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.load(); err != nil {
		return r, err
	}
	for end := w.begin.Add(window); ctx.Err() == nil && time.Now().Before(end); {
		before := w.result.On
		// What is sampled late has no time to prove that it is kept.
		if time.Since(w.begin) < window*3/4 || len(w.all) > 0 {
			if err := w.burst(ctx); err != nil {
				return w.ended(err)
			}
		}
		next := time.Now().Add(time.Duration(float64(w.result.On-before) * (1/duty - 1)))
		if next.After(end) {
			next = end
		}
		if err := w.watch(ctx, next); err != nil {
			return w.ended(err)
		}
	}
	return w.finish(window), nil
}

// ended tells what was seen until the process ended, which is no error.
func (w *watch) ended(err error) (Result, error) {
	if err = errors.Join(err, w.p.Alive()); errors.Is(err, process.ErrGone) {
		return w.finish(time.Since(w.begin)), nil
	}
	return w.result, err
}

// burst attaches the probes for a moment.
func (w *watch) burst(ctx context.Context) (err error) {
	if err := w.coll.Maps[bpf.MallocMapSampleBytes].Put(uint32(0), w.every); err != nil {
		return fmt.Errorf("tell the kernel how much to sample: %w", err)
	}
	on := time.Now()
	links, err := w.attach()
	defer func() {
		// In reverse: what is sampled must not be given back unseen.
		for _, l := range slices.Backward(links) {
			err = errors.Join(err, l.Close())
		}
		w.result.On += time.Since(on)
		if err == nil {
			err = w.drain(time.Now())
		}
		if err == nil {
			err = w.after()
		}
	}()
	if err != nil {
		return err
	}
	return w.drain(time.Now().Add(burst))
}

// drain takes events in until a time, and then what is there.
func (w *watch) drain(until time.Time) error {
	var rec ringbuf.Record
	for {
		w.events.SetDeadline(until)
		switch err := w.events.ReadInto(&rec); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		if err := w.take(rec.RawSample); err != nil {
			return err
		}
	}
}

func (w *watch) take(raw []byte) error {
	if len(raw) < 4 {
		return nil
	}
	switch binary.LittleEndian.Uint32(raw) {
	case eventSample:
		e, err := bpf.Event[bpf.MallocSample](raw)
		if err != nil {
			return err
		}
		w.result.Samples++
		w.live[e.Address] = &sample{raw: e, address: e.Address, size: e.Size, weight: float64(max(e.Size, w.every)), at: time.Since(w.begin)}
	case eventDeath:
		e, err := bpf.Event[bpf.MallocDeath](raw)
		if err != nil {
			return err
		}
		if s := w.live[e.Address]; s != nil {
			s.dead = true
			delete(w.live, e.Address)
		}
	}
	return nil
}

// after follows what has outlived a burst, and sees to it that the next has the right number of samples.
func (w *watch) after() error {
	var fresh int
	for _, s := range w.live { // in no order
		if s.raw == nil {
			continue
		}
		if fresh++; fresh > kept {
			delete(w.live, s.address)
			continue
		}
		s.stack, s.truncated = w.unwind(s.raw)
		s.raw = nil
		w.all = append(w.all, s)
		w.result.Followed++
		if s.truncated {
			w.result.Truncated++
		}
	}
	// Those that died in the burst have died with it.
	var called, sum uint64
	for which := range uint32(calls) {
		var n bpf.MallocCounters
		if err := w.coll.Maps[bpf.MallocMapCounts].Lookup(which, &n); err != nil {
			return fmt.Errorf("read what the kernel has counted: %w", err)
		}
		sum += n.Bytes
		if which != callFree {
			called += n.Calls
			// What is not called by now is left alone: each takes time to attach, and more to take away.
			w.quiet[which] = n.Calls == 0
		}
	}
	w.result.Calls = called
	w.every = max((sum-w.bytes)/wanted, 256)
	w.bytes = sum
	return nil
}

func (w *watch) close() error {
	var err error
	if w.events != nil {
		err = w.events.Close()
	}
	if w.coll != nil {
		w.coll.Close()
	}
	return err
}
