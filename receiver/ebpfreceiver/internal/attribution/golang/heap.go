//go:build linux

package golang

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
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

var errLayout = errors.New("the runtime's structures are not where this version has them")

// Bounds of a watch.
const (
	// maxSamples is how many objects are followed at once.
	maxSamples = 8192
	// leastFollowed is how many there must be for half of them to be enough, where this program cannot keep up.
	leastFollowed = 512
	// checksPerSecond is how many objects are looked at in a second, at most.
	checksPerSecond = 40_000
	// censuses is how many are taken over a window, about.
	censuses = 12
	// maxStarts is of how many goroutines it is remembered where they were started.
	maxStarts = 16384
	// startDuty is which part of what the program may lose is for these, markDuty which is for the beginnings and ends of collections.
	startDuty, markDuty = 0.25, 0.25
	// leastCollections is how many collections are worth waiting for.
	leastCollections = 2
)

// Stack is a stack of return addresses, the innermost first.
type Stack []uint64

// Held is what one stack has allocated and the program keeps.
type Held struct {
	Stack   Stack
	Samples int
	// Bytes is its share of the growth.
	Bytes float64
	// Routes are of the requests that were served meanwhile, as far as they are known, and how many there were of each.
	Routes map[Route]int
	// Goroutines are the numbers of some of those that have allocated it.
	Goroutines []uint64
}

// Start is where a goroutine was started, and while serving which request.
type Start struct {
	Stack Stack
	// By is the number of the goroutine that has started it.
	By    uint64
	Route *Route
}

// Heap is what a watch has found.
type Heap struct {
	// Collections is how many of them ended while it was watched; Live is the heap found alive by the last, in bytes.
	Collections int
	Live        uint64
	// Growth is by how much the live heap has grown over the window, in bytes; Grows says whether it did, and still does.
	Growth float64
	Grows  bool
	// undecided says that it is not clear yet whether it does; Ended that the program ended before the window did.
	undecided, Ended bool
	// Held are the survivors by stack; Unattributed is growth of which no sample has survived.
	Held         []Held
	Unattributed float64
	// Allocating are the stacks by what they have allocated, whether or not it is kept: nothing to call a leak.
	Allocating []Held
	// Starts are where goroutines were started, by number; of those that were seen to.
	Starts map[uint64]Start
	// Hits is how many spans the program has fetched, Lost how many events had no room.
	Hits, Lost uint64
}

// heapWatch is a watch of one program's heap.
type heapWatch struct {
	g       *Program
	begin   time.Time
	coll    *ebpf.Collection
	told    bpf.GoHeapTarget
	events  *ringbuf.Reader
	samples *samples
	// allspans is the address of mheap.allspans; 0 before it is known.
	allspans uint64
	live     []trend.Point
	classes  map[uint8][]trend.Point
	last     time.Duration // when the last census was taken
	// By CLOCK_MONOTONIC, in ns: when the watch began, and when a collection had marked all that lives for the last time.
	starting, marks uint64
	due             time.Time // when it shall be looked which samples that are; zero: it was
	every           time.Duration
	allocs          map[string]float64
	ended           bool      // the program, before the window
	judge, eased    time.Time // when it is judged whether what was seen is enough, and whether it is too much
	lost            uint64
	duty            float64
	marking         *throttled
	spans           *throttled
	started         *throttled // nil where the place was not found
	starts          map[uint64]Start
}

