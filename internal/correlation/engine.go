// Package correlation turns signals into findings: it sorts them into the timelines of entities, forecasts resources, holds
// the patterns against both, and leads each finding through its life. It knows no pdata and has no clock of its own.
package correlation

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

// Settings are what an engine is made with. All are required.
type Settings struct {
	Patterns []*pattern.Pattern
	// MaxEntities bounds the entities that are watched; the one that was silent longest goes first.
	MaxEntities int
	// MaxFindings bounds the findings, resolved ones included. A new one beyond it takes the place of one that is over or less bad; where
	// there is none, it is not told, and counted.
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
	aliases  map[entity.ID]entity.ID
	recent   *list.List // of *subject, the one heard of last in front
	lives    map[string]*life
	layers   map[finding.Layer]time.Time
	covers   map[part]cover
	victims  *victims
	// full is the rank of the worst finding that there was no room for since the last look, fullAdopted the same of other engines'.
	full, fullAdopted int
	// ended are findings that had to go for worse ones, which people are not told yet.
	ended []finding.Finding
	stats Stats
	// faulty are the patterns of which a text could not be told, and faults what was not said of them yet.
	faulty map[string]bool
	faults []error
	pasts  *pasts
	// epochs are when a kind of counter was first heard of from a node. A counter there that started before then may have
	// counted for long; one that started later has counted under our eyes.
	epochs map[origin]time.Time
	// forgotten is when the last of the forgotten entities was heard of: it may come back, with counters from before.
	forgotten time.Time
	// now is the latest time that the engine was told, by the wall clock alone: what it keeps is held against the times of others and
	// outlives this process, and a clock that was set back is one whose monotonic reading went on.
	now time.Time
	// links say what depends on what; nil: nobody knows, and no finding is told as the effect of another.
	links func() causes.Links
	// adopted are findings of other engines, by their id there.
	adopted map[string]*adopted
	shards  [Shards]shard
	stored  int // bytes of all shards
}

// Stats count what an engine has done so far.
type Stats struct {
	Signals          int64 // taken in
	SignalsDropped   int64 // late, duplicate, or beyond a timeline's bound
	EntitiesEvicted  int64 // beyond MaxEntities
	EntitiesUnsaved  int64 // beyond maxState, when they were to be saved last
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
	// ids are those of the findings that there can be, in the order of the patterns.
	ids   []string
	dirty bool
	gone  bool
	// matches are the patterns that held when all were last held against it, at evaluated; nothing changes that before until.
	matches          []match
	evaluated, until time.Time
	// restored is when the subject was taken up from a stored state, or after an absence; zero when it was not.
	restored time.Time
	shard    Shard
}

// New returns an engine.
func New(s Settings) (*Engine, error) {
	if len(s.Patterns) == 0 || s.MaxEntities < 1 || s.MaxFindings < 1 || s.EntityTTL <= 0 || s.Retention <= 0 || s.Refresh <= 0 {
		return nil, errors.New("make the correlation engine: every setting must be positive, and patterns not empty")
	}
	e := &Engine{settings: s, patterns: map[string]*pattern.Pattern{}, subjects: map[entity.ID]*subject{}, aliases: map[entity.ID]entity.ID{}, recent: list.New(),
		lives: map[string]*life{}, layers: map[finding.Layer]time.Time{}, covers: map[part]cover{}, epochs: map[origin]time.Time{},
		pasts: newPasts(), victims: newVictims(), adopted: map[string]*adopted{}, faulty: map[string]bool{}}
	for _, p := range s.Patterns {
		e.patterns[p.Name] = p
	}
	return e, checkResources(s.Patterns)
}

// Check reports what is wrong between patterns. An engine does without what a pattern confirms: it may have been disabled.
func Check(patterns []*pattern.Pattern) error {
	var errs []error
	kinds := map[string]finding.Kind{}
	for _, p := range patterns {
		kinds[p.Name] = p.Kind
	}
	for _, p := range patterns {
		for _, c := range p.Confirms {
			if kinds[c.Prediction] != finding.Prediction {
				errs = append(errs, fmt.Errorf("pattern %s: confirms is %q, want the name of a pattern of kind prediction", p.Name, c.Prediction))
			}
		}
	}
	return errors.Join(append(errs, checkResources(patterns))...)
}

func checkResources(patterns []*pattern.Pattern) error {
	var errs []error
	for _, p := range patterns {
		if p.Forecast == nil {
			continue
		}
		if _, ok := resources[p.Forecast.Resource]; !ok {
			errs = append(errs, fmt.Errorf("pattern %s: forecast.resource is %q, want %s", p.Name, p.Forecast.Resource, resourceNames()))
		}
	}
	return errors.Join(errs...)
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

// Faults returns why a text of a pattern could not be told, so that its finding was not: for each pattern once.
func (e *Engine) Faults() []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.faults
	e.faults = nil
	return all
}

// Stats returns what the engine has done so far.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Entities, s.Findings = len(e.subjects), len(e.lives)
	return s
}
