package correlation

import (
	"path"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// together is how close in time the same diagnosis of an entity and of one that contains it must be to be one: cgroup v2
	// counts a kill in every cgroup above the one where it happened.
	together = 15 * time.Second
	// inward is how long a diagnosis of what contains others waits for one of these to have the same: the kernel may tell of the outer
	// one first.
	inward = time.Second
	// maxCauses bounds the findings that are named as the cause of another.
	maxCauses = 8
)

// place is where an entity's processes are accounted.
type place struct{ pattern, node, cgroup string }

// fold keeps what is counted twice from being told twice: where a pattern holds for an entity and for one that contains it,
// for the same reason, only the inner one is told.
func (e *Engine) fold(now time.Time) {
	lives := map[place]*life{}
	for _, l := range e.lives {
		if s := e.subjects[l.Entity]; s != nil && s.entity.CgroupPath != "" && (l.Stage == active || !l.Pending.IsZero()) {
			lives[place{l.Pattern, s.entity.Node, s.entity.CgroupPath}] = l
		}
	}
	inner := map[*life][]string{} // by the outer one
	for at, l := range lives {
		for up := at; up.cgroup != "/" && up.cgroup != "."; {
			up.cgroup = path.Dir(up.cgroup)
			if outer := lives[up]; outer != nil && e.same(l, outer) {
				inner[outer] = append(inner[outer], l.Finding.ID)
			}
		}
	}
	for outer, ids := range inner {
		if outer.Stage != active || outer.ToldAt.Before(outer.Since) {
			// Nobody was told yet, and nobody is for as long as the inner one explains it.
			outer.Stage, outer.Pending, outer.changed = "", now, false
			continue
		}
		slices.Sort(ids)
		outer.Finding.Causes = ids[:min(len(ids), maxCauses)]
		outer.resolve(now)
	}
}

// contains says whether other entities are known that are inside one.
func (e *Engine) contains(outer *subject) bool {
	if outer.entity.CgroupPath == "" {
		return false
	}
	for _, s := range e.subjects {
		if s.entity.Node == outer.entity.Node && below(s.entity.CgroupPath, outer.entity.CgroupPath) {
			return true
		}
	}
	return false
}

// same says whether two findings of one pattern have the same reason: the same moment, or the same expected moment.
func (e *Engine) same(inner, outer *life) bool {
	if a, b := inner.Finding.Forecast, outer.Finding.Forecast; a != nil && b != nil {
		return overlap(a, b)
	}
	p := e.patterns[inner.Pattern]
	if p == nil {
		return false // another engine's: what shows it is not known here
	}
	trigger := func(c *pattern.Clause) bool { return c.Role == pattern.Trigger }
	in := e.subjects[inner.Entity]
	a, b := in.latest(p, trigger), e.subjects[outer.Entity].latest(p, trigger)
	if a.Sub(b).Abs() <= together {
		return true
	}
	// Some of its layers may be late, and tell of an earlier moment.
	return slices.ContainsFunc(p.Signals, func(c *pattern.Clause) bool {
		return trigger(c) && slices.ContainsFunc(in.timeline.Events(b.Add(-together), c.Any...), func(e timeline.Event) bool {
			return !e.First.After(b.Add(together))
		})
	})
}

func overlap(a, b *finding.Forecast) bool {
	return !a.Earliest.After(b.Latest) && !b.Earliest.After(a.Latest)
}
