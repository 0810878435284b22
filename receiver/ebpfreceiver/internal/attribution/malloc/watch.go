//go:build linux

package malloc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/uprobe"
)

// ErrNoAllocator says that a process has no malloc that is known.
var ErrNoAllocator = errors.New("no malloc and free found in the program or its libraries: they have no symbols, or the program allocates by itself")

// ErrFiltered says that it would be dangerous for a process to be watched.
var ErrFiltered = errors.New("nothing is attached to it: its system calls are filtered (seccomp), by which it may be killed where a function returns that has a probe")

const (
	// round is how long it goes on before it is decided anew which probes are worth their price.
	round = 50 * time.Millisecond
	// turn is how often it is read what the kernel has told: it wakes nobody.
	turn = 10 * time.Millisecond
	// look is how often it is looked whether samples are still as they were.
	look = 250 * time.Millisecond
	// wanted is how many samples a round shall have, and wantedLong where probes stay for longer.
	wanted, wantedLong = 800, 100
	// maxFollowed is how many samples are followed at once.
	maxFollowed = 4096
	// maxSurvived is how many times the growth what survives may be before it is looked at for longer, and tooMuch before that is told. By what
	// was measured over 10 s and more, it is 0.4 to 1 times that of a leak.
	maxSurvived, tooMuch = 1.2, 2
)

// What calls cost the program at most while they are watched: three times what was measured here, because machines differ. Where the
// program has used less time than that, that is what it was.
const (
	allocationCost = 10 * time.Microsecond // the call and its return
	freeCost       = 5 * time.Microsecond
	steppedCost    = 40 * time.Microsecond // more, where the kernel single-steps the instruction that the probe stands on
)

// Held is what one stack has allocated and the program keeps.
type Held struct {
	// Stack are addresses of the process, the innermost first: return addresses.
	Stack   []uint64
	Samples int
	// Bytes is its share of the growth, Objects how many of its size that is; Seen what its samples stand for.
	Bytes, Objects, Seen float64
	// Mapped says that the program has mapped it by itself, Thread that it is stacks of threads.
	Mapped, Thread bool
}

// Result is what a watch has found.
type Result struct {
	// Growth is by how much the process's memory has grown over the window; Grows says whether it did, and still does.
	Growth float64
	Grows  bool
	Held   []Held
	// Survived is how much those who hold it have allocated, and not given back: far more than the growth, where some of them replace
	// what they held before.
	Survived float64
	// Busy says that it had no time to spare, so that it does less while probes take some of it.
	Busy bool
	// Ended says that the process ended before the window did.
	Ended bool
	// Samples were taken; Truncated of them had stacks that could not be followed to the end, Guessed such as were searched for
	// return addresses.
	Samples, Truncated, Guessed int
	// Calls is how many calls were seen, Lost how many events had no room. On is how long allocations were watched, Freeing how
	// long what is given back was.
	Calls, Lost uint64
	On, Freeing time.Duration
}

type watch struct {
	p       *process.Process
	modules *modules.Modules
	allocs  []allocator
	leaves  int
	maps    uint32 // 1: all of them map large blocks by themselves
	coll    *ebpf.Collection
	multi   bool // probes are attached all at once
	events  *ringbuf.Reader
	begin   time.Time
	began   uint64 // the same by the clock that the kernel's programs tell, in ns
	window  time.Duration
	looked  time.Time
	memory  []trend.Point
	result  Result

	links [sets][]io.Closer
	since [sets]time.Time // when those were attached
	on    [sets]time.Duration
	// spent is what all of it has cost the program, cost what those of a set have, and frees what those at what gives back have
	// while they were there alone.
	spent, frees time.Duration
	// cpu is what the program had used when that was added up, first when the watch began; waited for how long it has waited since.
	cpu, first, waited time.Duration
	queued             time.Duration // at the beginning
	cost               [sets]time.Duration
	// quiet are functions that the program does not call, stepped those whose probes stand badly.
	quiet, stepped [bpf.MallocCallCALLS]bool
	// last is what the shortest watch of a set would have cost when it was watched last, before what was spent until then.
	last, before [sets]time.Duration
	seen         [bpf.MallocCallCALLS]bpf.MallocCounters
	burst        uint32
	every        uint64 // bytes for each sample
	allocated    uint64 // bytes, while that was watched

	event  bpf.MallocSample // the one that is being read
	record ringbuf.Record
	stacks map[string]int32
	all    []*sample
	live   map[uint64]*sample // by address
	moved  map[uint64]*sample
	groups []group // by stack
}