// WatchHeap follows what the program allocates until ctx is done or the window ends, and tells what is kept. Only a garbage
// collection shows what that is: for two of them it goes on beyond the window, and for as many as it takes to find who holds what
// grows, up to longest. duty is the share of a CPU's time, of
// 1, that the program may lose by it.
func WatchHeap(ctx context.Context, g *Program, window, longest time.Duration, duty float64) (h Heap, err error) {
	w := &heapWatch{
		g: g, begin: time.Now(), samples: newSamples(&g.layout.span, maxSamples), classes: map[uint8][]trend.Point{},
		every: window / censuses, allocs: map[string]float64{}, duty: duty, starting: bpf.Now(), starts: map[uint64]Start{},
	}
	if err := w.attach(); err != nil {
		return h, errors.Join(err, w.close())
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.follow(ctx, window, max(window, longest)); err != nil {
		return h, err
	}
	return w.result()
}

// throttle sees to it that neither the program nor this one has more to do than they can.
func (w *heapWatch) throttle(now time.Time) error {
	if now.Before(w.eased) {
		return nil
	}
	w.eased = now.Add(turn)
	lost, err := bpf.Lost(w.coll.Maps[bpf.GoHeapMapLost])
	if err != nil {
		return err
	}
	if lost > w.lost && len(w.samples.bySpan) >= leastFollowed {
		w.lost = lost
		w.samples.thin()
		if err := w.target(w.samples.oneIn); err != nil {
			return err
		}
	}
	var state bpf.GoHeapState
	if err := w.coll.Maps[bpf.GoHeapMapStates].Lookup(uint32(0), &state); err != nil {
		return fmt.Errorf("read what the kernel has counted: %w", err)
	}
	rest, err := w.duty*(1-markDuty), w.marking.step(&state, w.duty*markDuty)
	if w.started != nil {
		rest -= w.duty * startDuty
		err = errors.Join(err, w.started.step(&state, w.duty*startDuty))
	}
	return errors.Join(err, w.spans.step(&state, rest))
}

// follow takes events in until the window ends.
func (w *heapWatch) follow(ctx context.Context, window, longest time.Duration) error {
	var rec ringbuf.Record
	for {
		now := time.Now()
		if past := now.Sub(w.begin); ctx.Err() != nil || past >= longest || past >= window && w.enough(now, window) {
			return w.drain(now)
		}
		if err := w.throttle(now); err != nil {
			return w.failed(err)
		}
		// What was told already may be of a later collection.
		if !w.due.IsZero() && !now.Before(w.due) && (w.events.AvailableBytes() == 0 || now.Sub(w.due) > turn) {
			w.due = time.Time{}
			if err := w.check(); err != nil {
				return w.failed(err)
			}
		}
		deadline := now.Add(turn)
		if !w.due.IsZero() && w.due.Before(deadline) {
			deadline = w.due
		}
		w.events.SetDeadline(deadline)
		switch err := w.events.ReadInto(&rec); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := w.g.Alive(); err != nil {
				return w.failed(err)
			}
			continue
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		if err := w.take(rec.RawSample); err != nil {
			return w.failed(err)
		}
	}
}

// drain takes in what is there already.
func (w *heapWatch) drain(now time.Time) error {
	w.events.SetDeadline(now)
	for {
		var rec ringbuf.Record
		switch err := w.events.ReadInto(&rec); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		if err := w.take(rec.RawSample); err != nil || time.Since(now) > leastOn {
			return w.failed(err)
		}
	}
}

// enough says whether what was seen by now answers the question. A program that does not get its CPUs collects its garbage late, and what
// is made meanwhile counts as alive for once.
func (w *heapWatch) enough(now time.Time, window time.Duration) bool {
	if len(w.live) < leastCollections || now.Before(w.judge) {
		return false
	}
	w.judge = now.Add(window / 8)
	h := Heap{Collections: len(w.live)}
	w.share(&h)
	var held float64
	for _, of := range h.Held {
		held += of.Bytes
	}
	switch {
	case h.Grows && held == 0:
		return false
	case h.undecided, held < 2*h.Unattributed:
		return now.Sub(w.begin) >= 2*window
	}
	return true
}

// failed says whether it is an error that something could not be read: when the program has ended, what was seen until then is told.
func (w *heapWatch) failed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, process.ErrGone) || w.g.Alive() != nil {
		w.ended = true
		return nil
	}
	return err
}

func (w *heapWatch) take(raw []byte) error {
	if len(raw) < 4 {
		return nil
	}
	switch bpf.GoHeapEvent(binary.LittleEndian.Uint32(raw)) {
	case bpf.GoHeapEventSPAN:
		e, err := bpf.Event[bpf.GoHeapSpan](raw)
		if err != nil {
			return err
		}
		return w.span(e)
	case bpf.GoHeapEventSTARTED:
		e, err := bpf.Event[bpf.GoHeapStarted](raw)
		if err != nil {
			return err
		}
		if len(w.starts) >= maxStarts {
			for old := range w.starts { // any of them
				delete(w.starts, old)
				break
			}
		}
		st := Start{Stack: stackOf(e.Stack[:], e.Depth), By: e.Parent}
		if r, ok := routeOf(&e.Asked); ok {
			st.Route = &r
		}
		w.starts[e.Goroutine] = st
	case bpf.GoHeapEventMARKED, bpf.GoHeapEventMARKING:
		e, err := bpf.Event[bpf.GoHeapMarked](raw)
		if err != nil {
			return err
		}
		if e.Kind == bpf.GoHeapEventMARKING {
			w.due = time.Now() // all is swept by now, and will not be again before what lives is marked
			return nil
		}
		return w.marked(e.Live, e.Time)
	}
	return nil
}

