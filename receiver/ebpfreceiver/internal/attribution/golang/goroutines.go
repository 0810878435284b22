//go:build linux

package golang

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// Bounds of a look at the goroutines: of more, one in so many is looked at.
const (
	maxGoroutines  = 1 << 24
	seenGoroutines = 1 << 17
	// walked is how many of those added are asked where they block, for each place that starts them.
	walked      = 64
	walkedDepth = 24
)

// States of a goroutine (runtime2.go); scan is added while the collector scans its stack.
const (
	stateDead = 6
	stateScan = 0x1000
)

// Goroutines is a look at all goroutines of a program.
type Goroutines struct {
	At time.Time
	// Total lives; one in Step of them was looked at.
	Total, Step int
	newest      uint64
	by          map[place][]goroutine
}

// place is where goroutines are started, and the function they run.
type place struct{ created, entry uint64 }

type goroutine struct {
	id, stack uint64 // number, and bytes of stack
	pc, bp    uint64
	lo, hi    uint64 // its stack
}

// Added are goroutines that one place has started and that have not ended.
type Added struct {
	// Created is the address after the go statement; Entry the function it runs.
	Created, Entry uint64
	// Blocked is the most frequent stack on which they wait, and Share how many of those asked do, of 1.
	Blocked Stack
	Share   float64
	// Count is by how many they have grown, Old how many of those that are new were started in the window's first half. StackBytes is what
	// the stacks of Count of them take.
	Count, Old int
	StackBytes uint64
	// IDs are the numbers of those that were looked at.
	IDs []uint64
}

// findAllgs finds where the list of goroutines can be: one of the addresses that it returns.
func (g *Program) findAllgs() ([]uint64, error) {
	const name = "runtime.allgs"
	if at, ok := g.Object.Find(name)[name]; ok {
		return []uint64{at + g.bias}, nil
	}
	// Stripped: the function that adds to the list tells where it is.
	const adder = "runtime.allgadd"
	entries, err := g.Object.Go.Entries(adder)
	if err != nil {
		return nil, err
	}
	entry, ok := entries[adder]
	if !ok {
		return nil, fmt.Errorf("the program has no function %s", adder)
	}
	code := make([]byte, 512)
	n, _ := g.Object.At(entry).ReadAt(code, 0)
	all := references(code[:n], entry, g.Object.Machine)
	for i := range all {
		all[i] += g.bias
	}
	return all, nil
}

const (
	// attempts is how often the list of goroutines is read, and attempt how long is waited in between: its head is written word by word when
	// the program moves it to a larger place, and a program that is being killed loses its memory a moment before it has ended.
	attempts = 5
	attempt  = 20 * time.Millisecond
)

// allgs finds the list of goroutines: where it begins, and how many there are.
func (g *Program) allgs() (list uint64, n int, err error) {
	candidates, err := g.findAllgs()
	if err != nil {
		return 0, 0, err
	}
	for range attempts {
		for _, at := range candidates {
			if list, n, ok := g.isAllgs(at); ok {
				return list, n, nil
			}
		}
		if err := g.Alive(); err != nil {
			return 0, 0, err
		}
		time.Sleep(attempt)
	}
	return 0, 0, errors.New("the list of goroutines was not found")
}

// isAllgs says whether a slice of goroutines is at an address: the first is the main one's, number 1.
func (g *Program) isAllgs(at uint64) (list uint64, n int, ok bool) {
	var h [24]byte
	if _, err := g.ReadAt(h[:], int64(at)); err != nil {
		return 0, 0, false
	}
	list, long, room := binary.LittleEndian.Uint64(h[:]), binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint64(h[16:])
	if list == 0 || list%8 != 0 || long == 0 || long > room || room > maxGoroutines {
		return 0, 0, false
	}
	first, err := g.Uint64(list)
	if err != nil {
		return 0, 0, false
	}
	id, err := g.Uint64(first + g.layout.g.goid)
	return list, int(long), err == nil && id == 1
}

const (
	// arenaBytes is the size of the arenas that the heap is made of, each at a multiple of it; heapRoom is how far from the first of them
	// others are looked for: they follow each other, as long as nothing is in the way (runtime/malloc.go: mallocinit).
	arenaBytes, heapRoom = 64 << 20, 1 << 40
)

// Layout tells where the heap is: at a place that is known before 1.26, and on amd64 only; then at any. The structure of the first goroutine is
// of the first that is in there.
func (g *Program) Layout() (l process.Layout, err error) {
	list, _, err := g.allgs()
	if err != nil {
		return l, fmt.Errorf("find the heap of process %d: %w", g.PID, err)
	}
	first, err := g.Uint64(list)
	if err != nil {
		return l, fmt.Errorf("find the heap of process %d: %w", g.PID, err)
	}
	start := first &^ (arenaBytes - 1)
	l.Regions = []process.Region{{Start: start, End: start + heapRoom, Kind: process.KindGoHeap}}
	return l, nil
}

