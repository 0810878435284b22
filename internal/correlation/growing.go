package correlation

import (
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// Growing are the entities whose memory is foreseen to run out, with the earliest time at which it may.
func (e *Engine) Growing() map[entity.ID]Growth {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[entity.ID]Growth{}
	for _, l := range e.lives {
		f := l.Finding
		if l.Stage != active || f.Kind != finding.Prediction || f.Forecast == nil || e.pattern(l.Pattern).Forecast == nil ||
			e.pattern(l.Pattern).Forecast.Resource != memory {
			continue
		}
		if s := e.subjects[l.Entity]; s != nil && s.entity.CgroupPath != "" {
			all[l.Entity] = Growth{Entity: s.entity, Earliest: f.Forecast.Earliest}
		}
	}
	return all
}

// Growth is an entity whose memory is foreseen to run out.
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
