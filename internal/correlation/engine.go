// Package correlation turns signals into findings: it sorts them into the timelines of entities, forecasts resources, holds
// the patterns against both, and leads each finding through its life. It knows no pdata and has no clock of its own.
package correlation

import (
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

// Settings are what an engine is made with. All are required.
type Settings struct {
	Patterns []*pattern.Pattern
	// MaxEntities bounds the entities that are watched; the one that was silent longest goes first.
	MaxEntities int
	// MaxFindings bounds the findings, resolved ones included; a new one beyond it is not told, and counted.
	MaxFindings int
	// EntityTTL is how long a silent entity is remembered.
	EntityTTL time.Duration
	// Retention is how long a resolved finding is remembered.
	Retention time.Duration
	// Refresh is how often an active finding is told again though nothing about it changed.
	Refresh time.Duration
}

// Engine is the correlation engine. It is safe for concurrent use.
type Engine struct {
	settings Settings
	patterns map[string]*pattern.Pattern

	mu       sync.Mutex
	subjects map[entity.ID]*subject
	recent   *list.List // of *subject, the one heard of last in front
	lives    map[string]*life
	layers   map[finding.Layer]time.Time
	stats    Stats
}

// Stats count what an engine has done so far.
type Stats struct {
	Signals          int64 // taken in
	SignalsDropped   int64 // late, duplicate, or beyond a timeline's bound
	EntitiesEvicted  int64 // beyond MaxEntities
	FindingsRefused  int64 // beyond MaxFindings
	EvaluationErrors int64 // a text of a pattern that could not be told
	Entities         int
	Findings         int
}

// subject is an entity with all that is known of it.
type subject struct {
	entity   entity.Entity
	timeline *timeline.Timeline
	outlooks map[string]*outlook
	heard    time.Time
	place    *list.Element
	dirty    bool
	gone     bool
}

// New returns an engine.
func New(s Settings) (*Engine, error) {
	if len(s.Patterns) == 0 || s.MaxEntities < 1 || s.MaxFindings < 1 || s.EntityTTL <= 0 || s.Retention <= 0 || s.Refresh <= 0 {
		return nil, errors.New("make the correlation engine: every setting must be positive, and patterns not empty")
	}
	e := &Engine{settings: s, patterns: map[string]*pattern.Pattern{}, subjects: map[entity.ID]*subject{}, recent: list.New(),
		lives: map[string]*life{}, layers: map[finding.Layer]time.Time{}}
	for _, p := range s.Patterns {
		e.patterns[p.Name] = p
	}
	for _, p := range s.Patterns {
		if p.Confirms != "" && e.patterns[p.Confirms] == nil {
			return nil, fmt.Errorf("pattern %s: confirms is %q, which is no pattern", p.Name, p.Confirms)
		}
		if p.Forecast != nil {
			if _, ok := resources[p.Forecast.Resource]; !ok {
				return nil, fmt.Errorf("pattern %s: forecast.resource is %q, want %s", p.Name, p.Forecast.Resource, resourceNames())
			}
		}
	}
	return e, nil
}

// Observe takes in what was observed about one entity. now is the time of arrival.
func (e *Engine) Observe(now time.Time, b signal.Batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.subject(now, b.Entity)
	for _, sig := range b.Signals {
		e.stats.Signals++
		if sig.Time.After(e.layers[sig.Layer]) {
			e.layers[sig.Layer] = sig.Time
		}
		if sig.Kind == signal.Removed {
			e.remove(s, sig.Time)
			continue
		}
		if !s.timeline.Observe(sig) {
			e.stats.SignalsDropped++
			continue
		}
		if sig.Shape == signal.Event {
			s.timeline.Advance(sig.Kind, sig.Value)
		}
		s.gone = false
	}
	s.dirty = true
	e.forecast(s)
}

// subject returns what is known of an entity, making room for a new one.
func (e *Engine) subject(now time.Time, ent entity.Entity) *subject {
	s, ok := e.subjects[ent.ID]
	if !ok {
		for len(e.subjects) >= e.settings.MaxEntities {
			e.forget(e.recent.Back().Value.(*subject))
			e.stats.EntitiesEvicted++
		}
		s = &subject{entity: ent, timeline: timeline.New(now), outlooks: map[string]*outlook{}}
		s.place = e.recent.PushFront(s)
		e.subjects[ent.ID] = s
	}
	s.entity = merge(s.entity, ent)
	s.heard = now
	e.recent.MoveToFront(s.place)
	return s
}

// merge lets later observations add to what is known of an entity; a node's agent may know a pod's uid before its name.
func merge(known, seen entity.Entity) entity.Entity {
	if seen.CgroupPath == "" {
		seen.CgroupPath, seen.CgroupVersion = known.CgroupPath, known.CgroupVersion
	}
	if seen.Namespace == "" && known.Namespace != "" {
		seen.Namespace, seen.Name, seen.Container, seen.Owner = known.Namespace, known.Name, known.Container, known.Owner
	}
	seen.UID = cmp.Or(seen.UID, known.UID)
	return seen
}

func (e *Engine) forget(s *subject) {
	e.recent.Remove(s.place)
	delete(e.subjects, s.entity.ID)
}

// remove notes that an entity is gone: what was predicted for it will not happen any more.
func (e *Engine) remove(s *subject, at time.Time) {
	s.gone = true
	clear(s.outlooks)
	s.timeline.Reset()
}

// Evaluate holds the patterns against everything that changed and returns the findings that people should be told: new
// ones, changed ones, resolved ones, and active ones not told for a while. They are in order of severity and id.
func (e *Engine) Evaluate(now time.Time) []finding.Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expire(now)
	busy := map[entity.ID]bool{}
	for _, l := range e.lives {
		if l.Stage == active || !l.Pending.IsZero() {
			busy[l.Entity] = true
		}
	}
	held := map[string]bool{}
	for id, s := range e.subjects {
		if s.dirty || busy[id] {
			e.evaluate(now, s, held)
			s.dirty = false
		}
	}
	e.fold(now)
	for id, l := range e.lives {
		if held[id] {
			continue
		}
		if !l.lapse(now, e.patterns[l.Pattern], e.settings.Retention) {
			delete(e.lives, id)
		}
	}
	return e.tell(now)
}

