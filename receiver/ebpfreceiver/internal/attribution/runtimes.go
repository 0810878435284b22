//go:build linux

package attribution

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/golang"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/java"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/malloc"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/python"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// leastGrowth is what a process must gain over a window before anybody is looked for, in bytes.
const leastGrowth = 256 << 10

// notGrowing is what is said of a process in which nobody is looked for.
const notGrowing = "what it holds did not grow, or has stopped growing"

// glance is how often memory is looked at that nothing tells of.
const glance = 500 * time.Millisecond

// golang looks at a Go program: its heap, its goroutines at the beginning, the middle and the end, and what C has allocated for it.
func (r *Process) golang(ctx context.Context, g *golang.Program, m *modules.Modules, layout process.Layout, o Options) error {
	own := ownGo(g.Object.GoMain, g.Object.GoModules)
	type result struct {
		added []golang.Added
		err   error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		added, err := guarded(func() ([]golang.Added, error) { return golang.WatchGoroutines(ctx, g, o.Window) })
		done <- result{added, err}
	}()
	var c byC
	var ofC error
	var watching sync.WaitGroup
	if malloc.Has(m) {
		o.Duty /= 2
		watching.Go(func() { c, ofC = guarded(func() (byC, error) { return cgo(ctx, g, m, layout, o) }) })
	}
	var beside float64
	watching.Go(func() { beside = besideHeap(ctx, g.Process, layout, malloc.Has(m), o.Window) })
	heap, err := golang.WatchHeap(ctx, g, o.Window, o.Longest, o.Duty)
	watching.Wait()
	cancel()
	goroutines := <-done
	if err != nil {
		return err
	}
	started := &starts{g: g, own: own, by: heap.Starts, named: map[string][]symbols.Frame{}}
	r.Growth, r.Hits = heap.Growth+c.growth, heap.Hits+c.calls
	if heap.Grows {
		r.Grows, r.Unattributed = true, heap.Unattributed
		all, shared := heldGo(started, heap.Held)
		if len(goroutines.added) == 0 {
			r.Unattributed += shared
		}
		var grown float64
		r.Sites, grown = proven(sitesOf(all, Retained, KindHeap, own))
		r.Unattributed += grown
	}
	if c.growth > 0 {
		r.Grows, r.Sites = true, append(r.Sites, c.sites...)
		r.Unattributed += c.unattributed
		if c.unattributed > c.growth/2 {
			r.Reason = "what C has allocated grows as well, and nobody was found who holds most of it"
		}
	}
	for _, a := range goroutines.added {
		r.Growth += float64(a.StackBytes)
		r.Grows = r.Grows || a.StackBytes > leastGrowth
		r.Sites = append(r.Sites, goroutineSites(started, a)...)
	}
	if !r.Grows && beside > 0 {
		r.Grows, r.Growth, r.Unattributed = true, beside, beside
		r.Reason = "it has mapped ever more memory beside its heap, and who holds that is not known"
	}
	sortSites(r.Sites)
	switch {
	case !r.Grows && heap.Ended:
		r.Sites, r.Unattributed = nil, 0
		return process.ErrGone
	case !r.Grows:
		r.Sites, r.Unattributed = nil, 0
		r.Reason = notGrowing + ": no site is named"
	case len(r.Sites) == 0 && !heap.Grows: // C or what is beside, of which it is said
	case len(r.Sites) == 0 && heap.Collections == 0:
		r.Reason = join(r.Reason, "no garbage collection ended meanwhile, so that what is still needed is not known")
		all, _ := heldGo(started, heap.Allocating)
		r.Sites = sitesOf(all, Growing, KindHeap, own)
	case len(r.Sites) == 0:
		r.Reason = join(r.Reason, "too few of its new objects have survived a garbage collection to name anybody")
	case r.Unattributed > r.Growth/2:
		r.Reason = join(r.Reason, "of most of what grows no new object was seen that has survived a garbage collection")
	}
	if ofC != nil && !errors.Is(ofC, process.ErrGone) {
		r.Reason = join(r.Reason, "what C has allocated could not be watched: "+ofC.Error())
	}
	if heap.Lost > 0 {
		r.Reason = join(r.Reason, fmt.Sprintf("%d samples were lost", heap.Lost))
	}
	if goroutines.err != nil && !errors.Is(goroutines.err, process.ErrGone) {
		r.Reason = join(r.Reason, "its goroutines could not be read: "+goroutines.err.Error())
	}
	return nil
}

