package correlation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// stateVersion is that of the form below; another one is not read.
	stateVersion = 3
	// maxState bounds the stored state (bytes). Entities beyond it are left out, those that were silent longest first within a
	// shard, and counted.
	maxState = 64 << 20
	// grace is how long at most a restored prediction stays active although there are too few samples to judge it by.
	grace = 5 * time.Minute
)

// Shard is a part of the state that is stored by itself: some entities, by the hash of their ids, with the findings about them.
// What is stored at a change is as large as what changed; and values that are small and alike can be stored over and over
// without the file growing, where each finds room in what others left.
type Shard uint16

const (
	// Shards is how many there are: about one for each finding that there may be by default.
	Shards Shard = 1024
	// Turns is in how many turns all of them are stored.
	Turns = 8
)

// String is the name to store the shard under.
func (at Shard) String() string { return fmt.Sprintf("state.%03x", uint16(at)) }

func shardOf(key string) Shard {
	h := fnv.New32a()
	h.Write([]byte(key))
	return Shard(h.Sum32() % uint32(Shards))
}

// shard is how what is stored of a shard differs from what is known.
type shard struct {
	touched bool // something is not stored yet
	unsaved bool // and it is a finding that people are told, or are told otherwise
	size    int  // what is stored (bytes)
	left    int  // entities that are left out of it
}

// state is what outlives a restart, of one shard: the findings people were told, and what counters showed, so that neither is
// told anew.
type state struct {
	Version int               `json:"version"`
	Lives   map[string]*life  `json:"lives,omitempty"`
	Known   []json.RawMessage `json:"known,omitempty"` // savedSubjects
	Pasts   []*past           `json:"pasts,omitempty"`
}

type savedSubject struct {
	Entity   entity.Entity           `json:"entity"`
	Timeline timeline.State          `json:"timeline"`
	Outlooks map[string]savedOutlook `json:"outlooks,omitempty"`
	// Heard is when it was last heard of, by the clock of here.
	Heard time.Time `json:"heard"`
	Gone  bool      `json:"gone,omitempty"`
}

type savedOutlook struct {
	// Series is stored as it says itself.
	Series  *forecast.Series `json:"series,omitempty"`
	History timeline.History `json:"history"`
	// Ended is when the life before this one ended: that is noted once.
	Ended time.Time `json:"ended,omitzero"`
}

// touch notes that what is stored about an entity or a workload is not what is known.
func (e *Engine) touch(at Shard) { e.shards[at].touched = true }

// Unsaved returns the shards in which findings were made, changed or resolved since they were last saved: they are to be stored
// before anybody is told.
func (e *Engine) Unsaved() []Shard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.choose(0, Shards, func(s shard) bool { return s.unsaved })
}

// Touched returns, of the shards whose turn it is (0 to Turns-1), those in which anything changed since they were last saved.
// Worth storing now and then are also the counters and the course of entities that nothing was found about.
func (e *Engine) Touched(turn int) []Shard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.choose(Shard(turn)*Shards/Turns, Shard(turn+1)*Shards/Turns, func(s shard) bool { return s.touched })
}

func (e *Engine) choose(from, to Shard, which func(shard) bool) []Shard {
	var chosen []Shard
	for at := from; at < to; at++ {
		if which(e.shards[at]) {
			chosen = append(chosen, at)
		}
	}
	return chosen
}

// Lost says that what Save returned for some shards could not be stored.
func (e *Engine) Lost(shards ...Shard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, at := range shards {
		e.touch(at)
	}
}

// Save returns what of some shards has to be stored to go on after a restart; of an empty one nil. It holds the engine up for
// one entity at a time.
func (e *Engine) Save(shards ...Shard) (map[Shard][]byte, error) {
	all, err := e.collect(shards)
	if err != nil {
		return nil, fmt.Errorf("encode the engine's state: %w", err)
	}
	saved := make(map[Shard][]byte, len(all))
	for at, c := range all {
		if saved[at], err = e.encode(at, c); err != nil {
			return nil, fmt.Errorf("encode the engine's state: %w", err)
		}
	}
	return saved, nil
}

