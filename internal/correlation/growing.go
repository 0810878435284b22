package correlation

import (
	"maps"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
)

// suspicion is the confidence from which on it is worth finding out who holds the memory. It is less than people are told of: the
// answer takes a while, and is to be there with the prediction, not after the kill.
const suspicion = 0.3

// Growing are the entities whose memory may run out, with the earliest time at which it may. Of one inside another, the inner one is
// meant.
func (e *Engine) Growing() map[entity.ID]Growth {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[entity.ID]Growth{}
	for id, s := range e.subjects {
		o := s.outlooks[memory]
		if s.gone || s.entity.CgroupPath == "" || o == nil || !o.current(e.now) || o.last.Confidence < suspicion {
			continue
		}
		all[id] = Growth{Entity: s.entity, Earliest: o.last.Earliest}
	}
	maps.DeleteFunc(all, func(_ entity.ID, outer Growth) bool {
		for _, inner := range all {
			if inner.Entity.Node == outer.Entity.Node && below(inner.Entity.CgroupPath, outer.Entity.CgroupPath) {
				return true
			}
		}
		return false
	})
	return all
}

// Growth is an entity whose memory may run out.
type Growth struct {
	Entity   entity.Entity
	Earliest time.Time
}

// Named finds an entity that has processes by a name that people call it; the namespace may be empty.
func (e *Engine) Named(name, namespace string) (entity.Entity, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found entity.Entity
	for _, s := range e.subjects {
		of := s.entity
		if s.gone || of.CgroupPath == "" || namespace != "" && of.Namespace != namespace {
			continue
		}
		shown := of.Finding()
		if name != of.Name && name != shown.Display() && name != of.Container && name != of.CgroupPath && name != string(of.ID) {
			continue
		}
		// The innermost, for it is nearest to the processes; of several, always the same.
		if len(of.CgroupPath) > len(found.CgroupPath) || len(of.CgroupPath) == len(found.CgroupPath) && of.ID < found.ID {
			found = of
		}
	}
	return found, found.ID != ""
}