// besideHeap is by how much the memory grows that a Go program has neither in its heap nor from malloc, which has that of C where there is any; 0 where
// it does not, or by less than the heap takes more: what the runtime needs to manage that is a part of it.
func besideHeap(ctx context.Context, p *process.Process, layout process.Layout, inC bool, window time.Duration) float64 {
	others := []string{process.KindGoHeap, process.KindFile, process.KindStack}
	if inC {
		others = append(others, process.KindHeap, process.KindArena, process.KindBlocks)
	}
	began := time.Now()
	var heap, beside []trend.Point
	for len(layout.Regions) > 0 && ctx.Err() == nil { // else the heap is not known from the rest
		u, err := p.Usage(layout)
		if err != nil {
			break
		}
		at, n := time.Since(began), u.Total()
		for _, kind := range others {
			n -= u[kind]
		}
		heap = append(heap, trend.Point{At: at, Bytes: float64(u[process.KindGoHeap])})
		if beside = append(beside, trend.Point{At: at, Bytes: float64(n)}); len(beside) == looks {
			if t := trend.Of(beside); t.Grows(leastGrowth) && t.Growth > trend.Of(heap).Growth {
				return t.Growth
			}
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(window * 95 / 100 / (looks - 1)):
		}
	}
	return 0
}

// looks is how often that is measured.
const looks = 4

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// starts are where goroutines were started, with names.
type starts struct {
	g     *golang.Program
	own   func(symbols.Frame) whose
	by    map[uint64]golang.Start
	named map[string][]symbols.Frame // by stack: many are the same
}

// isOwn says that a function is none of the language's.
func (s *starts) isOwn(f symbols.Frame) bool { return s.own(f) != ofLanguage }

// maxStarters is how many goroutines are gone back through, each started by the next.
const maxStarters = 3

// frames names a stack that begins in the runtime, with what is no return address.
func (s *starts) frames(stack golang.Stack) []symbols.Frame {
	key := fmt.Sprint(stack)
	if named, ok := s.named[key]; ok {
		return named
	}
	var all []symbols.Frame
	for i, pc := range stack {
		if i > 0 {
			all = append(all, s.g.Lookup(pc-1)...)
		}
	}
	s.named[key] = all
	return all
}

// of is where a goroutine was started, back to where the program's own functions had to do with it; empty where that is not known.
func (s *starts) of(goroutine uint64) (all []symbols.Frame) {
	for range maxStarters {
		start, ok := s.by[goroutine]
		if !ok {
			return nil
		}
		all = append(all, s.frames(start.Stack)...)
		if slices.ContainsFunc(all, s.isOwn) {
			return all
		}
		goroutine = start.By
	}
	return nil
}

// heldGo names the functions of stacks. What goroutines share is left out, and its bytes are returned.
func heldGo(s *starts, all []golang.Held) (out []held, shared float64) {
	for _, h := range all {
		of := held{bytes: h.Bytes, samples: h.Samples, routes: h.Routes, stack: s.frames(h.Stack)}
		if slices.ContainsFunc(of.stack, func(f symbols.Frame) bool { return slices.Contains(ofGoroutines, f.Function) }) {
			shared += of.bytes
			continue
		}
		of.table = slices.ContainsFunc(of.stack, func(f symbols.Frame) bool { return slices.Contains(growTables, f.Function) })
		out = append(out, s.split(of, h.Goroutines)...)
	}
	return out, shared
}

// split tells what a stack holds apart by who has started its goroutines, as far as they are known: where a goroutine runs a function of the
// program, or nothing but the language's.
func (s *starts) split(of held, goroutines []uint64) []held {
	var all []held
	if s.isProgram(of.stack) || !slices.ContainsFunc(of.stack, s.isOwn) {
		for _, id := range goroutines {
			if started := s.of(id); started != nil {
				part := of
				part.started = started
				if r := s.by[id].Route; r != nil && len(of.routes) == 0 {
					part.routes = map[golang.Route]int{*r: 1}
				}
				all = append(all, part)
			}
		}
	}
	if len(all) == 0 {
		return []held{of}
	}
	n := float64(len(all))
	for i := range all {
		all[i].bytes, all[i].objects, all[i].samples = of.bytes/n, of.objects/n, 1
	}
	return all
}

