package correlation

import (
	"slices"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

// together is how close in time the same diagnosis of an entity and of one that contains it must be to be one: cgroup v2
// counts a kill in every cgroup above the one where it happened.
const together = 15 * time.Second

// fold keeps what is counted twice from being told twice: where a pattern holds for an entity and for one that contains it,
// for the same reason, only the inner one is told.
func (e *Engine) fold(now time.Time) {
	byPattern := map[string][]*life{}
	for _, l := range e.lives {
		if (l.Stage == active || !l.Pending.IsZero()) && e.subjects[l.Entity] != nil {
			byPattern[l.Pattern] = append(byPattern[l.Pattern], l)
		}
	}
	for _, lives := range byPattern {
		for _, outer := range lives {
			inner := slices.IndexFunc(lives, func(l *life) bool {
				return e.subjects[l.Entity].entity.Within(e.subjects[outer.Entity].entity) && same(l.Finding, outer.Finding)
			})
			if inner < 0 {
				continue
			}
			if outer.Stage != active || outer.ToldAt.Before(outer.Since) {
				// Nobody was told yet, and nobody is for as long as the inner one explains it.
				outer.Stage, outer.Pending, outer.changed = "", now, false
			} else {
				outer.Finding.Causes = []string{lives[inner].Finding.ID}
				outer.resolve(now)
			}
		}
	}
}

// same says whether two findings of one pattern have the same reason: the same moment, or the same expected moment.
func same(inner, outer finding.Finding) bool {
	if inner.Forecast != nil && outer.Forecast != nil {
		return !inner.Forecast.Earliest.After(outer.Forecast.Latest) && !outer.Forecast.Earliest.After(inner.Forecast.Latest)
	}
	if len(inner.Evidence) == 0 || len(outer.Evidence) == 0 {
		return false
	}
	gap := inner.Evidence[len(inner.Evidence)-1].Time.Sub(outer.Evidence[len(outer.Evidence)-1].Time)
	return gap.Abs() <= together
}
