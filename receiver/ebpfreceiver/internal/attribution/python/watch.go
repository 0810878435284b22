//go:build linux

package python

import (
	"cmp"
	"context"
	"maps"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// Bounds of a watch.
const (
	maxContainers = 50_000
	maxHolders    = 8
	// looks is how often sizes are read over the window.
	looks = 10
	// leastEntries is what a container must gain to be looked at any closer.
	leastEntries = 8
	// walkTime is what CPU time one of the three walks may take.
	walkTime = time.Second
	// rootsTime is what it may take to find where it begins, namesTime to find out what all is called that has grown.
	rootsTime, namesTime = time.Second, time.Second
)

// Holder is what keeps ever more objects: it is alive, can be reached, and has grown all the time.
type Holder struct {
	// Path is how the program calls it: "app.SESSIONS"; File and Line are where the module or the function is.
	Path, File string
	Line       int
	// Type is its type, Of that of most of what it gained; empty where that is not known.
	Type, Of string
	// Count is how many containers that are, all reached in the same way.
	Count int
	// Entries is by how many it grew over the window, Bytes what these are estimated to take.
	Entries, Bytes float64
	// Samples is how many of the new entries were measured.
	Samples int
	// Users are the program's functions that use the variable, where those are few: "put() (store.py:13)".
	Users []string

	name uint64 // that it is used by
}

// Result is what was found out.
type Result struct {
	Holders []Holder
	// Objects is how many were looked at that hold others; Partial says that there are more.
	Objects int
	Partial bool
}

// container is one whose size is watched.
type container struct {
	addr  uint64
	typ   *typ
	sizes [looks + 1]uint32
	gone  bool
}

// Watch looks for what grows over the window.
func (p *Program) Watch(ctx context.Context, window time.Duration) (Result, error) {
	runtime.LockOSThread() // its CPU time is bounded
	defer runtime.UnlockOSThread()
	w := watch{p: p, g: newGraph(p.Process, p.at)}
	began := time.Now()
	if err := w.begin(ctx); err != nil {
		return Result{}, err
	}
	for n := 1; n <= looks; n++ {
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case <-time.After(time.Until(began.Add(window * time.Duration(n) / looks))):
		}
		if err := w.look(n, time.Since(began)); err != nil {
			return Result{}, err
		}
		if n == looks/2 {
			if err := w.count(ctx); err != nil {
				return Result{}, err
			}
		}
	}
	if err := p.Alive(); err != nil {
		return Result{}, err
	}
	return w.end(ctx)
}

type watch struct {
	p          *Program
	g          *graph
	containers []container
	at         [looks + 1]time.Duration
	old        old
	counts     []map[kin]int // at the beginning, in the middle and at the end
	cycles     []cycles
	tops       []int32 // the node of the name that each node hangs on
	partial    bool
}

// old is what was there at the beginning: addresses in order.
type old []uint64

func (o old) has(addr uint64) bool {
	_, ok := slices.BinarySearch(o, addr)
	return ok
}

// kin are objects of one type that hang on the same name.
type kin struct {
	typ  uint64
	root uint64 // the place of the name
}

// sized are the classes that have a size, and where it is.
var sized = map[class]uint64{dict: 16, list: 16, set: 24, deque: 16, bytearray: 16}

func (w *watch) begin(ctx context.Context) error {
	err := w.walk(ctx, func(n int32, o object) {
		at, ok := sized[o.typ.class]
		// Attributes of an instance are as many as its class has.
		if of := w.g.nodes[n]; !ok || of.step == stepNamespace && w.g.nodes[of.parent].typ.class == other {
			return
		}
		if len(w.containers) >= maxContainers {
			w.partial = true
			return
		}
		c := container{addr: o.addr, typ: o.typ}
		c.sizes[0] = uint32(min(o.word(at), math.MaxUint32))
		w.containers = append(w.containers, c)
	})
	w.old = make(old, 0, len(w.g.nodes))
	for _, n := range w.g.nodes {
		w.old = append(w.old, n.addr)
	}
	slices.Sort(w.old)
	return err
}

// count walks to see how many objects of which type hang on which name.
func (w *watch) count(ctx context.Context) error { return w.walk(ctx, nil) }