// isProgram says that a goroutine was started to run a function of the program.
func (s *starts) isProgram(stack []symbols.Frame) bool {
	i := lastIndex(stack, func(f symbols.Frame) bool { return f.Function != "runtime.goexit" })
	return i >= 0 && s.own(stack[i]) == ofProgram
}

// growTables are functions of the runtime that make room in what several may put things into: who needs more is not always who has
// left the others there.
var growTables = []string{
	"internal/runtime/maps.(*table).rehash", "internal/runtime/maps.(*Map).growToTable", "runtime.hashGrow", "runtime.(*timers).addHeap",
	"runtime.doaddtimer",
}

// ofGoroutines are functions of the runtime that make what goroutines are made of, and wait with. It is handed on from one that has
// ended to the next: who needs a new one is not who holds all the others.
var ofGoroutines = []string{"runtime.malg", "runtime.acquireSudog", "runtime.allgadd"}

// leastStarts is of how many goroutines that have not ended the start must have been seen to tell them apart by who has called what
// started them.
const leastStarts = 8

func goroutineSites(s *starts, a golang.Added) []Site {
	var all []held
	for _, id := range a.IDs {
		start, ok := s.by[id]
		if !ok {
			continue
		}
		of := held{bytes: float64(a.StackBytes), objects: float64(a.Count), samples: 1, stack: s.frames(start.Stack)}
		if !slices.ContainsFunc(of.stack, s.isOwn) {
			of.started = s.of(start.By)
		}
		if start.Route != nil {
			of.routes = map[golang.Route]int{*start.Route: 1}
		}
		all = append(all, of)
	}
	if len(all) < leastStarts {
		all = []held{{stack: s.g.Lookup(a.Created - 1), bytes: float64(a.StackBytes), objects: float64(a.Count)}}
	} else {
		for i := range all {
			all[i].bytes /= float64(len(all))
			all[i].objects /= float64(len(all))
		}
	}
	var blocked []symbols.Frame
	for i, pc := range a.Blocked {
		if i > 0 {
			pc--
		}
		blocked = append(blocked, s.g.Lookup(pc)...)
	}
	sites := sitesOf(all, Retained, KindGoroutines, s.own)
	for i := range sites {
		sites[i].Blocked, sites[i].waits = blocked, waits(blocked, s.own)
	}
	return sites
}

// native looks at a program that uses malloc.
func (r *Process) native(ctx context.Context, p *process.Process, m *modules.Modules, o Options) error {
	w, err := malloc.Watch(ctx, p, m, o.Window, o.Longest, o.Duty)
	if errors.Is(err, malloc.ErrNoAllocator) || errors.Is(err, malloc.ErrFiltered) {
		r.Reason = err.Error()
		if unread := m.Unread(); unread != nil && errors.Is(err, malloc.ErrNoAllocator) {
			r.Reason = because(unread)
		}
		return r.watch(ctx, p, o, nil)
	}
	if err != nil {
		return err
	}
	r.Growth, r.Grows, r.Hits = w.Growth, w.Grows, w.Calls
	var heap, mapped, threads []held
	for _, h := range w.Held {
		of := held{bytes: h.Bytes, objects: h.Objects, samples: h.Samples}
		for _, pc := range h.Stack {
			of.stack = append(of.stack, m.Frames(pc-1)...)
		}
		of.stack = withoutStart(of.stack)
		switch {
		case h.Thread:
			threads = append(threads, of)
		case h.Mapped:
			mapped = append(mapped, of)
		default:
			heap = append(heap, of)
		}
	}
	r.Sites = slices.Concat(sitesOf(heap, Retained, KindHeap, ownNative), sitesOf(mapped, Retained, KindMapped, ownNative), sitesOf(threads, Retained, KindThreads, ownNative))
	sortSites(r.Sites)
	switch {
	case !r.Grows && w.Ended:
		return process.ErrGone
	case !r.Grows:
		r.Reason = notGrowing + ": no site is named"
	case len(r.Sites) == 0:
		r.Unattributed = r.Growth
		r.Reason = "too few samples of malloc and mmap were kept to name anybody: what grows may be in blocks from before, or not come from these"
	case w.Unattributed() > r.Growth/2:
		r.Unattributed = w.Unattributed()
		r.Reason = "what it has allocated meanwhile, and keeps, is a small part of what grows: the rest may be in blocks from before, or not come from malloc and mmap"
	case w.Truncated > w.Samples/2:
		r.Reason = "most stacks could not be followed to the end: neither unwind tables nor frame pointers"
	case w.Guessed > w.Samples/2:
		r.Reason = "some code has neither unwind tables nor frame pointers: its callers were searched for on the stack, and may be wrong"
	}
	if w.Replaces() {
		r.Reason = join(r.Reason, "more of what was allocated lives on than it grows by: a part of that may replace what was there before, as in a cache that is full")
	}
	if w.Lost > 0 {
		r.Reason = join(r.Reason, fmt.Sprintf("%d samples were lost", w.Lost))
	}
	return nil
}

