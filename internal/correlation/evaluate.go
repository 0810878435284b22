package correlation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// Evaluate holds the patterns against everything that changed and returns the findings that people should be told: new
// ones, changed ones, resolved ones, and active ones not told for a while. They are in order of severity and id.
func (e *Engine) Evaluate(now time.Time) []finding.Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.look(now, late)
}

// Settle is the last Evaluate before an end: nothing waits any longer for what others may say of it. What it finds is in what Save
// returns then, and told after Restore.
func (e *Engine) Settle(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.look(now, 0)
}

// look is a look at everything. wait is how long a signal waits for its owner.
func (e *Engine) look(now time.Time, wait time.Duration) []finding.Finding {
	now = e.pass(now)
	e.full, e.fullAdopted = 0, 0
	e.release(now, wait)
	e.expire(now)
	alive := map[entity.ID]bool{}
	for _, l := range e.lives {
		alive[l.Entity] = alive[l.Entity] || l.Stage == active || !l.Pending.IsZero()
	}
	held := map[string]bool{}
	for id, s := range e.subjects {
		switch {
		case !s.dirty && !alive[id]:
		case s.rests(now):
			for _, m := range s.matches {
				e.hold(now, s, m, held)
			}
		default:
			e.evaluate(now, s, held)
		}
	}
	e.adopt(now, held)
	e.fold(now)
	e.explain(now, held)
	for id, l := range e.lives {
		if held[id] {
			l.compare()
		}
		if held[id] || e.unjudged(now, l) {
			continue
		}
		if !l.lapse(now, e.pattern(l.Pattern), e.settings.Retention) {
			e.bury(id, l)
		}
	}
	return e.tell(now)
}

// match is a pattern that holds for an entity, and what there is to say of it.
type match struct {
	pattern  *pattern.Pattern
	life     *life
	finding  finding.Finding
	confirms []*pattern.Confirmation
}

// rests says that a look at an entity would find nothing else than the last one.
func (s *subject) rests(now time.Time) bool {
	untold := func(m match) bool { return m.finding.Forecast != nil && m.life.Stage != active } // it will be told with the time that is left then
	return !s.dirty && !now.Before(s.evaluated) && !now.After(s.until) && !slices.ContainsFunc(s.matches, untold)
}

// evaluate holds all patterns against one entity.
func (e *Engine) evaluate(now time.Time, s *subject, held map[string]bool) {
	s.dirty, s.matches, s.evaluated, s.until = false, nil, now, now.Add(math.MaxInt64)
	for i, p := range e.settings.Patterns {
		if !p.Applies(s.entity) {
			continue
		}
		id := s.ids[i]
		l := e.lives[id]
		in := pattern.Input{Now: now, Entity: s.entity, Timeline: s.timeline, Told: l != nil && l.Stage == active}
		var o *outlook
		if p.Forecast != nil {
			if o = s.outlooks[p.Forecast.Resource]; o == nil || s.gone || !o.predict(&in, p.Forecast.Event) {
				continue
			}
			if p.Forecast.Resource == nodeMemory {
				in.Evicted = func() []pattern.Candidate { return e.candidates(now, s.entity.Node) }
			}
		} else {
			o = s.outlooks[memory]
		}
		if len(p.Confirms) > 0 {
			in.Foreseen = func(c *pattern.Confirmation) string { return e.foreseen(s, p, c, l) }
		}
		m, until, err := p.Evaluate(in)
		s.until = earlier(s.until, until)
		if err != nil {
			e.stats.EvaluationErrors++
			if !e.faulty[p.Name] {
				e.faulty[p.Name], e.faults = true, append(e.faults, err)
			}
		}
		if m == nil || err != nil {
			continue
		}
		if l == nil {
			if !e.room(now, m.Severity) {
				e.stats.FindingsRefused++
				s.until = now
				continue
			}
			l = &life{Pattern: p.Name, Entity: s.entity.ID, Finding: finding.Finding{ID: id}}
			e.lives[id] = l
		}
		f := finding.Finding{Kind: p.Kind, Pattern: p.Name, Severity: m.Severity, Title: m.Title, Brief: m.Brief, Explanation: m.Explanation, Shared: m.Shared, OwnCause: m.OwnCause,
			Entity: s.entity.Finding(), Confidence: m.Confidence, Forecast: in.Forecast, Evidence: m.Evidence, Remedies: m.Remedies, LastSeen: now}
		if m.Peer != "" {
			f.Peer = &finding.Peer{Address: m.Peer}
		}
		if o != nil {
			f.Series = o.history.Series(o.resource.name, o.resource.unit)
		}
		found := match{p, l, f, m.Confirms}
		s.matches = append(s.matches, found)
		e.hold(now, s, found, held)
	}
}

