package correlation

import (
	"container/list"
	"slices"
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

// put remembers a workload's past.
func (ps *pasts) put(key pastKey, m forecast.Memory) {
	p := ps.byKey[key]
	if p == nil {
		if len(ps.byKey) >= maxPasts {
			oldest := ps.recent.Remove(ps.recent.Back()).(*past)
			delete(ps.byKey, oldest.Key)
		}
		p = &past{Key: key}
		p.place = ps.recent.PushFront(p)
		ps.byKey[key] = p
	}
	p.Memory = m
}

// list is all that is remembered, what was needed last first.
func (ps *pasts) list() []*past {
	all := make([]*past, 0, len(ps.byKey))
	for at := ps.recent.Front(); at != nil; at = at.Next() {
		all = append(all, at.Value.(*past))
	}
	return all
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
	o.last = forecast.Forecast{}
	if len(o.series.Memory.Lives) > 0 {
		e.pasts.put(pastKey{s.entity.Workload(), o.resource.name}, o.series.Memory)
	}
}

// remembered is what of the past belongs to a part of the state.
func (e *Engine) remembered(part Part) []*past {
	if part != Entities {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.pasts.list()
	for i, p := range all { // what is encoded outside the lock must not change
		all[i] = &past{Key: p.Key, Memory: forecast.Memory{Lives: slices.Clone(p.Memory.Lives)}}
	}
	return all
}