// leastJava is what a Java program must gain, in bytes: a virtual machine gains a little all the time, as for code that it compiles.
const leastJava = 1 << 20

// java watches whether a Java program grows, and whether that is what outlives collections of garbage.
func (r *Process) java(ctx context.Context, p *process.Process, _ *modules.Modules, o Options) error {
	c, err := java.Find(p)
	if err != nil {
		r.Reason = err.Error()
		return r.mappings(ctx, p, nil, o)
	}
	began := time.Now()
	var first, last java.Values
	var kept []trend.Point // what was left in the old generation by collections that went through it
	err = r.watch(ctx, p, o, func() error {
		v, err := c.Read()
		if err != nil {
			return err
		}
		if first.Collections == 0 && first.Threads == 0 {
			first = v
		}
		if last.Full > 0 && v.Full > last.Full || last.Full == 0 && v.Full > first.Full {
			kept = append(kept, trend.Point{At: time.Since(began), Bytes: float64(v.Old)})
		}
		last = v
		return nil
	})
	if err != nil {
		return err
	}
	if r.Growth < leastJava {
		r.Grows, r.Unattributed = false, 0
	}
	r.metadata = last.Metaspace - first.Metaspace
	old, collections := float64(last.Old-first.Old)/time.Since(began).Minutes(), last.Collections-first.Collections
	t := trend.Of(kept)
	whole := len(kept) >= 3 && t.Grows(leastGrowth)
	// It may well be garbage of before that it grows into, so that nothing is seen from outside.
	r.Grows = r.Grows || whole
	r.unnamed()
	switch {
	case whole:
		perMinute := t.Growth / (kept[len(kept)-1].At - kept[0].At).Minutes()
		r.Reason = join(r.Reason, fmt.Sprintf("what %d whole collections of garbage left in the old generation grew by %s/min", len(kept), finding.FormatBytes(perMinute)))
	case r.Grows && collections >= 2 && last.Old-first.Old > leastGrowth:
		r.Reason = join(r.Reason, fmt.Sprintf("what outlived %d collections of garbage (the old generation) grew by %s/min; no whole collection has shown yet whether it is still needed",
			collections, finding.FormatBytes(old)))
	}
	return nil
}

// leastShare is what part of the growth somebody must hold to be named.
const leastShare = 0.02