// contents are what there is in a shard.
type contents struct {
	lives map[string]json.RawMessage
	told  []entity.ID // those that findings are about, the one heard of last in front
	other []entity.ID // the same of the others
	pasts []*past
}

// collect sorts what is known into shards, and takes these for saved.
func (e *Engine) collect(shards []Shard) (map[Shard]*contents, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[Shard]*contents, len(shards))
	for _, at := range shards {
		all[at] = &contents{lives: map[string]json.RawMessage{}}
		e.shards[at].touched, e.shards[at].unsaved = false, false
	}
	told := map[entity.ID]bool{}
	for id, l := range e.lives {
		told[l.Entity] = true
		if c := all[shardOf(string(l.Entity))]; c != nil {
			b, err := json.Marshal(l)
			if err != nil {
				return nil, err
			}
			c.lives[id] = b
		}
	}
	for at := e.recent.Front(); at != nil; at = at.Next() {
		s := at.Value.(*subject)
		c := all[s.shard]
		switch {
		case c == nil:
		case told[s.entity.ID]:
			c.told = append(c.told, s.entity.ID)
		default:
			c.other = append(c.other, s.entity.ID)
		}
	}
	for at := e.pasts.recent.Front(); at != nil; at = at.Next() {
		p := at.Value.(*past)
		if c := all[p.shard]; c != nil { // what is encoded outside the lock must not change
			c.pasts = append(c.pasts, &past{Key: p.Key, Memory: forecast.Memory{Lives: slices.Clone(p.Memory.Lives)}})
		}
	}
	return all, nil
}

