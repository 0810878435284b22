package correlation

import (
	"container/list"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// late is how long what the kernel told of a process waits for a layer that knows whose process it was.
	late = 30 * time.Second
	// reuse is how far apart in time two signals may name one pid and mean one process.
	reuse = time.Minute
	// grouped is how long after the kernel said that it kills all of a cgroup its kills are of that cgroup.
	grouped = 2 * time.Second
	// exact is how far apart two clocks may put the same kill.
	exact = 2 * time.Second

	maxOwned   = 4096
	maxWaiting = 256
)

// victims finds out whose process the kernel means. Its log names a pid; whose that was is known to the line before, which is
// often left out, to systemd, or, by the time, to the counters of a cgroup. Each of them may be missing, or late.
type victims struct {
	owned   map[process]*list.Element // of owner
	order   *list.List                // the owner heard of last in front
	groups  map[string]owner          // the cgroup that is killed as a whole, by node
	waiting []waiting
}

// process is one process while it lives.
type process struct{ node, pid string }

// owner is whose process it is.
type owner struct {
	process process
	entity  entity.Entity
	at      time.Time
	// facts are what the kernel said of the choice: whose limit it was.
	facts map[string]string
}

// waiting is a signal about a process that is not known yet.
type waiting struct {
	signal signal.Signal
	node   entity.Entity
	since  time.Time
}

func newVictims() *victims {
	return &victims{owned: map[process]*list.Element{}, order: list.New(), groups: map[string]owner{}}
}

// rewind moves what waits to now: the clock was set back. Whose the processes were is not known by this clock.
func (v *victims) rewind(now time.Time) {
	kept := v.waiting
	*v = *newVictims()
	for _, w := range kept {
		w.signal.Time, w.since = earlier(w.signal.Time, now), earlier(w.since, now)
		v.waiting = append(v.waiting, w)
	}
}

// unowned says whether a signal is about a process of which the kernel told the pid only.
func unowned(e entity.Entity, s signal.Signal) bool {
	return e.Kind == entity.Node && (s.Kind == signal.KernelOOMKill || s.Kind == signal.Segfault) && s.Attributes["pid"] != ""
}

// join passes on what was observed, each signal about a process to whoever it belongs to.
func (v *victims) join(now time.Time, b signal.Batch, deliver func(signal.Batch)) {
	if !slices.ContainsFunc(b.Signals, func(s signal.Signal) bool { return s.Attributes != nil || s.Kind == signal.KernelOOMGroup }) {
		deliver(b) // as nearly all is
		return
	}
	var rest []signal.Signal
	for _, s := range b.Signals {
		o := owner{process: process{b.Entity.Node, s.Attributes["pid"]}, entity: b.Entity, at: s.Time}
		switch {
		case s.Kind == signal.KernelOOMGroup:
			if len(v.groups) >= maxOwned {
				clear(v.groups) // of so many nodes; each counts for a moment
			}
			v.groups[b.Entity.Node] = o
		case s.Kind == signal.KernelOOMContext:
			if b.Entity.Kind != entity.Node { // or it was in the root cgroup, and another layer may know more
				o.facts = s.Attributes
				v.own(o, deliver)
			}
		case unowned(b.Entity, s):
			if o, ok := v.owner(o.process, s.Time); ok {
				deliver(o.take(s))
			} else if v.waits(b.Entity.Node, s) {
				// Its record came through two pipelines, or was offered once more.
			} else if len(v.waiting) < maxWaiting {
				v.waiting = append(v.waiting, waiting{s, b.Entity, now})
			} else {
				rest = append(rest, s)
			}
		default:
			if o.process.pid != "" && b.Entity.Kind != entity.Node {
				v.own(o, deliver)
			}
			rest = append(rest, s)
		}
	}
	if len(rest) > 0 {
		deliver(signal.Batch{Entity: b.Entity, Signals: rest})
	}
}

// own notes whose a process is, and passes on what waits for that.
func (v *victims) own(o owner, deliver func(signal.Batch)) {
	if at, ok := v.owned[o.process]; ok {
		if before := at.Value.(owner); o.facts == nil && before.at.Sub(o.at).Abs() < reuse {
			o.facts = before.facts
		}
		v.order.Remove(at)
	}
	v.owned[o.process] = v.order.PushFront(o)
	if v.order.Len() > maxOwned {
		delete(v.owned, v.order.Remove(v.order.Back()).(owner).process)
	}
	kept := v.waiting[:0]
	for _, w := range v.waiting {
		if w.node.Node == o.process.node && w.signal.Attributes["pid"] == o.process.pid && w.signal.Time.Sub(o.at).Abs() < reuse {
			deliver(o.take(w.signal))
		} else {
			kept = append(kept, w)
		}
	}
	v.waiting = kept
}

