package correlation

import (
	"container/list"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/forecast"
)

// maxPasts bounds the workloads whose past is remembered, each by resource; the one that was not needed for longest goes first.
const maxPasts = 4096

// pasts remember how earlier lives of workloads ended: at what level they stayed, and whether they were killed. What a
// container did yesterday, and what its replicas do, says more about where growth ends than its curve.
type pasts struct {
	byKey  map[pastKey]*past
	recent *list.List // of *past, the one needed last in front
}

// pastKey is a workload, which stays the same when its containers are replaced, and a resource.
type pastKey struct{ Workload, Resource string }

type past struct {
	Key    pastKey         `json:"key"`
	Memory forecast.Memory `json:"memory"`
	place  *list.Element
	shard  Shard
}

func newPasts() *pasts { return &pasts{byKey: map[pastKey]*past{}, recent: list.New()} }

// of returns what is remembered of a workload; nil when nothing is.
func (ps *pasts) of(e entity.Entity, resource string) *past {
	p := ps.byKey[pastKey{e.Workload(), resource}]
	if p != nil {
		ps.recent.MoveToFront(p.place)
	}
	return p
}

// put remembers a workload's past. It returns the one that was forgotten for it; nil when there was room.
func (ps *pasts) put(key pastKey, m forecast.Memory) (gone *past) {
	p := ps.byKey[key]
	if p == nil {
		if len(ps.byKey) >= maxPasts {
			gone = ps.recent.Remove(ps.recent.Back()).(*past)
			delete(ps.byKey, gone.Key)
		}
		p = &past{Key: key, shard: shardOf(key.Workload)}
		p.place = ps.recent.PushFront(p)
		ps.byKey[key] = p
	}
	p.Memory = m
	return gone
}

// remember puts what is known of a workload's past.
func (e *Engine) remember(key pastKey, m forecast.Memory) {
	if gone := e.pasts.put(key, m); gone != nil {
		e.touch(gone.shard)
	}
	e.touch(e.pasts.byKey[key].shard)
}

// recall lets a series know what is remembered of its workload by now.
func (e *Engine) recall(s *subject, o *outlook) {
	if p := e.pasts.of(s.entity, o.resource.name); p != nil {
		o.series.Memory = p.Memory
	}
}

// end ends a life of a workload's resource at a time, and remembers how. It is noted once however often it is told.
func (e *Engine) end(s *subject, o *outlook, at time.Time, killed bool) {
	if !at.After(o.ended) {
		return
	}
	o.ended = at
	e.recall(s, o)
	o.series.Begin(killed)
	o.last, s.dirty = forecast.Forecast{}, true
	if len(o.series.Memory.Lives) > 0 {
		e.remember(pastKey{s.entity.Workload(), o.resource.name}, o.series.Memory)
	}
}
