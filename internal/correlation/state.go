package correlation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// stateVersion is that of the form below; another one is not read.
	stateVersion = 2
	// maxState bounds a stored state (bytes). Entities that were silent longest are left out first, and counted.
	maxState = 32 << 20
	// grace is how long at most a restored prediction stays active although there are too few samples to judge it by.
	grace = 5 * time.Minute
)

// Part is what of an engine's state is stored together.
type Part string

// The parts of the state. Each can be restored without the other. Findings has all findings, and what is known of the
// entities they are about: it is small, and must be stored before a new finding is told. Entities has the counters and the
// course of all entities: it is large, and worth storing now and then.
const (
	Findings Part = "findings"
	Entities Part = "entities"
)

// Parts are all of them, in the order in which they are to be restored.
func Parts() []Part { return []Part{Entities, Findings} }

// state is what outlives a restart: the findings people were told, and what counters showed, so that neither is told anew.
type state struct {
	Version int               `json:"version"`
	Lives   map[string]*life  `json:"lives,omitempty"`
	Known   []json.RawMessage `json:"known"` // savedSubjects, the one heard of last in front
	Pasts   []*past           `json:"pasts,omitempty"`
}

type savedSubject struct {
	Entity   entity.Entity           `json:"entity"`
	Timeline timeline.State          `json:"timeline"`
	Outlooks map[string]savedOutlook `json:"outlooks,omitempty"`
	Heard    time.Time               `json:"heard"`
	Gone     bool                    `json:"gone,omitempty"`
}

type savedOutlook struct {
	// Series is stored as it says itself.
	Series  *forecast.Series `json:"series,omitempty"`
	History timeline.History `json:"history"`
	Sampled time.Time        `json:"sampled"`
}

// Unsaved says that findings were made, changed or resolved since Findings were last saved.
func (e *Engine) Unsaved() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unsaved
}

