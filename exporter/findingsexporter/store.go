package findingsexporter

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

const (
	// maxSources bounds the nodes whose status is kept.
	maxSources = 10_000
	// silentAfter is how long a node may send no status before its coverage is degraded; it sends one every 5 s.
	silentAfter = 30 * time.Second
	// maxLearning bounds the entities that a report names as having too few samples.
	maxLearning = 100
)

// store keeps findings and the status of their sources. It is safe for concurrent use.
type store struct {
	cfg *Config

	mu       sync.Mutex
	findings map[string]*entry
	sources  map[string]finding.Status
}

// entry is a finding and when it was last told.
type entry struct {
	finding finding.Finding
	heard   time.Time
}

func newStore(cfg *Config) *store {
	return &store{cfg: cfg, findings: map[string]*entry{}, sources: map[string]finding.Status{}}
}

// put keeps a finding. It returns how many others had to go to make room.
func (s *store) put(now time.Time, f finding.Finding) (evicted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.findings[f.ID]; old != nil && f.LastSeen.Before(old.finding.LastSeen) {
		return 0 // told again out of order, after a retry
	}
	s.findings[f.ID] = &entry{f, now}
	for len(s.findings) > s.cfg.MaxFindings {
		worst := ""
		for id, e := range s.findings {
			if w := s.findings[worst]; w == nil || expendable(e, w) {
				worst = id
			}
		}
		delete(s.findings, worst)
		evicted++
	}
	return evicted
}

// expendable says whether a should go before b.
func expendable(a, b *entry) bool {
	if ra, rb := a.finding.State == finding.Resolved, b.finding.State == finding.Resolved; ra != rb {
		return ra
	}
	return a.heard.Before(b.heard)
}

func (s *store) putStatus(st finding.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.sources[st.Node]; known || len(s.sources) < maxSources {
		s.sources[st.Node] = st
	}
}

// expire forgets what is over, and what nobody has told of for long. It returns how many of the latter there were.
func (s *store) expire(now time.Time) (stale int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, e := range s.findings {
		switch {
		case e.finding.State == finding.Resolved && now.Sub(e.heard) > s.cfg.Retention:
			delete(s.findings, id)
		case e.finding.State == finding.Active && now.Sub(e.heard) > s.cfg.StaleAfter:
			delete(s.findings, id)
			stale++
		}
	}
	for node, st := range s.sources {
		if now.Sub(st.Time) > s.cfg.StaleAfter {
			delete(s.sources, node)
		}
	}
	return stale
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.findings)
}

func (s *store) get(id string) (finding.Finding, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.findings[id]; e != nil {
		return e.finding, true
	}
	return finding.Finding{}, false
}

// report is everything that is known, with the findings that are asked for: the worst first, then the nearest, then the
// newest. Coverage and summary speak of all.
func (s *store) report(now time.Time, wanted func(finding.Finding) bool) finding.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := finding.Report{APIVersion: finding.APIVersion, GeneratedAt: now.UTC(), Source: finding.SourceCollector,
		Coverage: []finding.Coverage{}, Findings: []finding.Finding{}, Watched: map[string]int{}}
	all := make([]finding.Finding, 0, len(s.findings))
	for _, e := range s.findings {
		all = append(all, e.finding)
		if wanted(e.finding) {
			r.Findings = append(r.Findings, e.finding)
		}
	}
	finding.Sort(r.Findings)
	s.describe(now, &r)
	r.Summary = finding.Summarize(r.Watched, all)
	return r
}

// describe adds what the sources say of themselves.
func (s *store) describe(now time.Time, r *finding.Report) {
	byLayer := map[finding.Layer]finding.Coverage{}
	for _, node := range slices.Sorted(maps.Keys(s.sources)) {
		st := s.sources[node]
		for kind, n := range st.Watched {
			r.Watched[kind] += n
		}
		r.Learning = append(r.Learning, st.Learning...)
		r.LearningTotal += st.LearningTotal
		for _, c := range st.Coverage {
			if silent := now.Sub(st.Time); silent > silentAfter && c.State == finding.CoverageOK {
				c.State, c.Reason = finding.CoverageDegraded, fmt.Sprintf("%s has been silent since %s", cmp.Or(node, "the source"), st.Time.UTC().Format(time.RFC3339))
			} else if len(s.sources) > 1 && c.Reason != "" {
				c.Reason = node + ": " + c.Reason
			}
			if known, ok := byLayer[c.Layer]; !ok || coverageRank(c.State) < coverageRank(known.State) {
				byLayer[c.Layer] = c
			}
		}
	}
	for _, c := range byLayer {
		r.Coverage = append(r.Coverage, c)
	}
	slices.SortFunc(r.Coverage, func(a, b finding.Coverage) int { return strings.Compare(string(a.Layer), string(b.Layer)) })
	r.Learning = r.Learning[:min(len(r.Learning), maxLearning)]
}

// coverageRank orders states: what is degraded on one node is told before what is absent on another, and that before ok.
func coverageRank(s finding.CoverageState) int {
	switch s {
	case finding.CoverageDegraded:
		return 0
	case finding.CoverageAbsent:
		return 1
	}
	return 2
}
