package correlation

import (
	"slices"
	"time"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
)

// Question is something worth finding out about an entity.
type Question struct {
	Entity entity.Entity
	Kind   attribution.Kind
	// Before is when the answer may come too late: the earliest time of what is foreseen. Zero: nothing is.
	Before time.Time
}

// Questions are what the patterns ask for now. Of one entity inside another, the inner one is meant.
func (e *Engine) Questions() []Question {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Question
	for _, s := range e.subjects {
		if s.gone {
			continue
		}
		for i, p := range e.settings.Patterns {
			if p.Ask == nil || !p.Applies(s.entity) || !answerable(s.entity, p.Ask.For) {
				continue
			}
			in := pattern.Input{Now: e.now, Entity: s.entity, Timeline: s.timeline}
			q := Question{Entity: s.entity, Kind: p.Ask.For}
			if p.Forecast != nil {
				o := s.outlooks[p.Forecast.Resource]
				if o == nil || !o.predict(&in, p.Forecast.Event) {
					continue
				}
				q.Before = in.Forecast.Earliest
			} else if l := e.lives[s.ids[i]]; l == nil || l.Stage != active && l.Pending.IsZero() {
				continue
			}
			if p.Asks(in) {
				all = append(all, q)
			}
		}
	}
	return innermost(all)
}

// answerable says whether it can be found out: memory belongs to processes; system calls may concern what all of them share, too.
func answerable(e entity.Entity, k attribution.Kind) bool {
	shared := e.Kind == entity.Filesystem || e.Kind == entity.Device || e.Kind == entity.Node
	return e.CgroupPath != "" || k == attribution.Errors && shared
}

func innermost(all []Question) []Question {
	return slices.DeleteFunc(slices.Clone(all), func(outer Question) bool {
		return slices.ContainsFunc(all, func(inner Question) bool {
			return outer.Entity.CgroupPath != "" && inner.Kind == outer.Kind && inner.Entity.Node == outer.Entity.Node && below(inner.Entity.CgroupPath, outer.Entity.CgroupPath)
		})
	})
}

// Named finds an entity that can be asked about by a name that people call it; the namespace may be empty.
func (e *Engine) Named(name, namespace string) (entity.Entity, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found entity.Entity
	for _, s := range e.subjects {
		of := s.entity
		if s.gone || !answerable(of, attribution.Errors) || namespace != "" && of.Namespace != namespace {
			continue
		}
		if shown := of.Finding(); !shown.Is(name) && name != of.CgroupPath && name != string(of.ID) {
			continue
		}
		// The innermost, for it is nearest to the processes; of several, always the same.
		if len(of.CgroupPath) > len(found.CgroupPath) || len(of.CgroupPath) == len(found.CgroupPath) && (found.ID == "" || of.ID < found.ID) {
			found = of
		}
	}
	return found, found.ID != ""
}