// python looks for what a Python program's variables hold ever more of.
func (r *Process) python(ctx context.Context, p *process.Process, m *modules.Modules, o Options) error {
	of, err := python.Open(p, m)
	if err != nil {
		r.Reason = "what its variables hold cannot be read: " + err.Error()
		return r.mappings(ctx, p, m, o)
	}
	r.Runtime = "python" + of.Version
	type result struct {
		python.Result
		err error
	}
	done := make(chan result, 1)
	go func() {
		found, err := guarded(func() (python.Result, error) { return of.Watch(ctx, o.Window) })
		done <- result{found, err}
	}()
	o.Longest = o.Window // what its variables gain is known of that long
	err = r.watch(ctx, p, o, nil)
	found := <-done
	if err = errors.Join(err, found.err); err != nil {
		return err
	}
	var sum float64
	// It may have grown into memory that was there already, but for what is in one large piece.
	r.Growth = max(r.Growth, 0)
	found.Holders = slices.DeleteFunc(found.Holders, func(h python.Holder) bool { return h.Entries == 0 && h.Bytes > 4*r.Growth })
	for _, h := range found.Holders {
		sum += h.Bytes
	}
	if sum > leastGrowth {
		r.Grows = true
	}
	if !r.Grows {
		r.Reason = notGrowing + ": no variable is named"
		return nil
	}
	r.Growth = max(r.Growth, sum)
	r.Unattributed = r.Growth
	for _, h := range found.Holders {
		if h.Bytes < r.Growth*leastShare {
			continue
		}
		r.Unattributed -= h.Bytes
		r.Sites = append(r.Sites, variableSite(h))
	}
	sortSites(r.Sites)
	if r.Unattributed > r.Growth/2 {
		r.Reason = "most of what it gains is not among the objects that its modules and the functions it runs hold: memory of an extension in C, or what is yet to be collected"
	}
	if found.Partial {
		r.Reason = join(r.Reason, fmt.Sprintf("it has more objects than were looked at (%d)", found.Objects))
	}
	return nil
}

func variableSite(h python.Holder) Site {
	s := Site{
		Grade: Retained, Kind: KindObjects, Bytes: h.Bytes, Objects: h.Entries, Samples: h.Samples,
		Function: symbols.Frame{Function: h.Path, File: h.File, Line: h.Line}, Holder: h.Type, Of: h.Of, Users: h.Users,
	}
	if h.Count > 1 {
		s.Holder = fmt.Sprintf("%d of type %s", h.Count, h.Type)
	}
	s.Stack = []symbols.Frame{s.Function}
	return s
}

// withoutStart leaves away what calls the main function of a Rust program: another main, and what starts that; and what starts a thread where the
// C library is linked in.
func withoutStart(stack []symbols.Frame) []symbols.Frame {
	last := len(stack) - 1
	if last > 0 && stack[last].Function == "main" {
		of := last - 1
		for of > 0 && strings.HasPrefix(stack[of].Function, "std::") {
			of--
		}
		if strings.HasSuffix(stack[of].Function, "::main") {
			return stack[:of+1]
		}
	}
	if last > 0 && slices.Contains([]string{"clone", "clone3"}, strings.TrimLeft(stack[last].Function, "_")) {
		if stack = stack[:last]; last > 1 && strings.HasPrefix(stack[last-1].Function, "start") {
			stack = stack[:last-1]
		}
	}
	if i := slices.IndexFunc(stack, func(f symbols.Frame) bool { return strings.HasPrefix(f.Function, "std::rt::lang_start") }); i > 0 {
		return stack[:i]
	}
	return stack
}

// mappings only watches whether a process grows.
func (r *Process) mappings(ctx context.Context, p *process.Process, _ *modules.Modules, o Options) error {
	err := r.watch(ctx, p, o, nil)
	r.unnamed()
	return err
}

func (r *Process) unnamed() {
	if r.Grows {
		r.Reason = join(r.Reason, "memory that this runtime manages by itself is not attributed to functions")
	} else {
		r.Reason = join(r.Reason, notGrowing)
	}
}

// watch sees whether a process grows, and calls each every now and then, which may be nil. Where it has grown, and it is not clear whether it still
// does, as while it waits for a CPU, or between two steps of its heap, it goes on for as long again.
func (r *Process) watch(ctx context.Context, p *process.Process, o Options, each func() error) error {
	began := time.Now()
	var points []trend.Point
	for window := o.Window; ; {
		if time.Since(began) >= window {
			longest := min(2*o.Window, o.Longest)
			if window >= longest || !trend.Of(points).Undecided(leastGrowth) {
				break
			}
			window = longest
		}
		n, err := p.Anonymous()
		if err != nil {
			return err
		}
		points = append(points, trend.Point{At: time.Since(began), Bytes: float64(n)})
		if each != nil {
			if err := each(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(glance, max(window-time.Since(began), time.Millisecond))):
		}
	}
	t := trend.Of(points)
	r.Growth, r.Grows = t.Growth, t.Grows(leastGrowth)
	if r.Grows {
		r.Unattributed = r.Growth
	}
	return nil
}