// Goroutines looks at all goroutines.
func (g *Program) Goroutines() (look Goroutines, err error) {
	list, n, err := g.allgs()
	if err != nil {
		return look, fmt.Errorf("find the goroutines of process %d: %w", g.PID, err)
	}
	look = Goroutines{At: time.Now(), Step: 1, by: map[place][]goroutine{}}
	for n/look.Step > seenGoroutines {
		look.Step *= 2
	}
	const batch = 1024
	l := &g.layout.g
	pointers, addrs, buf := make([]byte, batch*8), make([]uint64, 0, batch), make([]byte, batch*l.size)
	for first := 0; first < n; first += batch {
		p := pointers[:min(batch, n-first)*8]
		if _, err := g.ReadAt(p, int64(list)+int64(first)*8); err != nil {
			return look, err
		}
		addrs = addrs[:0]
		for i := 0; i < len(p)/8; i += look.Step {
			addrs = append(addrs, binary.LittleEndian.Uint64(p[i*8:]))
		}
		if err := g.ReadEach(addrs, l.size, buf, func(_ int, b []byte) { look.take(l, b) }); err != nil {
			return look, err
		}
	}
	return look, nil
}

func (look *Goroutines) take(l *gLayout, b []byte) {
	word := func(at uint64) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	state := binary.LittleEndian.Uint32(b[l.status:]) &^ stateScan
	if state == 0 || state >= stateDead && state < 8 {
		return
	}
	gr := goroutine{id: word(l.goid), lo: word(0), hi: word(8), pc: word(l.schedPC), bp: word(l.schedBP)}
	if gr.hi <= gr.lo || gr.hi-gr.lo > 1<<30 {
		return
	}
	gr.stack = gr.hi - gr.lo
	look.Total += look.Step
	look.newest = max(look.newest, gr.id)
	of := place{word(l.gopc), word(l.startpc)}
	look.by[of] = append(look.by[of], gr)
}

// looks is how often the goroutines are looked at over a window.
const looks = 5

// WatchGoroutines looks at the goroutines of a program until ctx is done or the window ends, and tells which were added. When
// the program ends before, it tells what was known then.
func WatchGoroutines(ctx context.Context, g *Program, window time.Duration) (added []Added, err error) {
	var all []Goroutines
	for {
		look, err := g.Goroutines()
		if err != nil {
			return added, err
		}
		if all = append(all, look); len(all) >= 3 {
			now, err := g.Since(all[0], all[len(all)/2], look)
			if err != nil {
				return added, err
			}
			added = now
		}
		if len(all) == looks {
			return added, nil
		}
		select {
		case <-ctx.Done():
			return added, nil
		case <-time.After(window * 95 / 100 / (looks - 1)):
		}
	}
}

// leastAdded is how many more goroutines of a place there must be before they count.
const leastAdded = 16

// Since tells which goroutines were added since before and never ended; half was taken in between. Places that have stopped
// adding in the second half are left out.
func (g *Program) Since(before, half, now Goroutines) ([]Added, error) {
	var all []Added
	for of, gs := range now.by {
		count := (len(gs)*now.Step - len(before.by[of])*before.Step)
		late := (len(gs)*now.Step - len(half.by[of])*half.Step)
		if count < leastAdded || late < count/4 {
			continue
		}
		a := Added{Created: of.created, Entry: of.entry, Count: count}
		var added []goroutine
		for _, gr := range gs {
			if gr.id <= before.newest {
				continue
			}
			added = append(added, gr)
			a.IDs = append(a.IDs, gr.id)
			a.StackBytes += gr.stack * uint64(now.Step)
			if gr.id <= half.newest {
				a.Old += now.Step
			}
		}
		// Goroutines that end by themselves are young.
		if a.Old < count/4 {
			continue
		}
		// Others are in place of such that have ended.
		if n := len(added) * now.Step; n > count {
			a.StackBytes = uint64(float64(a.StackBytes) * float64(count) / float64(n))
		}
		var err error
		if a.Blocked, a.Share, err = g.blocked(added); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Added) int { return b.Count - a.Count })
	return all, nil
}

// blocked finds the stack on which most of some goroutines wait.
func (g *Program) blocked(gs []goroutine) (Stack, float64, error) {
	step := max(1, len(gs)/walked)
	counts, asked := map[string]int{}, 0
	var best string
	for i := 0; i < len(gs); i += step {
		s, err := g.walk(gs[i])
		if err != nil {
			return nil, 0, err
		}
		key := pack(s)
		counts[key]++
		asked++
		if counts[key] > counts[best] {
			best = key
		}
	}
	if asked == 0 {
		return nil, 0, nil
	}
	return unpack(best), float64(counts[best]) / float64(asked), nil
}

// walk follows the frame pointers of a goroutine that does not run.
func (g *Program) walk(of goroutine) (Stack, error) {
	s := Stack{of.pc}
	var frame [16]byte
	for bp := of.bp; len(s) < walkedDepth && bp >= of.lo && bp <= of.hi-16 && bp%8 == 0; {
		if _, err := g.ReadAt(frame[:], int64(bp)); err != nil {
			return s, g.Alive()
		}
		next, pc := binary.LittleEndian.Uint64(frame[:]), binary.LittleEndian.Uint64(frame[8:])
		if pc == 0 {
			break
		}
		s = append(s, pc)
		if next <= bp {
			break
		}
		bp = next
	}
	return s, nil
}

func pack(s Stack) string {
	b := make([]byte, len(s)*8)
	for i, pc := range s {
		binary.LittleEndian.PutUint64(b[i*8:], pc)
	}
	return string(b)
}