// hold notes that a pattern holds for an entity now.
func (e *Engine) hold(now time.Time, s *subject, m match, held map[string]bool) {
	held[m.life.Finding.ID] = true
	wait := time.Duration(m.pattern.For)
	if m.life.Stage != active && m.finding.Forecast == nil && wait < inward && e.contains(s) {
		wait = inward
	}
	m.life.hold(now, wait, m.finding)
	for _, c := range m.confirms {
		if m.life.Stage == active {
			e.confirm(now, s, m, c)
		}
	}
}

// pattern returns a pattern by its name; an empty one where another engine has found what this one does not know.
func (e *Engine) pattern(name string) *pattern.Pattern {
	if p := e.patterns[name]; p != nil {
		return p
	}
	return &pattern.Pattern{Name: name}
}

// room says whether one more finding fits, making room by forgetting one that is over or less bad: the least of all, and of several the
// one for which that has been so for longest.
func (e *Engine) room(now time.Time, s finding.Severity) bool {
	switch {
	case len(e.lives) < e.settings.MaxFindings:
		return true
	case s.Rank() <= e.full:
		return false // as for the one before
	}
	var least *life
	for _, l := range e.lives {
		if l.weight() < s.Rank() && (least == nil || cmp.Or(l.weight()-least.weight(), l.Since.Compare(least.Since)) < 0) {
			least = l
		}
	}
	if least == nil {
		e.full = s.Rank()
		return false
	}
	if least.Stage == active && !least.ToldAt.Before(least.Since) {
		least.resolve(now)
		e.ended = append(e.ended, least.Finding)
	}
	e.bury(least.Finding.ID, least)
	return true
}

// bury forgets a finding.
func (e *Engine) bury(id string, l *life) {
	delete(e.lives, id)
	if s := e.subjects[l.Entity]; s != nil {
		s.matches, s.until = nil, time.Time{} // what holds of it begins anew, and what held is not kept
	}
	e.touch(shardOf(string(l.Entity)))
}

// ID is the id of the finding of a pattern about an entity: the same wherever and whenever it is found.
func ID(pattern string, id entity.ID) string {
	sum := sha256.Sum256([]byte(pattern + "\x00" + string(id)))
	return hex.EncodeToString(sum[:8])
}

// tell returns what people should be told now.
func (e *Engine) tell(now time.Time) []finding.Finding {
	var out []finding.Finding
	for _, f := range e.ended {
		if e.lives[f.ID] == nil {
			out = append(out, f)
		}
	}
	e.ended = nil
	for _, l := range e.lives {
		if l.changed || l.Stage == active && (l.stale(now) || now.Sub(l.ToldAt) >= e.settings.Refresh) {
			if l.changed {
				at := shardOf(string(l.Entity))
				e.touch(at)
				e.shards[at].unsaved = true
			}
			l.told(now)
			out = append(out, l.Finding)
		}
	}
	sortFindings(out)
	return out
}

func sortFindings(fs []finding.Finding) {
	slices.SortFunc(fs, func(a, b finding.Finding) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(a.ID, b.ID))
	})
}
