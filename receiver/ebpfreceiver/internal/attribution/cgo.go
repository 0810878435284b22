//go:build linux

package attribution

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/golang"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/malloc"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// byC is what the C part of a Go program has gained, and how much of that nobody holds.
type byC struct {
	growth, unattributed float64
	sites                []Site
	calls                uint64
}

// cgo watches what a Go program allocates with malloc, as its C libraries do.
func cgo(ctx context.Context, g *golang.Program, m *modules.Modules, layout process.Layout, o Options) (n byC, err error) {
	began := time.Now()
	var memory []trend.Point
	measure := func() error {
		u, err := g.Usage(layout)
		memory = append(memory, trend.Point{At: time.Since(began), Bytes: float64(u[process.KindHeap] + u[process.KindArena] + u[process.KindBlocks])})
		return err
	}
	if err := measure(); err != nil {
		return n, err
	}
	half := make(chan error, 1)
	timer := time.AfterFunc(o.Window/2, func() { half <- measure() })
	w, err := malloc.Watch(ctx, g.Process, m, o.Window, o.Window, o.Duty)
	if timer.Stop() || err != nil {
		return n, err // it has ended, or was not asked for long enough
	}
	if err := errors.Join(<-half, measure()); err != nil {
		return n, err
	}
	t := trend.Of(memory)
	n.calls = w.Calls
	if !t.Grows(leastGrowth) {
		return n, nil
	}
	n.growth, n.unattributed = t.Growth, t.Growth
	// The Go runtime maps its own heap by the C library, and has that make its threads.
	w.Held = slices.DeleteFunc(w.Held, func(h malloc.Held) bool { return h.Mapped || h.Thread })
	var all []held
	for _, h := range malloc.Share(w.Held, t.Growth, w.Busy) {
		of := held{bytes: h.Bytes, objects: h.Objects, samples: h.Samples}
		for _, pc := range h.Stack {
			of.stack = append(of.stack, frames(g, m, pc-1)...)
		}
		n.unattributed = max(0, n.unattributed-h.Bytes)
		all = append(all, of)
	}
	n.sites = sitesOf(all, Retained, KindHeap, ownC)
	return n, nil
}

// frames are the functions at an address of C's part of a Go program.
func frames(g *golang.Program, m *modules.Modules, pc uint64) []symbols.Frame {
	of := g.Lookup(pc)
	if len(of) == 0 {
		return m.Frames(pc)
	}
	for i := range of {
		if call := cCall.FindStringSubmatch(of[i].Function); call != nil {
			of[i].Function = "C." + call[1]
		}
	}
	return of
}

// cCall is what cgo names the function by which Go calls one of C.
var cCall = regexp.MustCompile(`^_cgo_[0-9a-f]+_C2?func_+(.+)$`)

// ownC tells the program's C functions, and C.name as Go calls them, from the C library and what lies between the languages.
func ownC(f symbols.Frame) whose {
	if slices.Contains([]string{"runtime", "runtime/cgo"}, packageOf(f.Function)) {
		return ofLanguage
	}
	return ownNative(f)
}