func (w *watch) walk(ctx context.Context, visit func(int32, object)) error {
	roots, whole, err := w.p.roots(ctx, w.g)
	if err != nil {
		return err
	}
	w.g.roots, w.partial = roots, w.partial || !whole
	counts := map[kin]int{}
	w.tops = w.tops[:0]
	err = w.g.walk(ctx, walkTime, func(n int32, o object) {
		of := w.g.nodes[n]
		top := n
		if of.parent >= 0 {
			above := w.g.nodes[of.parent]
			// A name is what is an attribute of a module, or a variable.
			if named := above.step == stepNamespace && above.depth == 1; !named {
				top = w.tops[of.parent]
			}
		}
		w.tops = append(w.tops, top)
		if len(counts) < maxNodes/2 {
			counts[kin{o.typ.addr, w.g.nodes[top].place}]++
		}
		if visit != nil {
			visit(n, o)
		}
	})
	if err != nil {
		return err
	}
	w.counts = append(w.counts, counts)
	w.partial = w.partial || w.g.partial
	c, err := w.p.unreached(ctx, w.g)
	w.cycles = append(w.cycles, c)
	return err
}

// look reads the sizes of all containers again.
func (w *watch) look(n int, at time.Duration) error {
	w.at[n] = at
	const size = 32
	addrs := make([]uint64, 0, len(w.containers))
	for i := range w.containers {
		addrs = append(addrs, w.containers[i].addr)
	}
	seen := make([]bool, len(w.containers))
	err := w.p.ReadEach(addrs, size, make([]byte, len(addrs)*size), func(i int, b []byte) {
		c := &w.containers[i]
		v := word(b, sized[c.typ.class])
		seen[i] = word(b, 8) == c.typ.addr && word(b, 0) != 0 && v <= math.MaxUint32
		c.sizes[n] = uint32(v)
	})
	for i, ok := range seen {
		if !ok {
			w.containers[i].gone = true
		}
	}
	return err
}

// group are containers that are reached in the same way.
type group struct {
	nodes  []int32
	gained []int64
	points []trend.Point
	most   int64 // that one of them has gained
	which  int   // that one
}

func (w *watch) end(ctx context.Context) (Result, error) {
	if err := w.count(ctx); err != nil {
		return Result{}, err
	}
	r := Result{Objects: len(w.g.nodes), Partial: w.partial}
	w.g.until = used() + measureTime + namesTime
	m := measure{g: w.g, old: w.old, seen: map[uint64]bool{}, until: used() + measureTime}
	grown := w.grown()
	for _, of := range grown {
		if h := w.holder(&m, of); h.Bytes > 0 {
			r.Holders = append(r.Holders, h)
		}
	}
	r.Holders = append(r.Holders, w.chains(&m, grown)...)
	if h, ok := w.uncollected(&m); ok {
		r.Holders = append(r.Holders, h)
	}
	slices.SortStableFunc(r.Holders, func(a, b Holder) int { return cmp.Compare(b.Bytes, a.Bytes) })
	r.Holders = r.Holders[:min(len(r.Holders), maxHolders)]
	var names []uint64
	for _, h := range r.Holders {
		if h.name != 0 {
			names = append(names, h.name)
		}
	}
	users := w.g.users(names)
	for i := range r.Holders {
		r.Holders[i].Users = users[r.Holders[i].name]
	}
	return r, nil
}

// grown are the groups that grow, and still do at the end.
func (w *watch) grown() []*group {
	groups := map[uint64]*group{}
	for i := range w.containers {
		c := &w.containers[i]
		// It can still be reached, and is the same.
		n, ok := w.g.index[c.addr]
		if !ok || w.g.nodes[n].typ != c.typ || c.gone {
			continue
		}
		of := groups[w.g.nodes[n].place]
		if of == nil {
			of = &group{points: make([]trend.Point, looks+1)}
			for i := range of.points {
				of.points[i].At = w.at[i]
			}
			groups[w.g.nodes[n].place] = of
		}
		for i, size := range c.sizes {
			of.points[i].Bytes += float64(size)
		}
		if gained := int64(c.sizes[looks]) - int64(c.sizes[0]); gained > 0 {
			if gained > of.most {
				of.most, of.which = gained, len(of.nodes)
			}
			of.nodes, of.gained = append(of.nodes, n), append(of.gained, gained)
		}
	}
	var all []*group
	for _, of := range groups {
		if len(of.nodes) > 0 && of.grows() {
			all = append(all, of)
		}
	}
	// Whoever is nearest to a name is measured first: what two hold is the first one's.
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.growth(), a.growth()), cmp.Compare(a.nodes[0], b.nodes[0]))
	})
	return all[:min(len(all), 4*maxHolders)]
}

