//go:build linux

package malloc

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/trend"
)

// A leak must be seen to grow by this much over a window before anybody is named.
const leastGrowth = 128 << 10

// least is how many samples must be kept before their shares mean anything.
const least = 4

// group are the samples of one stack.
type group struct {
	stack          []uint64
	mapped, thread bool
}

// finish tells what is kept by now: the growth, shared out among the stacks of the samples that stay.
func (w *watch) finish(window time.Duration) Result {
	r := w.result
	r.On, r.Freeing = w.watchedFor(allocating), w.watchedFor(freeing)
	r.Lost, _ = bpf.Lost(w.coll.Maps[bpf.MallocMapLost]) // what is known otherwise is told all the same
	t := trend.Of(w.memory)
	r.Growth, r.Grows = t.Growth, t.Grows(leastGrowth)
	if !r.Grows {
		return r
	}
	for _, s := range w.live {
		s.lived = window - min(s.at, window)
		if s.mapped > 0 {
			s.measure(w.p)
		}
	}
	// Sets of probes were there for different times: what a sample stands for is what was seen of it in all the time.
	missed := w.missed()
	for _, s := range w.all {
		s.count = s.seen
		if s.set == allocating {
			s.count *= missed
		}
		if on := w.watchedFor(s.set).Seconds() / window.Seconds(); on > 0 {
			s.count /= on
		}
	}
	r.Busy = w.cpu-w.first+w.waited > window/2
	r.Held, r.Survived = share(w.groups, w.all, circumstances{window, r.Growth, r.Freeing.Seconds() / window.Seconds(), r.Busy})
	return r
}

// evidence is what is known of the samples of one stack.
type evidence struct {
	stable, changed []*sample
	// died are for how long those were seen that were given back later than at once.
	died   []float64
	atOnce int
	blocks float64 // bytes in samples of a size that matters by itself
	kept   float64 // samples
	held   Held
}

// missed is how many times as much was allocated as the samples stand for: where they are not taken out in time, there is no room for more.
func (w *watch) missed() float64 {
	var seen float64
	for _, s := range w.all {
		if s.set == allocating {
			seen += s.seen * float64(s.size)
		}
	}
	if seen == 0 {
		return 1
	}
	return max(1, float64(w.allocated)/seen)
}

// leastCompared is how many samples must be kept to hold what they stand for against the growth.
const leastCompared = 16

// old is which part of the window samples count that were made in: what is younger has not proven anything.
const old = 0.6

// share shares growth out among the stacks whose samples are kept, and says how much these have allocated over the window by that. One that
// has not changed is kept, as far as is likely from how those of its stack are given back; one that has changed counts only where none of its
// stack's was given back, and where that does not make far more than the growth: that it was given back may have been missed.
func share(groups []group, all []*sample, c circumstances) (held []Held, survived float64) {
	held, survived = shareAmong(groups, all, c, true)
	if survived <= maxSurvived*c.growth {
		return held, survived
	}
	if unchanged, less := shareAmong(groups, all, c, false); len(unchanged) > 0 {
		return unchanged, less
	}
	return held, survived
}

// circumstances are those of a watch.
type circumstances struct {
	window time.Duration
	growth float64
	// freeing is for which part of the window what is given back was watched.
	freeing float64
	busy    bool
}

// leastSeen is how many of the samples of a stack that have changed would have been seen to be given back if all were, for it to tell something
// that none was.
const leastSeen = 1

// givenBack says whether any sample of a stack was seen to be given back, or may have been unseen. What is mapped is watched all the time.
func (g *evidence) givenBack(freeing float64) bool {
	if len(g.changed) > 0 && g.changed[0].set >= mapping {
		freeing = 1
	}
	return len(g.died)+g.atOnce > 0 || float64(len(g.changed))*freeing < leastSeen
}

func shareAmong(groups []group, all []*sample, c circumstances, changed bool) (held []Held, survived float64) {
	window, growth := c.window, c.growth
	of := make([]evidence, len(groups))
	for _, s := range all {
		g := &of[s.stack]
		switch {
		case s.superseded || s.at.Seconds() > old*window.Seconds(): // it goes on elsewhere; it is too young
		case s.dead && s.first == nil:
			g.atOnce++
		case s.dead:
			g.died = append(g.died, s.lived.Seconds())
		case s.changed:
			g.changed = append(g.changed, s)
		default:
			g.stable = append(g.stable, s)
		}
	}
	var seen, samples, blocks float64
	for i := range of {
		g := &of[i]
		if changed && !g.givenBack(c.freeing) {
			g.stable, g.changed = append(g.stable, g.changed...), nil
		}
		g.weigh(growth / 16)
		if g.held.Bytes <= 0 || g.kept < 0.5 {
			continue
		}
		g.held.Stack, g.held.Mapped, g.held.Thread, g.held.Samples = groups[i].stack, groups[i].mapped, groups[i].thread, int(math.Round(g.kept))
		g.held.Seen = g.held.Bytes / old
		seen += g.held.Seen
		samples += g.kept
		blocks += g.blocks
		held = append(held, g.held)
	}
	if samples >= leastCompared {
		survived = seen
	}
	if samples < least && blocks < growth/4 {
		held, survived = replaced(groups, all, window, growth), 0
	}
	held = Share(held, growth, c.busy)
	slices.SortFunc(held, func(a, b Held) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), slices.Compare(a.Stack, b.Stack)) })
	return held, survived
}

