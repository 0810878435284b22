package correlation

import (
	"cmp"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
)

const (
	// maxCandidates bounds the pods that are named as the first to be evicted.
	maxCandidates = 3
	// podFresh is how old a reading of a pod may be.
	podFresh = 5 * time.Minute
)

// candidates are the pods of a node that the kubelet would evict first for want of memory, in its own order: those that use
// more than they requested before the others, then those that are further above, or less below, their request. (Kubernetes,
// pkg/kubelet/eviction/helpers.go, rankMemoryPressure. Priority, which stands between both, is in no metric.)
func (e *Engine) candidates(now time.Time, node string) []pattern.Candidate {
	var all []pattern.Candidate
	for _, s := range e.subjects {
		if s.entity.Kind != entity.Pod || s.entity.Node != node || s.gone {
			continue
		}
		used, ok := s.timeline.Latest(signal.PodWorkingSet)
		if !ok || now.Sub(used.Time) > podFresh {
			continue
		}
		c := pattern.Candidate{Name: s.entity.Finding().Display(), Used: used.Value}
		if share, ok := s.timeline.Latest(signal.PodRequestShare); ok && share.Value > 0 {
			c.Requested = used.Value / share.Value
		}
		all = append(all, c)
	}
	over := func(c pattern.Candidate) int {
		if c.Used > c.Requested {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(a, b pattern.Candidate) int {
		return cmp.Or(over(a)-over(b), cmp.Compare(b.Used-b.Requested, a.Used-a.Requested), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), maxCandidates)]
}