// waits says whether a signal waits already. Where times are whole seconds, as in lines of a file, two may be alike.
func (v *victims) waits(node string, s signal.Signal) bool {
	return s.Time.Nanosecond() != 0 && slices.ContainsFunc(v.waiting, func(w waiting) bool {
		return w.node.Node == node && w.signal.Time.Equal(s.Time) && w.signal.Kind == s.Kind && w.signal.Layer == s.Layer && maps.Equal(w.signal.Attributes, s.Attributes)
	})
}

func (v *victims) owner(p process, at time.Time) (owner, bool) {
	if known, ok := v.owned[p]; ok {
		if o := known.Value.(owner); o.at.Sub(at).Abs() < reuse {
			return o, true
		}
	}
	if g, ok := v.groups[p.node]; ok && !at.Before(g.at) && at.Sub(g.at) < grouped {
		return g, true
	}
	return owner{}, false
}

// take makes a signal about a process one about its owner.
func (o owner) take(s signal.Signal) signal.Batch {
	s.Entity, s.Attributes = o.entity.ID, maps.Clone(s.Attributes)
	for _, name := range []string{"constraint", "limited"} {
		if fact := o.facts[name]; fact != "" {
			s.Attributes[name] = fact
		}
	}
	return signal.Batch{Entity: o.entity, Signals: []signal.Signal{s}}
}

// release ends the waiting of what has waited for long enough: it is of the one entity of which another layer shows a kill at
// that time that nothing else explains, or else of the node.
func (e *Engine) release(now time.Time, wait time.Duration) {
	kept := e.victims.waiting[:0]
	for _, w := range e.victims.waiting {
		if now.Sub(w.since) < wait {
			kept = append(kept, w)
			continue
		}
		o := owner{entity: w.node}
		if who, ok := e.suspect(w); ok {
			o.entity = who
		}
		e.observe(now, o.take(w.signal))
	}
	e.victims.waiting = kept
}

// suspect is the entity in which, by its counter, its runtime or systemd, more was killed at the time than the kernel's own word
// explains, of it and of what is inside it. Of several there is none: to guess would be worse than not to know.
func (e *Engine) suspect(w waiting) (entity.Entity, bool) {
	if w.signal.Kind != signal.KernelOOMKill {
		return entity.Entity{}, false
	}
	type scene struct {
		of         entity.Entity
		seen, told float64
	}
	var all []scene
	for _, s := range e.subjects {
		if s.entity.Node != w.node.Node || s.entity.Kind == entity.Node {
			continue
		}
		if seen, told := s.kills(w.signal.Time); seen+told > 0 {
			all = append(all, scene{s.entity, seen, told})
		}
	}
	var found entity.Entity
	for _, s := range all {
		for _, inner := range all {
			if below(inner.of.CgroupPath, s.of.CgroupPath) {
				s.told += inner.told
			}
		}
		switch {
		case s.seen <= s.told:
		case found.ID == "" || below(s.of.CgroupPath, found.CgroupPath):
			found = s.of
		case !below(found.CgroupPath, s.of.CgroupPath):
			return entity.Entity{}, false
		}
	}
	return found, found.ID != ""
}

// kills are how many kills other layers than the kernel's own word saw around a time, and how many that told of; what several saw is
// the same.
func (s *subject) kills(at time.Time) (seen, told float64) {
	type source struct {
		kind  string
		layer finding.Layer
	}
	sums := map[source]float64{}
	count := func(e timeline.Event, first time.Time) float64 {
		from := source{e.Kind, e.Layer}
		if !at.Before(first.Add(-exact)) && !at.After(e.Time.Add(exact)) {
			sums[from] += e.Value
		}
		return sums[from]
	}
	for _, e := range s.timeline.Events(at.Add(-reuse), signal.KernelOOMKill) {
		told = max(told, count(e, e.First))
	}
	for _, e := range s.timeline.Events(at.Add(-reuse), signal.OOMKill, signal.UnitOOMKill, signal.RuntimeOOMKill) {
		first := e.First
		if !e.After.IsZero() && !e.Vague() {
			first = e.After // it happened between two readings
		}
		seen = max(seen, count(e, first))
	}
	return seen, told
}

// below says whether a cgroup is inside another; in one that is not known there is none.
func below(inner, outer string) bool {
	return inner != outer && outer != "" && strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/")
}
