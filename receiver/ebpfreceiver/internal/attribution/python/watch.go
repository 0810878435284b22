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
	looks = 20
	// maxShared is how many attributes the instances of a class have in common (SHARED_KEYS_MAX_SIZE of dictobject.c).
	maxShared = 30
	// leastEntries is what a container must gain to be looked at any closer.
	leastEntries = 8
	// walkTime is what CPU time a walk may take, of which there are three to five.
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
	// Entries is by how many it grew over the window, 0 if it is in one piece; Bytes what these are estimated to take.
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
		case <-time.After(time.Until(began.Add(when(n, window)))):
		}
		if err := w.look(n, time.Since(began)); err != nil {
			return Result{}, err
		}
		if n == looks/2 || slices.Contains(again, n) && w.doubtful(n) {
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

// when is the time of a look: of those that are odd a little later than in turn, since what a program sweeps at intervals of its own must not be
// seen at the same moment of each.
func when(n int, window time.Duration) time.Duration {
	at := time.Duration(n) * window / looks
	if n%2 == 1 {
		at += window / looks * 2 / 5
	}
	return at
}

// again are the looks at which all is gone through once more if there is what was added up to then, and no container accounts for it: what is
// emptied now and then, and replaced by another, is only told from what is kept by being looked at more often.
var again = []int{13, 17}

type watch struct {
	p          *Program
	g          *graph
	containers []container
	at         [looks + 1]time.Duration
	old        old
	walks      []walked // at the beginning, in the middle, perhaps in between, and at the end
	tops       []int32  // the node of the name that each node hangs on
	partial    bool
}

// walked is what was counted when all was gone through once.
type walked struct {
	kinds  map[kin]int
	pieces pieces
	cycles cycles
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
		// Attributes of an instance are as many as its class has, mostly.
		if of := w.g.nodes[n]; !ok || of.step == stepNamespace && w.g.nodes[of.parent].typ.class == other && o.word(at) <= maxShared {
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
	all := walked{kinds: map[kin]int{}, pieces: pieces{}}
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
		if len(all.kinds) < maxNodes/2 {
			all.kinds[kin{o.typ.addr, w.g.nodes[top].place}]++
		}
		if of.typ.class.piece() {
			if size := w.g.size(o); size >= large {
				all.pieces[of.place] += size
			}
		}
		if visit != nil {
			visit(n, o)
		}
	})
	if err != nil {
		return err
	}
	w.partial = w.partial || w.g.partial
	all.cycles, err = w.p.unreached(ctx, w.g)
	w.walks = append(w.walks, all)
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

// doubtful says whether what was counted has grown so far, for which no container accounts.
func (w *watch) doubtful(look int) bool {
	accounted := map[uint64]bool{}
	for i := range w.containers {
		c := &w.containers[i]
		if n, ok := w.g.index[c.addr]; ok && c.sizes[look] > c.sizes[0]+leastEntries {
			accounted[w.g.nodes[w.top(n)].place] = true
		}
	}
	last := w.walks[len(w.walks)-1]
	for place := range last.pieces {
		if w.added(func(all walked) int { return int(all.pieces[place]) }) >= large/2 {
			return true
		}
	}
	for of := range last.kinds {
		if !w.partial && !accounted[of.root] && w.added(func(all walked) int { return all.kinds[of] }) >= leastObjects/2 {
			return true
		}
	}
	for t := range last.cycles.counts {
		if !w.partial && w.added(func(all walked) int { return all.cycles.counts[t] }) >= leastObjects/2 {
			return true
		}
	}
	return false
}

// added is by how much what was counted has grown, 0 if it ever became less.
func (w *watch) added(n func(walked) int) int {
	if !slices.IsSortedFunc(w.walks, func(a, b walked) int { return cmp.Compare(n(a), n(b)) }) {
		return 0
	}
	return n(w.walks[len(w.walks)-1]) - n(w.walks[0])
}

// rises says whether there is ever more of what was counted, and in both halves: by how much, in all.
func (w *watch) rises(least int, n func(walked) int) (more int, ok bool) {
	more = w.added(n)
	first := n(w.walks[1]) - n(w.walks[0])
	return more, more >= least && first >= more/8 && more-first >= more/8
}

// group are containers that are reached in the same way.
type group struct {
	nodes  []int32
	gained []int64
	points []trend.Point
	top    uint64 // the place of the name that they hang on
	most   int64  // that one of them has gained
	which  int    // that one
}

func (w *watch) end(ctx context.Context) (Result, error) {
	if err := w.count(ctx); err != nil {
		return Result{}, err
	}
	r := Result{Objects: len(w.g.nodes), Partial: w.partial}
	w.g.until = used() + measureTime + namesTime
	m := measure{g: w.g, old: w.old, seen: map[uint64]bool{}, until: used() + measureTime}
	grown, settled := w.grown()
	for _, of := range grown {
		if h := w.holder(&m, of); h.Bytes > 0 {
			r.Holders = append(r.Holders, h)
		}
	}
	r.Holders = append(r.Holders, w.chains(&m, grown, settled)...)
	r.Holders = append(r.Holders, w.larger(grown)...)
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

// grown are the groups that grow, and still do at the end; settled is by how much others have grown or fallen, by the place of the name they hang on.
func (w *watch) grown() (all []*group, settled map[uint64]float64) {
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
			of = &group{points: make([]trend.Point, looks+1), top: w.g.nodes[w.top(n)].place}
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
	settled = map[uint64]float64{}
	for _, of := range groups {
		if len(of.nodes) > 0 && of.grows() {
			all = append(all, of)
		} else {
			settled[of.top] += max(of.fall(), of.growth())
		}
	}
	// Whoever is nearest to a name is measured first: what two hold is the first one's.
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.growth(), a.growth()), cmp.Compare(a.nodes[0], b.nodes[0]))
	})
	return all[:min(len(all), 4*maxHolders)], settled
}

