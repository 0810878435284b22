package correlation

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// silentAfter is how long a layer may say nothing before its coverage is degraded.
	silentAfter = time.Minute
	// maxLearning bounds the entities that are named as having too few samples.
	maxLearning = 20
)

// layers are those that coverage speaks of, and what brings each.
var layers = []struct {
	layer finding.Layer
	from  string
}{
	{finding.LayerCgroup, "the cgroup receiver"},
	{finding.LayerHost, "the hostmetrics receiver"},
	{finding.LayerEBPF, "the ebpf receiver"},
	{finding.LayerJournald, "the journald receiver"},
	{finding.LayerSystemd, "the systemd receiver"},
	{finding.LayerRuntime, "the container runtime receiver"},
	{finding.LayerKubernetes, "the Kubernetes receivers"},
}

// Status says what is watched, how well, and for what it is too early to say anything.
func (e *Engine) Status(now time.Time) finding.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := finding.Status{Time: now, Watched: map[string]int{}}
	for _, l := range layers {
		c := finding.Coverage{Layer: l.layer, State: finding.CoverageOK}
		switch at, seen := e.layers[l.layer]; {
		case !seen:
			c.State, c.Reason = finding.CoverageAbsent, "nothing received from "+l.from
		case now.Sub(at) > silentAfter:
			c.State, c.Reason = finding.CoverageDegraded, fmt.Sprintf("nothing received from %s since %s", l.from, at.UTC().Format(time.TimeOnly))
		}
		st.Coverage = append(st.Coverage, c)
	}
	told := map[entity.ID]bool{}
	for _, l := range e.lives {
		told[l.Entity] = told[l.Entity] || l.Stage == active
	}
	for id, s := range e.subjects {
		// What is gone, but was killed a moment ago, counts: it is none of the healthy ones.
		if (s.gone || len(s.outlooks) == 0) && !told[id] {
			continue
		}
		st.Watched[string(s.entity.Kind)]++
		for _, o := range s.outlooks {
			if o.last.Samples < forecast.Needed {
				st.Learning = append(st.Learning, finding.Learning{Entity: s.entity.Finding(), Resource: o.resource.name,
					Samples: o.last.Samples, Needed: forecast.Needed})
			}
		}
	}
	st.LearningTotal = len(st.Learning)
	slices.SortFunc(st.Learning, func(a, b finding.Learning) int {
		return cmp.Or(cmp.Compare(a.Entity.Name, b.Entity.Name), cmp.Compare(a.Entity.Container, b.Entity.Container), cmp.Compare(a.Resource, b.Resource))
	})
	st.Learning = st.Learning[:min(len(st.Learning), maxLearning)]
	return st
}