// maxUnseen is how many times what was seen to be kept the growth may be that is shared out: of a leak, it is 1 to 2.5 times (maxSurvived), and up to
// 4 times on a machine that is too busy; maxUnseenOfFew where fewer samples are kept than many: of a leak, up to 14 times were seen; maxUnseenOfBusy
// where the program has no time to spare: of redis-server that is given keys as fast as it takes them, up to 32 times.
const maxUnseen, maxUnseenOfFew, maxUnseenOfBusy, many = 5, 20, 50, 32

// overhead is what an allocator adds to a block at most, where that is small: the least that glibc gives is 32 bytes.
const overhead = 32

// leastShare is what part of the growth somebody must hold to be named where most of it is nobody's.
const leastShare = 0.02

// Share shares growth out among those who hold something, by what was seen of each. Where they were seen to keep far less than it grows by,
// something else makes it grow, such as a block of before that is filled: then they hold what was seen, and the rest is nobody's.
func Share(held []Held, growth float64, busy bool) []Held {
	var seen, room float64
	var samples int
	for _, h := range held {
		seen += h.Seen
		room += h.Seen + overhead*h.Objects*h.Seen/h.Bytes
		samples += h.Samples
	}
	scale, most := growth/seen, float64(maxUnseen)
	if busy {
		most = maxUnseenOfBusy
	} else if samples < many {
		most = maxUnseenOfFew
	}
	if growth > most*room {
		scale = 1
		held = slices.DeleteFunc(held, func(h Held) bool { return h.Seen < leastShare*growth })
	}
	for i := range held {
		h := &held[i]
		h.Objects *= h.Seen * scale / h.Bytes
		h.Bytes = h.Seen * scale
	}
	return held
}

// replaced are the stacks that have mapped ever larger blocks in place of those that they give back, as arrays grow. Of what is mapped
// all is seen.
func replaced(groups []group, all []*sample, window time.Duration, growth float64) (held []Held) {
	of := make([]Held, len(groups))
	for _, s := range all {
		if s.set != mapping {
			continue
		}
		alive := func(t time.Duration) bool { return s.at <= t && (!s.dead || s.at+s.lived > t) }
		g := &of[s.stack]
		if alive(window) {
			g.Bytes += s.bytes()
			g.Samples++
			g.Objects++
		}
		if alive(window / 4) {
			g.Bytes -= s.bytes()
		}
	}
	for i, g := range of {
		if g.Bytes >= growth/4 {
			g.Stack, g.Mapped, g.Seen = groups[i].stack, groups[i].mapped, g.Bytes
			held = append(held, g)
		}
	}
	return held
}

// weigh adds up the samples that have not changed, each by how likely it is that it is kept.
func (g *evidence) weigh(block float64) {
	lived := make([]float64, len(g.stable))
	for i, s := range g.stable {
		lived[i] = s.lived.Seconds()
	}
	likely := kept(lived, g.died)
	for i, s := range g.stable {
		bytes := likely[i] * s.bytes()
		g.kept += likely[i]
		g.held.Bytes += bytes
		g.held.Objects += bytes / float64(max(s.size, 1))
		if float64(s.size) >= block {
			g.blocks += bytes
		}
	}
}

// kept says how likely it is of each of those that live that it is kept for good, from the time for which each was seen alive, and
// for which those were that died. It takes them for a mixture: of those that are kept, and of those of which in each second the same
// share dies; expectation maximization finds the two shares.
func kept(alive, died []float64) []float64 {
	likely := make([]float64, len(alive))
	for i := range likely {
		likely[i] = 1
	}
	if len(died) == 0 || len(alive) == 0 {
		return likely
	}
	var dead float64 // seconds
	for _, x := range died {
		dead += x
	}
	for range 100 {
		var sum, mortal float64
		for i, x := range alive {
			sum += likely[i]
			mortal += (1 - likely[i]) * x
		}
		rate := float64(len(died)) / max(dead+mortal, 1e-3)
		share := sum / float64(len(alive)+len(died))
		for i, x := range alive {
			yet := (1 - share) * math.Exp(-rate*x)
			likely[i] = share / max(share+yet, 1e-12)
		}
	}
	return likely
}