// Watch follows what a process allocates until ctx is done or the window ends; up to longest it goes on while that is not enough to tell
// who holds what grows. duty is the share of its time, of 1, that it may lose by being watched.
func Watch(ctx context.Context, p *process.Process, m *modules.Modules, window, longest time.Duration, duty float64) (r Result, err error) {
	w := &watch{
		p: p, modules: m, allocs: allocators(m), begin: time.Now(), began: bpf.Now(), window: window, every: 4 << 10,
		live: map[uint64]*sample{}, moved: map[uint64]*sample{}, stacks: map[string]int32{},
	}
	if len(w.allocs) == 0 {
		return r, ErrNoAllocator
	}
	if err := survives(p, uprobe.ReturnsPass); err != nil {
		return r, err
	}
	w.leaves, w.maps = w.allocs[0].leaves, 1
	for _, a := range w.allocs {
		if a.leaves != w.leaves {
			w.leaves = leavesNothing
		}
		if !a.maps {
			w.maps = 0
		}
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.load(); err != nil {
		return r, err
	}
	m.Prepare()
	for {
		if err := w.run(ctx, duty); err != nil {
			if err = errors.Join(err, p.Alive()); !errors.Is(err, process.ErrGone) {
				return w.result, err
			}
			w.result.Ended = true // what was seen until then is told
		}
		now := time.Since(w.begin)
		r = w.finish(min(w.window, now))
		more := min(w.window*3/2, longest)
		if now < w.window || more <= now || w.enough(&r, window) {
			break
		}
		w.window = more
	}
	for set := range sets {
		if err := w.detach(set); err != nil && !errors.Is(err, process.ErrGone) {
			return r, err
		}
	}
	return r, nil
}

// enough says whether what was seen answers the question: on a machine that is busy, all that may be spent on a window can be
// spent on one burst.
func (w *watch) enough(r *Result, window time.Duration) bool {
	if trend.Of(w.memory).Undecided(leastGrowth) || r.Grows && r.Survived > maxSurvived*r.Growth {
		return w.window >= 2*window
	}
	var seen float64
	for _, h := range r.Held {
		seen += h.Seen
	}
	if seen > 0 && r.Growth > maxUnseen*seen {
		return w.window >= 2*window
	}
	return !r.Grows || len(r.Held) > 0
}

// Unattributed is growth that nobody holds, in bytes.
func (r *Result) Unattributed() float64 {
	rest := r.Growth
	for _, h := range r.Held {
		rest -= h.Bytes
	}
	return max(0, rest)
}

// Replaces says that more was allocated and lives on than the growth accounts for: a part of that is in place of what was given back, as in
// a cache that is full, whose entries live for longer than it was watched.
func (r *Result) Replaces() bool { return r.Grows && r.Survived > tooMuch*r.Growth }

// run decides every round which probes are worth their price. Those at what gives back stay as long as they cost half of the
// duty at most; those at what allocates come when all is paid for, and go when it is not.
func (w *watch) run(ctx context.Context, duty float64) error {
	if w.looked.IsZero() {
		if err := w.start(); err != nil {
			return err
		}
	}
	for window := w.window; ; {
		elapsed := time.Since(w.begin)
		if elapsed >= window || ctx.Err() != nil {
			return w.catchUp()
		}
		// The time that it had: what it waits for a CPU is none of it.
		allowed := time.Duration(float64(max(elapsed-w.waited, w.cpu-w.first, 0)) * duty)
		left := allowed - w.spent
		// What is sampled late has no time to prove that it is kept.
		wants := elapsed < window*3/4 && (elapsed < round || left > w.price(allocating))
		follows := wants || left > w.price(freeing) && w.frees < allowed/2 && elapsed > round
		if err := w.want(freeing, follows); err != nil {
			return err
		}
		if err := w.want(allocating, wants); err != nil {
			return err
		}
		for _, set := range []int{mapping, breaking} {
			if w.watched(set) && w.cost[set] > max(allowed, round)/5 {
				if err := w.detach(set); err != nil { // and not again
					return err
				}
			}
		}
		if err := w.drain(time.Now().Add(min(round, window-elapsed))); err != nil {
			return err
		}
		if err := w.account(); err != nil {
			return err
		}
		if time.Since(w.looked) >= look {
			if err := w.look(); err != nil {
				return err
			}
		}
	}
}

// start attaches what is there all the time.
func (w *watch) start() (err error) {
	if w.first, err = w.p.CPU(); err != nil {
		return err
	}
	w.cpu, w.queued = w.first, w.p.Waited()
	for _, set := range []int{mapping, breaking} {
		if err := w.attach(set); err != nil {
			return err
		}
	}
	return nil
}

// price is what must be left for a set to be watched: what it took last time, for one that is not yet.
func (w *watch) price(set int) time.Duration {
	if w.watched(set) {
		return 0
	}
	return max(w.last[set], 10*time.Millisecond)
}

func (w *watch) watched(set int) bool { return w.links[set] != nil }

// watchedFor is for how long a set was watched by now.
func (w *watch) watchedFor(set int) time.Duration {
	if w.watched(set) {
		return w.on[set] + time.Since(w.since[set])
	}
	return w.on[set]
}

// want attaches or takes away the probes of a set. What gives back is watched before, and after, what allocates: nothing that is
// sampled shall be given back unseen.
func (w *watch) want(set int, wanted bool) error {
	switch {
	case wanted == w.watched(set):
		return nil
	case wanted:
		return w.attach(set)
	case set == freeing:
		if err := w.detach(allocating); err != nil {
			return err
		}
	}
	return w.detach(set)
}

func (w *watch) attach(set int) error {
	w.burst++
	if err := w.tell(); err != nil {
		return err
	}
	w.since[set], w.before[set] = time.Now(), w.spent
	links, err := w.attachAll(set)
	w.links[set] = append([]io.Closer{}, links...) // never nil
	return err
}

func (w *watch) detach(set int) error {
	if !w.watched(set) {
		return nil
	}
	began := time.Now()
	err := detach(w.links[set])
	w.links[set] = nil
	on := time.Since(w.since[set])
	w.on[set] += on
	err = errors.Join(err, w.account())
	shortest := round + time.Since(began)
	w.last[set] = time.Duration(float64(w.spent-w.before[set]) * min(1, shortest.Seconds()/on.Seconds()))
	return err
}

// tell tells the kernel how much to sample.
func (w *watch) tell() error {
	if err := w.coll.Maps[bpf.MallocMapSampling].Put(uint32(0), bpf.MallocHow{Every: w.every, Burst: w.burst, Maps: w.maps}); err != nil {
		return fmt.Errorf("tell the kernel how much to sample: %w", err)
	}
	return nil
}

// account adds up what calls have cost the program, and sees to it that the next round has the right number of samples.
func (w *watch) account() error {
	var bytes uint64
	before := w.cost
	for which := range bpf.MallocCallCALLS {
		var n bpf.MallocCounters
		if err := w.coll.Maps[bpf.MallocMapCounts].Lookup(which, &n); err != nil {
			return fmt.Errorf("read what the kernel has counted: %w", err)
		}
		called := n.Calls - w.seen[which].Calls
		price, set := allocationCost, allocating
		switch which {
		case bpf.MallocCallFREE:
			price, set = freeCost, freeing
		case bpf.MallocCallREALLOC:
			set = freeing
		case bpf.MallocCallMMAP, bpf.MallocCallMREMAP, bpf.MallocCallSTACK_OF_THREAD:
			set = mapping
		case bpf.MallocCallSBRK:
			set = breaking
		}
		if set == allocating {
			bytes += n.Bytes - w.seen[which].Bytes
		}
		if w.stepped[which] {
			price += steppedCost
		}
		w.cost[set] += time.Duration(called) * price
		w.seen[which] = n
		w.result.Calls += called
		w.quiet[which] = n.Calls == 0 && w.on[set] >= 10*round // what was not watched is not known to be
	}
	w.allocated += bytes
	cpu, err := w.p.CPU()
	if err != nil {
		return err
	}
	var cost time.Duration
	for set := range sets {
		cost += w.cost[set] - before[set]
	}
	cost = min(cost, cpu-w.cpu)
	w.cpu = cpu
	w.spent += cost
	if !w.watched(allocating) {
		w.frees += cost
		return nil
	}
	samples := uint64(wanted)
	if time.Since(w.since[allocating]) > 2*round {
		samples = wantedLong
	}
	if len(w.live) > maxFollowed/2 {
		samples /= 4
	}
	if every := max(bytes/samples, 256); every != w.every {
		w.every = every
		return w.tell()
	}
	return nil
}

// drain takes events in until a time. What is there then waits for the next one: to follow stacks takes a while where CPUs are short, and
// probes that have become too expensive must not stay meanwhile.
func (w *watch) drain(until time.Time) error {
	for now := time.Now(); now.Before(until); now = time.Now() {
		deadline := now.Add(turn)
		if until.Before(deadline) {
			deadline = until
		}
		if err := w.read(deadline); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

// catchUp takes in what is there.
func (w *watch) catchUp() error {
	for left := w.events.AvailableBytes(); left > 0; left -= len(w.record.RawSample) {
		if err := w.read(time.Now()); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// read takes one event in; os.ErrDeadlineExceeded when there is none by then.
func (w *watch) read(deadline time.Time) error {
	w.events.SetDeadline(deadline)
	if err := w.events.ReadInto(&w.record); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return w.take(w.record.RawSample)
}

func (w *watch) take(raw []byte) error {
	if len(raw) < 4 {
		return nil
	}
	switch bpf.MallocEvent(binary.LittleEndian.Uint32(raw)) {
	case bpf.MallocEventSAMPLE:
		if err := bpf.EventInto(&w.event, raw); err != nil {
			return err
		}
		return w.born(&w.event)
	case bpf.MallocEventDEATH:
		e, err := bpf.Event[bpf.MallocDeath](raw)
		if err != nil {
			return err
		}
		if s := w.live[e.Address]; s != nil {
			if e.How == bpf.MallocEndMOVED {
				delete(w.live, e.Address)
				w.moved[e.Address] = s
				return nil
			}
			w.died(s, w.past(e.Time))
		}
	}
	return nil
}

// past is how long after the beginning something happened.
func (w *watch) past(at uint64) time.Duration { return time.Duration(at - min(w.began, at)) }

func (w *watch) close() error {
	var errs []error
	for _, links := range w.links {
		errs = append(errs, detach(links))
	}
	if w.events != nil {
		errs = append(errs, w.events.Close())
	}
	if w.coll != nil {
		w.coll.Close()
	}
	return errors.Join(errs...)
}
