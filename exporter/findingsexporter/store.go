package findingsexporter

import (
	"container/list"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

// maxSources bounds the nodes whose status is kept.
const maxSources = 10_000

// store keeps findings and the status of their sources. It is safe for concurrent use.
type store struct {
	cfg *Config

	mu       sync.Mutex
	findings map[string]*entry
	// active and resolved hold the entries of findings, the one not heard of for longest in front.
	active, resolved *list.List
	size             int // of all bodies, in bytes
	sources          map[string]source
}

// entry is a finding, its JSON, and when it was last told by the clock of this process.
type entry struct {
	finding finding.Finding
	body    []byte
	heard   time.Time
	place   *list.Element
}

// source is a node's status, and when it was told by the clock of this process: clocks of nodes differ.
type source struct {
	status finding.Status
	heard  time.Time
}

func newStore(cfg *Config) *store {
	return &store{cfg: cfg, findings: map[string]*entry{}, active: list.New(), resolved: list.New(), sources: map[string]source{}}
}

// put keeps a finding and its JSON. It returns what was known of it before, if anything, the findings that had to go to make
// room, and whether it was news: what is told again out of order, after a retry, is not.
func (s *store) put(now time.Time, f finding.Finding, body []byte) (before *finding.Finding, evicted []*finding.Finding, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.findings[f.ID]; old != nil {
		if !f.Supersedes(&old.finding, now) {
			if f.State == old.finding.State {
				old.heard = now
				s.list(old).MoveToBack(old.place)
			}
			return nil, nil, false
		}
		before = &old.finding
		s.remove(old)
	}
	e := &entry{finding: f, body: body, heard: now}
	e.place = s.list(e).PushBack(e)
	s.findings[f.ID] = e
	s.size += len(body)
	for len(s.findings) > s.cfg.MaxFindings || s.size > s.cfg.MaxSizeMiB<<20 {
		front := s.resolved.Front()
		if front == nil {
			front = s.active.Front()
		}
		gone := front.Value.(*entry)
		s.remove(gone)
		evicted = append(evicted, &gone.finding)
	}
	return before, evicted, true
}

func (s *store) list(e *entry) *list.List {
	if e.finding.State == finding.Resolved {
		return s.resolved
	}
	return s.active
}

func (s *store) remove(e *entry) {
	s.list(e).Remove(e.place)
	delete(s.findings, e.finding.ID)
	s.size -= len(e.body)
}

// putStatus keeps what a source says of itself. It returns false when there are too many sources.
func (s *store) putStatus(now time.Time, st finding.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.sources[st.Node]; !known && len(s.sources) >= maxSources {
		return false
	}
	s.sources[st.Node] = source{st, now}
	return true
}

// expire forgets what is over, and active findings that nobody has told of for long: those are stale.
func (s *store) expire(now time.Time) (over, stale []*finding.Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for node, src := range s.sources {
		if now.Sub(src.heard) > s.cfg.StaleAfter {
			delete(s.sources, node)
		}
	}
	return s.silent(s.resolved, now.Add(-s.cfg.Retention)), s.silent(s.active, now.Add(-s.cfg.StaleAfter))
}

// silent removes what was not told since a time.
func (s *store) silent(l *list.List, since time.Time) (gone []*finding.Finding) {
	for front := l.Front(); front != nil; front = l.Front() {
		e := front.Value.(*entry)
		if !e.heard.Before(since) {
			break
		}
		s.remove(e)
		gone = append(gone, &e.finding)
	}
	return gone
}

// get returns the JSON of a finding.
func (s *store) get(id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.findings[id]; e != nil {
		return e.body, true
	}
	return nil, false
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.findings)
}

func (s *store) bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}
