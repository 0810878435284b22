package source

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

// apiServer looks at a cluster with the user's own credentials, no collector needed.
type apiServer struct {
	client   *kube.Client
	selector string
	now      func() time.Time

	mu sync.Mutex
	// watched is the latest report of the watch that runs; nil where none does.
	watched *finding.Report
}

func (a *apiServer) String() string { return a.client.String() }

func (a *apiServer) query(q Query) kube.Query {
	return kube.Query{Namespace: q.Namespace, All: q.All, Entity: q.Entity, Selector: a.selector, Exclude: q.Exclude, Since: q.Since, Progress: q.Progress}
}

// Report implements Source. While a watch runs, the report is that of the watch: nothing is listed anew.
func (a *apiServer) Report(ctx context.Context, q Query) (finding.Report, error) {
	if r := a.current(); r != nil {
		return *r, nil
	}
	return a.client.Check(ctx, a.query(q), a.now())
}

// current is the latest report of the watch that runs; nil where none does.
func (a *apiServer) current() *finding.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watched
}

// Watch implements Source.
func (a *apiServer) Watch(ctx context.Context, q Query, see func(Change) error) error {
	return a.watch(ctx, q, "", see)
}

// watch watches, and says with every report why it is not a collector that is asked; empty: there is none.
func (a *apiServer) watch(ctx context.Context, q Query, why string, see func(Change) error) error {
	var last *finding.Report
	defer a.keep(nil)
	return a.client.Watch(ctx, a.query(q), a.now, func(r finding.Report) error {
		r.Coverage = instead(r.Coverage, why)
		a.keep(&r)
		before := last
		last = &r
		if before == nil || q.Whole {
			return see(Change{Report: &r})
		}
		for _, c := range changes(*before, r) {
			if err := see(c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *apiServer) keep(r *finding.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watched = r
}

// changes is what is different in a later report: findings that are new or tell something else, those that are over, and how well is
// seen.
func changes(before, after finding.Report) []Change {
	var all []Change
	was, is := map[string]finding.Finding{}, map[string]bool{}
	for _, f := range before.Findings {
		was[f.ID] = f
	}
	for i := range after.Findings {
		f := &after.Findings[i]
		is[f.ID] = true
		old, known := was[f.ID]
		if !known || old.Severity != f.Severity || old.Title != f.Title || old.Explanation != f.Explanation {
			all = append(all, Change{Finding: f})
		}
		for _, id := range f.Effects {
			is[id] = true // it is told as an effect from now on
		}
	}
	for _, f := range before.Findings {
		if !is[f.ID] {
			f.State, f.LastSeen = finding.Resolved, after.GeneratedAt
			all = append(all, Change{Finding: &f})
		} else if !slices.ContainsFunc(after.Findings, func(g finding.Finding) bool { return g.ID == f.ID }) {
			all = append(all, Change{Forgotten: f.ID})
		}
	}
	if !slices.Equal(before.Coverage, after.Coverage) {
		all = append(all, Change{Coverage: after.Coverage})
	}
	return all
}