// evaluate holds all patterns against one entity.
func (e *Engine) evaluate(now time.Time, s *subject, held map[string]bool) {
	for _, p := range e.settings.Patterns {
		if !p.Applies(s.entity) {
			continue
		}
		id := ID(p.Name, s.entity.ID)
		l := e.lives[id]
		in := pattern.Input{Now: now, Entity: s.entity, Timeline: s.timeline, Told: l != nil && l.Stage == active}
		var o *outlook
		if p.Forecast != nil {
			if o = s.outlooks[p.Forecast.Resource]; o == nil || s.gone || !o.predict(&in, p.Forecast.Event) {
				continue
			}
		} else {
			o = s.outlooks[memory]
		}
		if p.Confirms != "" {
			in.Foreseen = e.foreseen(s, p, l)
		}
		m, err := p.Evaluate(in)
		if err != nil {
			e.stats.EvaluationErrors++
		}
		if m == nil || err != nil {
			continue
		}
		if l == nil {
			if len(e.lives) >= e.settings.MaxFindings {
				e.stats.FindingsRefused++
				continue
			}
			l = &life{Pattern: p.Name, Entity: s.entity.ID, Finding: finding.Finding{ID: id}}
			e.lives[id] = l
		}
		held[id] = true
		f := finding.Finding{Kind: p.Kind, Pattern: p.Name, Severity: m.Severity, Title: m.Title, Brief: m.Brief, Explanation: m.Explanation,
			Entity: s.entity.Finding(), Confidence: m.Confidence, Forecast: in.Forecast, Evidence: m.Evidence, Remedies: m.Remedies}
		if o != nil {
			f.Series = o.history.Series(o.resource.name, o.resource.unit)
		}
		l.hold(now, p, f)
		if p.Confirms != "" && l.Stage == active {
			e.confirm(now, s, p, l, m)
		}
	}
}

// ID is the id of the finding of a pattern about an entity: the same wherever and whenever it is found.
func ID(pattern string, id entity.ID) string {
	sum := sha256.Sum256([]byte(pattern + "\x00" + string(id)))
	return hex.EncodeToString(sum[:8])
}

// tell returns what people should be told now.
func (e *Engine) tell(now time.Time) []finding.Finding {
	var out []finding.Finding
	for _, l := range e.lives {
		if l.changed || l.Stage == active && now.Sub(l.ToldAt) >= e.settings.Refresh {
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

// expire forgets entities that have been silent for too long.
func (e *Engine) expire(now time.Time) {
	for back := e.recent.Back(); back != nil; back = e.recent.Back() {
		s := back.Value.(*subject)
		if now.Sub(s.heard) < e.settings.EntityTTL {
			return
		}
		e.forget(s)
	}
}

// Findings returns all that people have been told and that is still remembered.
func (e *Engine) Findings() []finding.Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []finding.Finding
	for _, l := range e.lives {
		if l.Stage != "" {
			out = append(out, l.Finding)
		}
	}
	sortFindings(out)
	return out
}

// Stats returns what the engine has done so far.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Entities, s.Findings = len(e.subjects), len(e.lives)
	return s
}