// grows says whether it does, in both halves and at the end. A program that does not always get a CPU grows unevenly, but what is swept or emptied
// now and then also falls: of that it must be clear that more is left each time.
func (of *group) grows() bool {
	t := trend.Of(of.points)
	first, middle, late, last := of.points[0].Bytes, of.after(1, 2), of.after(3, 4), of.points[looks].Bytes
	return t.Growth > leastEntries && middle-first >= t.Growth/8 && last-middle >= t.Growth/8 && last-late >= t.Growth/16 &&
		(of.fall() <= t.Growth/4 || t.Growth > 4*t.Noise)
}

// after is what it was after so many parts of the time, between two looks as on a line: who looks does not always get a CPU either, and then looks
// several times in a row.
func (of *group) after(parts, all time.Duration) float64 {
	at := of.points[looks].At * parts / all
	for i, p := range of.points[1:] {
		if last := of.points[i]; p.At >= at && p.At > last.At {
			return last.Bytes + (p.Bytes-last.Bytes)*float64(at-last.At)/float64(p.At-last.At)
		}
	}
	return of.points[looks].Bytes
}

// fall is how far it fell at most from what it had been before.
func (of *group) fall() (most float64) {
	var peak float64
	for _, p := range of.points {
		peak = max(peak, p.Bytes)
		most = max(most, peak-p.Bytes)
	}
	return most
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
func (w *watch) chains(m *measure, grown []*group, settled map[uint64]float64) []Holder {
	if w.partial {
		return nil // what is counted depends on how far a walk came
	}
	more := map[kin]int{}
	for of := range w.walks[len(w.walks)-1].kinds {
		if n, ok := w.rises(leastObjects, func(all walked) int { return all.kinds[of] }); ok {
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
	// What containers hold was measured there, or they are full by now, or swept.
	maps.DeleteFunc(more, func(of kin, n int) bool { return settled[of.root] > float64(n)/4 })
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
