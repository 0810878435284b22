package source

import (
	"context"
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
	a.mu.Lock()
	watched := a.watched
	a.mu.Unlock()
	if watched != nil {
		return *watched, nil
	}
	return a.client.Check(ctx, a.query(q), a.now())
}

// Finding implements Source.
func (a *apiServer) Finding(ctx context.Context, id string) (finding.Finding, bool, error) {
	r, err := a.Report(ctx, Query{All: true})
	return pick(r, id, err)
}

// pick is a finding of a report.
func pick(r finding.Report, id string, err error) (finding.Finding, bool, error) {
	if err != nil {
		return finding.Finding{}, false, err
	}
	for _, f := range r.Findings {
		if f.ID == id {
			return f, true, nil
		}
	}
	return finding.Finding{}, false, nil
}

// Watch implements Source.
func (a *apiServer) Watch(ctx context.Context, q Query, see func(Change) error) error {
	var last *finding.Report
	defer a.keep(nil)
	return a.client.Watch(ctx, a.query(q), a.now, func(r finding.Report) error {
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

// changes is what is different in a later report: findings that are new or tell something else, and those that are over.
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
		} else if !has(after, f.ID) {
			all = append(all, Change{Forgotten: f.ID})
		}
	}
	return all
}

func has(r finding.Report, id string) bool {
	_, found, _ := pick(r, id, nil)
	return found
}