// grows says whether it does, in both halves: a program that does not always get a CPU grows unevenly.
func (of *group) grows() bool {
	t, middle := trend.Of(of.points), of.points[looks/2].Bytes
	least := t.Growth / 8
	return t.Growth > max(leastEntries, 2*t.Noise) && middle-of.points[0].Bytes >= least && of.points[looks].Bytes-middle >= least
}

func (of *group) growth() float64 { return trend.Of(of.points).Growth }

// holder describes what grows.
func (w *watch) holder(m *measure, of *group) Holder {
	n := of.nodes[of.which]
	h := Holder{Type: w.g.fullName(w.g.nodes[n].typ), Count: len(of.nodes), Entries: of.growth()}
	var from root
	if float64(of.most) > 0.9*h.Entries {
		h.Count = 1
	}
	h.Path, from = w.g.path(n, h.Count == 1)
	h.File, h.Line, h.name = from.file, from.line, w.g.named(n)
	o, ok := w.g.object(w.g.nodes[n].addr)
	if !ok {
		return h
	}
	each, samples, kind := m.entry(o)
	h.Samples, h.Of = samples, kind
	h.Bytes = each * h.Entries
	return h
}

// leastObjects is how many objects must have been added to a name for which no container accounts.
const leastObjects = 64

// chains are names on which ever more objects of a type hang without a container that grows: objects that refer to each other.
func (w *watch) chains(m *measure, grown []*group) []Holder {
	if w.partial {
		return nil // what is counted depends on how far a walk came
	}
	more := map[kin]int{}
	for of, end := range w.counts[2] {
		first, middle := w.counts[0][of], w.counts[1][of]
		if n := end - first; n >= leastObjects && middle > first && end-middle >= n/8 {
			more[of] = n
		}
	}
	// A variable of a function that ever more threads run is another each time.
	variables := map[uint64]int{}
	for i, n := range w.g.nodes {
		if n.step == stepRoot {
			if variables[n.place]++; variables[n.place] > 1 {
				maps.DeleteFunc(more, func(of kin, _ int) bool { return of.root == w.g.nodes[w.top(int32(i))].place })
			}
		}
	}
	// What containers hold was measured there.
	for _, of := range grown {
		for _, n := range of.nodes {
			place := w.g.nodes[w.top(n)].place
			maps.DeleteFunc(more, func(of kin, _ int) bool { return of.root == place })
		}
	}
	found := map[uint64]*Holder{}
	for i, n := range w.g.nodes {
		if w.old.has(n.addr) || m.seen[n.addr] || len(more) == 0 {
			continue
		}
		top := w.top(int32(i))
		place := w.g.nodes[top].place
		if more[kin{n.typ.addr, place}] == 0 {
			continue
		}
		h := found[place]
		if h == nil {
			if len(found) >= maxHolders {
				continue
			}
			h = &Holder{
				Type: w.g.fullName(w.g.nodes[top].typ), Of: w.g.fullName(n.typ), Count: 1,
				Entries: float64(more[kin{n.typ.addr, place}]),
			}
			var from root
			h.Path, from = w.g.path(top, true)
			h.File, h.Line, h.name = from.file, from.line, w.g.named(top)
			found[place] = h
		}
		bytes, _ := m.measure(n.addr) // of the first, this may be all that follow
		h.Bytes += float64(bytes)
	}
	var all []Holder
	for _, h := range found {
		all = append(all, *h)
	}
	return all
}

// top is the node whose name a node hangs on.
func (w *watch) top(n int32) int32 { return w.tops[n] }

var _ memory = (*process.Process)(nil)