// Save returns what of the state has to be stored to go on after a restart. It holds the engine up for one entity at a time.
func (e *Engine) Save(part Part) ([]byte, error) {
	lives, ids, told, err := e.list(part)
	if err != nil {
		return nil, fmt.Errorf("encode the engine's state: %w", err)
	}
	pasts, err := json.Marshal(e.remembered(part))
	if err != nil {
		return nil, fmt.Errorf("encode the engine's state: %w", err)
	}
	// A state, put together by hand: to encode what is encoded already would go through all of it once more.
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"version":%d,"lives":%s,"pasts":%s,"known":[`, stateVersion, lives, pasts)
	size, left, first := len(lives), 0, true
	for i, id := range ids {
		b, err := e.encode(id, told[id])
		if err != nil {
			return nil, fmt.Errorf("encode the state of %s: %w", id, err)
		}
		if b == nil {
			continue
		}
		if size += len(b) + 1; size > maxState {
			left = len(ids) - i
			break
		}
		if !first {
			out.WriteByte(',')
		}
		first = false
		out.Write(b)
	}
	out.WriteString("]}")
	e.mu.Lock()
	e.stats.EntitiesUnsaved = int64(left)
	e.mu.Unlock()
	return out.Bytes(), nil
}

// list returns the encoded findings, if these are to be saved, the entities that are, the one heard of last in front, and
// which of them findings are about.
func (e *Engine) list(part Part) (lives []byte, ids []entity.ID, told map[entity.ID]bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	lives, told = []byte("null"), map[entity.ID]bool{}
	for _, l := range e.lives {
		told[l.Entity] = true
	}
	if part == Findings {
		if lives, err = json.Marshal(e.lives); err != nil {
			return nil, nil, nil, err
		}
		e.unsaved = false
	}
	for at := e.recent.Front(); at != nil; at = at.Next() {
		if id := at.Value.(*subject).entity.ID; part == Entities || told[id] {
			ids = append(ids, id)
		}
	}
	return lives, ids, told, nil
}

// encode writes down an entity: all that is known of one that findings are about, and of others what keeps old things from
// looking new.
func (e *Engine) encode(id entity.ID, told bool) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.subjects[id]
	if s == nil {
		return nil, nil
	}
	saved := savedSubject{Entity: s.entity, Timeline: s.timeline.Counters(), Heard: s.heard, Gone: s.gone, Outlooks: map[string]savedOutlook{}}
	if told {
		saved.Timeline = s.timeline.State(e.now)
	}
	for name, o := range s.outlooks {
		saved.Outlooks[name] = savedOutlook{Series: &o.series, History: o.history, Sampled: o.sampled}
	}
	return json.Marshal(saved)
}

// Restore takes up what Save returned, before the first Observe; several parts in turn. On an error nothing of the part is
// restored. Findings of patterns that no longer exist are left out. Every other finding is told once more, so that those
// who listen only now have it.
func (e *Engine) Restore(now time.Time, b []byte) error {
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return fmt.Errorf("decode the engine's state: %w", err)
	}
	if st.Version != stateVersion {
		return fmt.Errorf("the engine's state has version %d, want %d", st.Version, stateVersion)
	}
	known := make([]savedSubject, len(st.Known))
	for i, b := range st.Known {
		if err := json.Unmarshal(b, &known[i]); err != nil {
			return fmt.Errorf("decode the engine's state: known[%d]: %w", i, err)
		}
	}
	for id, l := range st.Lives {
		if err := l.validate(id); err != nil {
			return fmt.Errorf("decode the engine's state: lives[%s]: %w", id, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, l := range st.Lives {
		if e.patterns[l.Pattern] == nil || len(e.lives) >= e.settings.MaxFindings {
			continue
		}
		l.rewind(now)
		l.changed, l.Held = l.Stage != "", now // time to look again before anything lapses
		e.lives[id] = l
	}
	for _, saved := range slices.Backward(known) {
		e.take(now, saved)
	}
	for _, p := range slices.Backward(st.Pasts) {
		if p == nil {
			continue
		}
		var m forecast.Memory
		for _, l := range p.Memory.Lives { // which passes over what cannot be
			m.Add(l)
		}
		e.pasts.put(p.Key, m)
	}
	return nil
}

// take restores one entity, unless what is known of it is newer.
func (e *Engine) take(now time.Time, saved savedSubject) {
	heard := earlier(saved.Heard, now)
	s := e.subjects[saved.Entity.ID]
	if saved.Entity.ID == "" || s != nil && s.heard.After(heard) || s == nil && len(e.subjects) >= e.settings.MaxEntities {
		return
	}
	s = e.subject(heard, saved.Entity)
	s.timeline, s.restored, s.gone = timeline.Restore(now, saved.Timeline), now, saved.Gone
	clear(s.outlooks)
	for name, o := range saved.Outlooks {
		if res, ok := resources[name]; ok {
			if !o.History.Valid() {
				o.History = timeline.History{}
			}
			restored := &outlook{resource: res, history: o.History}
			if o.Series != nil {
				restored.series = *o.Series
			}
			s.outlooks[name] = restored
		}
	}
}

// validate reports what is wrong with a stored life.
func (l *life) validate(id string) error {
	switch {
	case l == nil:
		return errors.New("is null")
	case l.Finding.ID != id || id != ID(l.Pattern, l.Entity):
		return errors.New("its id is not that of its pattern and entity")
	case l.Stage == "":
		return nil // never told
	case l.Stage != active && l.Stage != resolved:
		return fmt.Errorf("stage is %q", l.Stage)
	case l.Finding.State == finding.Active != (l.Stage == active):
		return fmt.Errorf("stage is %q, but the finding is %q", l.Stage, l.Finding.State)
	}
	return l.Finding.Validate()
}

// unjudged says that a prediction was taken up from before a restart and there are too few samples yet to confirm or withdraw
// it: it then stays as it is, as long as its entity is there and for a bounded time.
func (e *Engine) unjudged(now time.Time, l *life) bool {
	p, s := e.pattern(l.Pattern), e.subjects[l.Entity]
	if l.Stage != active || p.Forecast == nil || s == nil || s.gone || s.restored.IsZero() || now.Sub(s.restored) >= grace {
		return false
	}
	o := s.outlooks[p.Forecast.Resource]
	heard := o != nil && !o.sampled.IsZero()
	if heard && o.last.Samples >= forecast.Needed || !heard && now.Sub(s.restored) >= silentAfter {
		return false
	}
	l.Held = now // what is kept after the conditions ceased to hold is kept from when that can be known
	return true
}
