package kube

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// judge says what is wrong with what was seen. States tell since when they hold, so that nothing has to be remembered from one time
// to the next. It returns ErrNotFound when what was asked for is not there.
func (c *Client) judge(s *sight, a asked, now time.Time) (finding.Report, error) {
	if err := a.exists(s.view); err != nil {
		return finding.Report{}, err
	}
	engine, err := correlation.New(correlation.Settings{Patterns: a.patterns, MaxEntities: 100_000, MaxFindings: 100_000,
		EntityTTL: 24 * time.Hour, Retention: time.Hour, Refresh: time.Hour})
	if err != nil {
		return finding.Report{}, err
	}
	s.view.Signals(now, func(b signal.Batch) { engine.Observe(now, b) })
	all := engine.Evaluate(now)
	var found []finding.Finding // of what was asked for; what began before is not told, but not well either
	ids, concerns := map[string]bool{}, s.view.Concerns()
	for i := range all {
		f := &all[i]
		f.FirstSeen, f.Entity.Cluster = since(*f), c.context
		if a.is(s.view, f.Entity) && (a.Entity != "" || concerns(f.Entity)) && !slices.Contains(a.Exclude, f.Pattern) {
			found, ids[f.ID] = append(found, *f), true
		}
	}
	r := finding.Report{APIVersion: finding.APIVersion, GeneratedAt: now.UTC(), Source: finding.SourceAPIServer, Coverage: c.coverage(s, engine.Status(now).Coverage)}
	counts := s.view.Counts(func(kind, namespace, name string) bool {
		return a.is(s.view, finding.Entity{Kind: kind, Namespace: namespace, Name: name})
	})
	r.Watched = map[string]int{"Pod": counts.Pods}
	r.Ready = map[string]finding.Ready{"Deployment": {Available: counts.Available, Total: counts.Deployments}}
	r.Summary = summary(counts.Pods, found, s.view)
	// The cause of what was asked for may lie elsewhere. What is left out takes what it explains with it.
	r.Findings = slices.DeleteFunc(causes.Fold(all, s.view.Links(), a.patterns), func(f finding.Finding) bool {
		return !a.told(f) || !ids[f.ID] && !slices.ContainsFunc(f.Effects, func(id string) bool { return ids[id] })
	})
	finding.Sort(r.Findings)
	return r, nil
}

// coverage is what could not be seen of the API, and the layers that an API server does not show.
func (c *Client) coverage(s *sight, layers []finding.Coverage) []finding.Coverage {
	lacks := map[string]bool{}
	for _, reason := range s.lacks {
		lacks[reason] = true
	}
	if n := s.view.Dropped(); n > 0 {
		lacks[fmt.Sprintf("%d objects are more than can be held", n)] = true
	}
	all := []finding.Coverage{}
	for _, reason := range slices.Sorted(maps.Keys(lacks)) {
		all = append(all, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageDegraded, Reason: reason})
	}
	if len(all) == 0 {
		all = append(all, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageOK})
	}
	if s.metrics.Layer != "" {
		all = append(all, s.metrics)
	}
	for _, l := range layers {
		if l.Layer != finding.LayerKubernetes {
			all = append(all, l)
		}
	}
	return all
}

// since is when what a finding tells began, by its evidence.
func since(f finding.Finding) time.Time {
	at := f.FirstSeen
	for _, e := range f.Evidence {
		if e.Time.Before(at) && !e.Time.IsZero() {
			at = e.Time
		}
	}
	return at
}

// summary counts pods by the worst that was found of each, before what has one cause is folded into one.
func summary(pods int, found []finding.Finding, view *objects.Cluster) finding.Summary {
	t, affected := finding.Tally{}, map[string]bool{}
	for _, f := range found {
		if f.Entity.Kind == "Container" {
			f.Entity.Kind, f.Entity.Container = "Pod", ""
		}
		if f.Entity.Kind == "Pod" && f.Severity != finding.Info && view.Alive(f.Entity.Namespace, f.Entity.Name) {
			affected[f.Entity.UID] = true
		}
		t.Add(&f)
	}
	s := t.Summary(nil)
	s.Healthy = max(pods-len(affected), 0)
	return s
}
