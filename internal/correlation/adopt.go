package correlation

import (
	"cmp"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// adoptedFor is how long a finding of another engine stays active although that is not heard of any more: it tells its findings
// again at least every minute, and is given one to restart.
const adoptedFor = 2 * time.Minute

// adopted is a finding of another engine.
type adopted struct {
	finding finding.Finding
	entity  entity.ID
	heard   time.Time
}

// Adopt takes in what another engine has found, such as that of a node. id is the entity as this engine knows it: what both find of
// it by one pattern is one finding. The engine keeps f.
func (e *Engine) Adopt(now time.Time, f finding.Finding, id entity.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now = wall(now)
	known := e.adopted[f.ID]
	switch {
	case known == nil && f.State == finding.Resolved && e.lives[ID(f.Pattern, id)] == nil:
		return // it was over before this engine ever heard of it
	case known == nil && !e.roomForAdopted(f.Severity):
		e.stats.FindingsRefused++
		return
	case known != nil && !f.Supersedes(&known.finding, now): // told again out of order
		if f.State == known.finding.State {
			known.heard = now
		}
		return
	}
	if known != nil && known.entity != id {
		e.disown(now, known)
	}
	e.adopted[f.ID] = &adopted{f, id, now}
}

// roomForAdopted is what room is for the findings of this engine. What goes is over when it was not heard of for long.
func (e *Engine) roomForAdopted(s finding.Severity) bool {
	switch {
	case len(e.adopted) < e.settings.MaxFindings:
		return true
	case s.Rank() <= e.fullAdopted:
		return false
	}
	var least *adopted
	for _, a := range e.adopted {
		if a.weight() < s.Rank() && (least == nil || cmp.Or(a.weight()-least.weight(), a.heard.Compare(least.heard)) < 0) {
			least = a
		}
	}
	if least == nil {
		e.fullAdopted = s.Rank()
		return false
	}
	delete(e.adopted, least.finding.ID)
	return true
}

// weight is how bad what a finding tells is, by rank; 0 when it is over.
func (a *adopted) weight() int {
	if a.finding.State != finding.Active {
		return 0
	}
	return a.finding.Severity.Rank()
}

// disown ends what was told of a finding of another engine before it was known which entity it is about.
func (e *Engine) disown(now time.Time, a *adopted) {
	if l := e.lives[ID(a.finding.Pattern, a.entity)]; l != nil && l.Adopted {
		l.resolve(now)
	}
}

// adopt holds what other engines have found beside what this one has.
func (e *Engine) adopt(now time.Time, held map[string]bool) {
	names := map[string]string{} // of the findings here, by those there
	for there, a := range e.adopted {
		if now.Sub(a.heard) >= adoptedFor {
			delete(e.adopted, there)
			continue
		}
		names[there] = ID(a.finding.Pattern, a.entity)
	}
	newest := map[string]*adopted{}
	for there, here := range names {
		// A container that was restarted is another one there, and the same here.
		if a := e.adopted[there]; newest[here] == nil || newer(a.finding, newest[here].finding) {
			newest[here] = a
		}
	}
	for id, a := range newest {
		f, l := a.finding, e.lives[id]
		f.ID, f.Causes, f.Effects = id, rename(f.Causes, names), rename(f.Effects, names)
		switch {
		case f.State != finding.Active:
			if l != nil && l.Adopted && l.Stage == active && !held[id] {
				l.Finding.Outcome, l.Finding.Causes, l.Finding.Effects = f.Outcome, f.Causes, f.Effects
				l.resolve(now)
			}
		case l != nil && held[id]:
			if l.Finding.Outcome == nil && f.Outcome != nil {
				e.subjects[l.Entity].dirty = true // the text is to tell of it
			}
			l.join(f)
		default:
			if l == nil {
				if !e.room(now, f.Severity) {
					e.stats.FindingsRefused++
					continue
				}
				l = &life{Pattern: f.Pattern, Entity: a.entity, Finding: finding.Finding{ID: id}}
				e.lives[id] = l
			}
			l.adopt(now, a.heard, f)
			held[id] = true
		}
	}
}

func newer(a, b finding.Finding) bool {
	if a.State != b.State {
		return a.State == finding.Active
	}
	return cmp.Or(a.LastSeen.Compare(b.LastSeen), cmp.Compare(a.ID, b.ID)) > 0
}

func rename(ids []string, names map[string]string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, cmp.Or(names[id], id))
	}
	return out
}

// adopt takes a finding of another engine as it is, which was heard of last at a time.
func (l *life) adopt(now, heard time.Time, f finding.Finding) {
	news := f.Forecast != nil && !f.LastSeen.Equal(l.Finding.LastSeen) // the time left is another one
	if l.Stage != active {
		l.Stage, l.Since, l.Pending, l.changed = active, now, time.Time{}, true
	} else if l.Finding.FirstSeen.Before(f.FirstSeen) {
		f.FirstSeen = l.Finding.FirstSeen
	}
	l.Held, l.Finding, l.Adopted = heard, f, true
	l.changed = l.changed || news
}

// join adds to a finding what another engine has found of the same: its evidence, and what was predicted.
func (l *life) join(f finding.Finding) {
	if l.Stage != active {
		return
	}
	own := &l.Finding
	own.Evidence, own.Remedies = slices.Clip(own.Evidence), slices.Clip(own.Remedies) // others hold them too
	for _, e := range f.Evidence {
		if !slices.ContainsFunc(own.Evidence, func(known finding.Evidence) bool {
			return known.Layer == e.Layer && known.Signal == e.Signal && known.Time.Equal(e.Time)
		}) {
			own.Evidence = append(own.Evidence, e)
		}
	}
	slices.SortStableFunc(own.Evidence, func(a, b finding.Evidence) int { return a.Time.Compare(b.Time) })
	own.Confidence = max(own.Confidence, f.Confidence)
	if f.FirstSeen.Before(own.FirstSeen) {
		own.FirstSeen = f.FirstSeen
	}
	if own.Outcome == nil {
		own.Outcome = f.Outcome
	}
	if own.Series == nil {
		own.Series = f.Series
	}
	for _, id := range f.Causes {
		if !slices.Contains(own.Causes, id) {
			own.Causes = append(own.Causes, id)
		}
	}
	for _, r := range f.Remedies {
		if !slices.ContainsFunc(own.Remedies, func(known finding.Remedy) bool { return known.ID == r.ID }) {
			own.Remedies = append(own.Remedies, r)
		}
	}
}