func stackOf(words []uint64, depth uint32) Stack {
	return slices.Clone(words[:min(int(depth), len(words))])
}

func (w *heapWatch) span(e *bpf.GoHeapSpan) error {
	if w.allspans == 0 {
		if err := w.findAllspans(e.Heap); err != nil {
			return err
		}
		if err := w.census(); err != nil {
			return err
		}
	}
	n := &sample{span: e.Span, base: e.Base, pages: e.Pages, class: e.Class, weight: e.OneIn, time: e.Time, swept: e.Sweepgen, goroutine: e.Goroutine}
	if e.Marking != 0 {
		n.spared = 1
	}
	if r, ok := routeOf(&e.Asked); ok {
		n.route, n.request = &r, e.Asked.Uri
	}
	n.stack = pack(stackOf(e.Stack[:], e.Depth))
	if len(w.allocs) < 4*maxSamples {
		w.allocs[n.stack] += float64(e.Pages*pageBytes) * float64(e.OneIn)
	}
	if !w.samples.add(n) {
		return w.target(w.samples.oneIn)
	}
	return nil
}

// findAllspans finds the list of all spans in the heap's head, and makes sure that it is one.
func (w *heapWatch) findAllspans(heap uint64) error {
	l := &w.g.layout.span
	for _, off := range w.g.layout.allspans {
		var h [24]byte
		if _, err := w.g.ReadAt(h[:], int64(heap+off)); err != nil {
			return err
		}
		at, n, room := binary.LittleEndian.Uint64(h[:]), binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint64(h[16:])
		if at == 0 || at%8 != 0 || n == 0 || n > room || room > maxSpans {
			continue
		}
		first, err := w.g.Uint64(at)
		if err != nil {
			continue
		}
		b := make([]byte, l.size)
		if _, err := w.g.ReadAt(b, int64(first)); err != nil {
			continue
		}
		if s := l.decode(b); s.start%pageBytes == 0 && s.start != 0 && s.pages < 1<<32 {
			w.allspans = heap + off
			return nil
		}
	}
	return fmt.Errorf("%s: mheap.allspans: %w", w.g.Version, errLayout)
}

// marked takes in that a collection has marked what lives. It shows when spans have been swept, until they are after the next: half
// of the way there is the best moment to look. None is to be missed, so that fewer objects are followed where collections are frequent;
// but those that follow each other faster than anybody is woken.
func (w *heapWatch) marked(live, at uint64) error {
	between := min(time.Duration(at-w.marks), time.Second)
	// By the event's time: on a busy machine it is read later.
	w.live = append(w.live, trend.Point{At: time.Duration(at - min(w.starting, at)), Bytes: float64(live)})
	w.marks, w.due = at, time.Now().Add(between/2)
	if n := len(w.samples.bySpan); 2*time.Duration(n)*time.Second/checksPerSecond > max(between, wakeEvery) {
		w.samples.thin()
		return w.target(w.samples.oneIn)
	}
	return nil
}

func (w *heapWatch) check() error {
	if err := w.samples.check(w.g, w.marks); err != nil {
		return err
	}
	if w.allspans != 0 && time.Since(w.begin)-w.last >= w.every {
		return w.census()
	}
	return nil
}

func (w *heapWatch) census() error {
	c, err := w.g.layout.span.count(w.g, w.allspans)
	if err != nil {
		return fmt.Errorf("count what the heap holds: %w", err)
	}
	w.last = time.Since(w.begin)
	for class, n := range c.classes {
		w.classes[class] = append(w.classes[class], trend.Point{At: w.last, Bytes: float64(n)})
	}
	return nil
}

func (w *heapWatch) close() error {
	var errs []error
	for _, t := range []*throttled{w.spans, w.marking, w.started} {
		if t != nil && t.on != nil {
			errs = append(errs, t.on.Close())
		}
	}
	if w.events != nil {
		errs = append(errs, w.events.Close())
	}
	if w.coll != nil {
		w.coll.Close()
	}
	return errors.Join(errs...)
}
