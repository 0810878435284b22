package findingsexporter

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

const (
	// silentAfter is how long a node may send no status before its coverage is degraded; it sends one every 5 s.
	silentAfter = 30 * time.Second
	// maxLearning bounds the entities that a report names as having too few samples.
	maxLearning = 100
)

// doc is a report as it is served: parts of JSON in order, each finding's own among them, so that nothing is copied. Its hash
// leaves out the time of the report: that alone is no change.
type doc struct {
	parts [][]byte
	hash  uint64
}

// report tells everything that is known, with the findings that are asked for, as finding.Compare orders them. Coverage and
// summary speak of all.
func (s *store) report(now time.Time, wanted func(*finding.Finding) bool) (doc, error) {
	head, chosen := s.survey(now, wanted)
	slices.SortFunc(chosen, func(a, b *entry) int { return finding.Compare(&a.finding, &b.finding) })
	b, err := finding.Encode(head)
	if err != nil {
		return doc{}, err
	}
	// The head ends with an empty list of findings; nothing before its time comes from outside.
	b = bytes.TrimSuffix(b, []byte("]}"))
	before, after, _ := bytes.Cut(b, []byte(`"0001-01-01T00:00:00Z"`))
	parts := make([][]byte, 0, 4+2*len(chosen))
	parts = append(parts, before, fmt.Appendf(nil, "%q", now.UTC().Format(time.RFC3339Nano)), after)
	comma := []byte(",")
	for i, e := range chosen {
		if i > 0 {
			parts = append(parts, comma)
		}
		parts = append(parts, e.body)
	}
	parts = append(parts, []byte("]}"))
	return doc{parts, hash(parts[2:]...)}, nil
}

// survey makes a report without its findings and time, and chooses the findings.
func (s *store) survey(now time.Time, wanted func(*finding.Finding) bool) (finding.Report, []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := finding.Report{APIVersion: finding.APIVersion, Source: finding.SourceCollector,
		Coverage: []finding.Coverage{}, Findings: []finding.Finding{}, Watched: map[string]int{}}
	var chosen []*entry
	tally := finding.Tally{}
	for _, e := range s.findings {
		tally.Add(&e.finding)
		if wanted(&e.finding) {
			chosen = append(chosen, e)
		}
	}
	s.describe(now, &r)
	r.Summary = tally.Summary(r.Watched)
	return r, chosen
}

// describe adds what the sources say of themselves.
func (s *store) describe(now time.Time, r *finding.Report) {
	byLayer := map[finding.Layer]finding.Coverage{}
	for _, node := range slices.Sorted(maps.Keys(s.sources)) {
		st, heard := s.sources[node].status, s.sources[node].heard
		for kind, n := range st.Watched {
			r.Watched[kind] += n
		}
		for kind, n := range st.Ready {
			if r.Ready == nil {
				r.Ready = map[string]finding.Ready{}
			}
			known := r.Ready[kind]
			r.Ready[kind] = finding.Ready{Available: known.Available + n.Available, Total: known.Total + n.Total}
		}
		r.Learning = append(r.Learning, st.Learning[:min(len(st.Learning), maxLearning-len(r.Learning))]...)
		r.LearningTotal += st.LearningTotal
		for _, c := range st.Coverage {
			if now.Sub(heard) > silentAfter && c.State == finding.CoverageOK {
				c.State, c.Reason = finding.CoverageDegraded, fmt.Sprintf("%s has been silent since %s", cmp.Or(node, "the source"), heard.UTC().Format(time.RFC3339))
			} else if len(s.sources) > 1 && c.Reason != "" {
				c.Reason = node + ": " + c.Reason
			}
			if known, ok := byLayer[c.Layer]; !ok || coverageRank(c.State) < coverageRank(known.State) {
				byLayer[c.Layer] = c
			}
		}
	}
	for _, layer := range slices.Sorted(maps.Keys(byLayer)) {
		r.Coverage = append(r.Coverage, byLayer[layer])
	}
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
