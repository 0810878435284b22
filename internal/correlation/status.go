package correlation

import (
	"cmp"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/finding"
)

// maxLearning bounds the entities that are named as having too few samples.
const maxLearning = 20

// Status says what is watched, how well, and for what it is too early to say anything.
func (e *Engine) Status(now time.Time) finding.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	now = wall(now)
	st := finding.Status{Time: now, Watched: map[string]int{}}
	st.Coverage = e.coverage(now)
	told := map[entity.ID]bool{}
	for _, l := range e.lives {
		told[l.Entity] = told[l.Entity] || l.Stage == active
	}
	for _, l := range e.lives {
		if l.Stage == active && l.Adopted && e.subjects[l.Entity] == nil {
			st.Watched[l.Finding.Entity.Kind]++ // another engine watches it, and told of it here
		}
	}
	for id, s := range e.subjects {
		limited := false
		for _, o := range s.outlooks {
			limited = limited || !o.sampled.IsZero() // of what was taken up after a restart it is not known yet whether it is there
		}
		// What is gone, but was killed a moment ago, counts: it is none of the healthy ones.
		if (s.gone || !limited) && !told[id] {
			continue
		}
		st.Watched[string(s.entity.Kind)]++
		for _, o := range s.outlooks {
			if o.last.Samples < forecast.Needed && !o.sampled.IsZero() {
				st.Learning = append(st.Learning, finding.Learning{Entity: s.entity.Finding(), Resource: o.resource.name,
					Samples: o.last.Samples, Needed: forecast.Needed})
			}
		}
	}
	st.LearningTotal = len(st.Learning)
	slices.SortFunc(st.Learning, func(a, b finding.Learning) int {
		return cmp.Or(cmp.Compare(a.Entity.Name, b.Entity.Name), cmp.Compare(a.Entity.Container, b.Entity.Container), cmp.Compare(a.Resource, b.Resource))
	})
	st.Learning = st.Learning[:min(len(st.Learning), maxLearning)]
	return st
}