// encode writes a shard down.
func (e *Engine) encode(at Shard, c *contents) ([]byte, error) {
	lives, err := json.Marshal(c.lives)
	if err != nil {
		return nil, err
	}
	pasts, err := json.Marshal(c.pasts)
	if err != nil {
		return nil, err
	}
	// A state, put together by hand: to encode what is encoded already would go through all of it once more.
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"version":%d,"lives":%s,"pasts":%s,"known":[`, stateVersion, lives, pasts)
	known, left := 0, 0
	for i, id := range append(c.told, c.other...) {
		b, err := e.encodeEntity(id, i < len(c.told))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		if b == nil {
			continue
		}
		if !e.fits(at, out.Len()+len(b)) {
			left = len(c.told) + len(c.other) - i
			break
		}
		if known++; known > 1 {
			out.WriteByte(',')
		}
		out.Write(b)
	}
	out.WriteString("]}")
	b := out.Bytes()
	if known+len(c.lives)+len(c.pasts) == 0 {
		b = nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &e.shards[at]
	e.stored += len(b) - s.size
	e.stats.EntitiesUnsaved += int64(left - s.left)
	s.size, s.left = len(b), left
	return b, nil
}

// fits says whether a shard of that size keeps the state within its bound.
func (e *Engine) fits(at Shard, size int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stored-e.shards[at].size+size <= maxState
}

// encodeEntity writes down an entity: all that is known of one that findings are about, and of others what keeps old things
// from looking new.
func (e *Engine) encodeEntity(id entity.ID, told bool) ([]byte, error) {
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
		saved.Outlooks[name] = savedOutlook{Series: &o.series, History: o.history, Ended: o.ended}
	}
	return json.Marshal(saved)
}

// Restore takes up what Save returned, before the first Observe: all shards at once. Of one that cannot be read nothing is
// restored, and the error returned. Findings of patterns that no longer exist are left out. Every other finding is told once
// more, so that those who listen only now have it.
func (e *Engine) Restore(now time.Time, saved map[Shard][]byte) map[Shard]error {
	bad := map[Shard]error{}
	var known []savedSubject
	e.mu.Lock()
	defer e.mu.Unlock()
	now = wall(now)
	for at, b := range saved {
		st, subjects, err := decode(b)
		if err != nil {
			bad[at] = fmt.Errorf("decode the engine's state: %w", err)
			continue
		}
		known = append(known, subjects...)
		e.takeFindings(now, st)
		e.touch(at) // what is left out here is not to stay there
		e.shards[at].size = len(b)
		e.stored += len(b)
	}
	// As they were heard of, the one heard of last in the end: more than MaxEntities are not taken.
	slices.SortFunc(known, func(a, b savedSubject) int {
		return cmp.Or(a.Heard.Compare(b.Heard), cmp.Compare(a.Entity.ID, b.Entity.ID))
	})
	for _, s := range known[max(0, len(known)-e.settings.MaxEntities):] {
		e.take(now, s)
	}
	return bad
}

// decode reads one shard.
func decode(b []byte) (st state, known []savedSubject, err error) {
	if err := json.Unmarshal(b, &st); err != nil {
		return st, nil, err
	}
	if st.Version != stateVersion {
		return st, nil, fmt.Errorf("its version is %d, want %d", st.Version, stateVersion)
	}
	known = make([]savedSubject, len(st.Known))
	for i, b := range st.Known {
		if err := json.Unmarshal(b, &known[i]); err != nil {
			return st, nil, fmt.Errorf("known[%d]: %w", i, err)
		}
	}
	for id, l := range st.Lives {
		if err := l.validate(id); err != nil {
			return st, nil, fmt.Errorf("lives[%s]: %w", id, err)
		}
	}
	return st, known, nil
}

// takeFindings restores the findings of a shard, and the past of workloads.
func (e *Engine) takeFindings(now time.Time, st state) {
	for id, l := range st.Lives {
		if e.patterns[l.Pattern] == nil || !e.room(now, l.Finding.Severity) {
			continue
		}
		l.rewind(now)
		l.changed, l.Held = l.Stage != "", now // time to look again before anything lapses
		e.lives[id] = l
	}
	for _, p := range slices.Backward(st.Pasts) {
		if p == nil {
			continue
		}
		var m forecast.Memory
		for _, l := range p.Memory.Lives { // which passes over what cannot be
			m.Add(l)
		}
		e.remember(p.Key, m)
	}
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
	if saved.Heard.After(now) {
		return // the clock was set back in between: the samples are of another one, and new ones would look late
	}
	for name, o := range saved.Outlooks {
		if res, ok := resources[name]; ok {
			if !o.History.Valid() {
				o.History = timeline.History{}
			}
			restored := &outlook{resource: res, history: o.History, ended: o.Ended}
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

// unjudged says that a finding was taken up from before a restart and cannot be confirmed or withdrawn yet: it then stays as it is, as
// long as its entity is there and for a bounded time.
func (e *Engine) unjudged(now time.Time, l *life) bool {
	p, s := e.pattern(l.Pattern), e.subjects[l.Entity]
	if l.Stage != active || l.Adopted || s == nil || s.gone || s.restored.IsZero() {
		return false
	}
	since, waits := now.Sub(s.restored), false
	if p.Forecast == nil {
		waits = since < silentAfter && s.unread(p)
	} else if o := s.outlooks[p.Forecast.Resource]; o == nil || o.sampled.IsZero() {
		waits = since < silentAfter
	} else {
		waits = since < grace && o.last.Samples < forecast.Needed
	}
	if waits {
		l.Held = now // what is kept after the conditions ceased to hold is kept from when that can be known
	}
	return waits
}

// unread says that a reading which a pattern looks at was taken before the restart, and not since.
func (s *subject) unread(p *pattern.Pattern) bool {
	return slices.ContainsFunc(p.Signals, func(c *pattern.Clause) bool {
		return slices.ContainsFunc(c.Any, func(kind string) bool {
			r, ok := s.timeline.Latest(kind)
			return ok && !r.Time.After(s.restored)
		})
	})
}
