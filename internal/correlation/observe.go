package correlation

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/correlation/timeline"
)

// maxAhead is how far a signal's time may lie ahead of its arrival: what is further was stamped by a clock that is wrong, and
// would make everything after it look late.
const maxAhead = 5 * time.Minute

// maxValue is more than any amount, count or time is. What is more, or no number, has no form in JSON, or its sums have none: neither
// the finding that it is evidence of nor what is stored with that could be written.
const maxValue = math.MaxInt64

// Observe takes in what was observed about one entity. now is the time of arrival.
func (e *Engine) Observe(now time.Time, b signal.Batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now = e.pass(now)
	if b.Signals = e.cover(now, b); len(b.Signals) == 0 {
		return
	}
	e.victims.join(now, b, func(b signal.Batch) { e.observe(now, b) })
}

// observe takes in what is known to be about an entity.
func (e *Engine) observe(now time.Time, b signal.Batch) {
	s := e.subject(now, b.Entity)
	for _, sig := range b.Signals {
		e.stats.Signals++
		sig.Time = wall(sig.Time)
		if sig.Time.Sub(now) > maxAhead || !(math.Abs(sig.Value) < maxValue) {
			e.stats.SignalsDropped++
			continue
		}
		if sig.Time.After(e.layers[sig.Layer]) {
			e.layers[sig.Layer] = sig.Time
		}
		if sig.Kind == signal.Removed {
			e.remove(s, sig.Time)
			s.timeline.Observe(sig) // the end is evidence too
			continue
		}
		if sig.Shape == signal.Counter && !sig.Start.After(e.epoch(now, origin{b.Entity.Node, sig.Kind})) {
			sig.Start = time.Time{}
		}
		if !s.timeline.Observe(sig) {
			e.stats.SignalsDropped++
			continue
		}
		if sig.Shape != signal.Event {
			s.gone = false
		}
	}
	s.dirty = true
	e.forecast(s)
}

// origin is where a kind of counter comes from.
type origin struct{ node, kind string }

// epoch is when a kind of counter was first heard of from a node. A source that has just begun to read names that time as the
// start of all its counters, however old they are; only what starts later is new.
func (e *Engine) epoch(now time.Time, from origin) time.Time {
	at, known := e.epochs[from]
	if !known {
		if at = now; len(e.epochs) < e.settings.MaxEntities {
			e.epochs[from] = at
		}
	}
	return at
}

// clockStep is how far the clock must go back to be taken for one that was set, rather than for callers that overtook
// each other.
const clockStep = 10 * time.Second

// absence is for how long nothing may happen here, not even a look at the time, until nobody is taken to have been here: the machine
// slept, or its clock was set forward.
const absence = 2 * time.Minute

// wall is a time by the wall clock alone.
func wall(t time.Time) time.Time { return t.Round(0) }

// pass notes the time, and returns it by the wall clock. When the clock was set back, everything known is moved to now, or all that
// follows would look late.
func (e *Engine) pass(now time.Time) time.Time {
	now = wall(now)
	if e.now.Sub(now) > clockStep {
		for at := e.recent.Front(); at != nil; at = at.Next() {
			at.Value.(*subject).rewind(now)
		}
		for _, l := range e.lives {
			l.rewind(now)
		}
		for layer := range e.layers {
			e.layers[layer] = now
		}
		for from, at := range e.epochs {
			e.epochs[from] = earlier(at, now)
		}
		for part, c := range e.covers {
			c.at = earlier(c.at, now)
			e.covers[part] = c
		}
		for _, a := range e.adopted {
			a.heard = earlier(a.heard, now)
		}
		e.forgotten = earlier(e.forgotten, now)
		e.victims.rewind(now)
		for at := range Shards {
			e.touch(at)
		}
	} else if !now.After(e.now) {
		return now
	} else if !e.now.IsZero() && now.Sub(e.now) > absence {
		e.resume(now)
	}
	e.now = now
	return now
}

// resume goes on after an absence as after a restart: what is known waits to be heard of again.
func (e *Engine) resume(now time.Time) {
	for at := e.recent.Front(); at != nil; at = at.Next() {
		s := at.Value.(*subject)
		s.restored, s.until = now, time.Time{}
	}
	for _, l := range e.lives {
		if l.Stage == active {
			l.Held = now
		}
	}
	for _, a := range e.adopted {
		a.heard = now
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// rewind moves what lies after now to now. Forecasts begin anew: their samples are of another clock.
func (s *subject) rewind(now time.Time) {
	s.heard, s.restored = earlier(s.heard, now), earlier(s.restored, now)
	s.timeline.Rewind(now)
	clear(s.outlooks)
}

// subject returns what is known of an entity, making room for a new one.
func (e *Engine) subject(now time.Time, ent entity.Entity) *subject {
	if id, ok := e.aliases[ent.ID]; ok {
		ent.ID = id
	}
	s, ok := e.subjects[ent.ID]
	if !ok {
		for len(e.subjects) >= e.settings.MaxEntities {
			e.forget(e.recent.Back().Value.(*subject))
			e.stats.EntitiesEvicted++
		}
		s = &subject{entity: ent, timeline: timeline.New(e.forgotten), outlooks: map[string]*outlook{}, shard: shardOf(string(ent.ID))}
		for _, p := range e.settings.Patterns {
			s.ids = append(s.ids, ID(p.Name, ent.ID))
		}
		s.place = e.recent.PushFront(s)
		e.subjects[ent.ID] = s
	}
	s.entity = merge(s.entity, ent)
	if alias := s.entity.Alias(); alias != "" && e.aliases[alias] != s.entity.ID {
		if nameless := e.subjects[alias]; nameless != nil {
			e.drop(nameless)
		}
		e.aliases[alias] = s.entity.ID
	}
	s.heard = now
	e.recent.MoveToFront(s.place)
	e.touch(s.shard)
	return s
}

// merge lets later observations add to what is known of an entity; a node's agent may know a pod's uid before its name.
func merge(known, seen entity.Entity) entity.Entity {
	if seen.CgroupPath == "" {
		seen.CgroupPath = known.CgroupPath
	}
	seen.CgroupVersion = cmp.Or(seen.CgroupVersion, known.CgroupVersion)
	if seen.Namespace == "" && known.Namespace != "" {
		seen.Namespace, seen.Name, seen.Container, seen.Owner = known.Namespace, known.Name, known.Container, known.Owner
	}
	if seen.Owner == nil {
		seen.Owner = known.Owner
	}
	seen.Address = cmp.Or(seen.Address, known.Address)
	seen.Container = cmp.Or(seen.Container, known.Container)
	seen.UID, seen.ContainerID = cmp.Or(seen.UID, known.UID), cmp.Or(seen.ContainerID, known.ContainerID)
	seen.Kind = known.Kind
	return seen
}

// forget drops an entity. When it is heard of again, its counters must not look as if they had begun under our eyes: those
// it had began before it was last heard of.
func (e *Engine) forget(s *subject) {
	e.drop(s)
	if s.heard.After(e.forgotten) {
		e.forgotten = s.heard
	}
}

func (e *Engine) drop(s *subject) {
	e.touch(s.shard)
	e.recent.Remove(s.place)
	delete(e.subjects, s.entity.ID)
	if alias := s.entity.Alias(); e.aliases[alias] == s.entity.ID {
		delete(e.aliases, alias)
	}
}

// remove notes that an entity is gone: what was predicted for it will not happen any more. A notice that comes late, when
// the next one of its name is there already, leaves that one alone.
func (e *Engine) remove(s *subject, at time.Time) {
	killed := len(s.timeline.Events(at.Add(-lately), signal.OOMKill)) > 0 &&
		!slices.ContainsFunc(s.timeline.Events(at.Add(-lately), signal.KernelOOMKill), func(e timeline.Event) bool { return e.Attributes["scope"] == "node" })
	s.timeline.Forget(at)
	s.gone = true
	for name, o := range s.outlooks {
		if o.sampled.After(at) {
			s.gone = false
			continue
		}
		e.end(s, o, at, killed && name == memory)
		delete(s.outlooks, name)
	}
}

// expire forgets entities that have been silent for too long; while nobody listened, none was.
func (e *Engine) expire(now time.Time) {
	// What an active finding rests on stays, however long ago it was.
	busy := map[entity.ID]bool{}
	for _, l := range e.lives {
		busy[l.Entity] = busy[l.Entity] || l.Stage == active
	}
	for at := e.recent.Back(); at != nil; {
		s := at.Value.(*subject)
		if now.Sub(later(s.heard, s.restored)) < e.settings.EntityTTL {
			return
		}
		at = at.Prev()
		if !busy[s.entity.ID] {
			e.forget(s)
		}
	}
}
