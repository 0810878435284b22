// Package source gets findings from where they are: a collector's findings endpoint, or, where there is none,
// the API server of a cluster.
package source

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

// Source is something that has findings.
type Source interface {
	// Report returns what is known now.
	Report(ctx context.Context, q Query) (finding.Report, error)
	// Watch calls see with a full report first, and then with every change, until ctx ends or see fails. It comes back by itself
	// when the connection is lost, and tells the loss as coverage. See is called by one goroutine at a time.
	Watch(ctx context.Context, q Query, see func(Change) error) error
	// String names the source for messages.
	String() string
}

// Change is what a watcher sees: everything there is, one finding that changed, the id of one that is no longer known, or how well is
// seen from now on.
type Change struct {
	Report    *finding.Report
	Finding   *finding.Finding
	Forgotten string
	Coverage  []finding.Coverage
}

// Apply brings a report up to date. What the report shares with others is left as it is.
func (c Change) Apply(r *finding.Report) {
	switch {
	case c.Report != nil:
		*r = *c.Report
		return
	case c.Coverage != nil:
		r.Coverage = c.Coverage
		return
	}
	id := c.Forgotten
	if c.Finding != nil {
		id = c.Finding.ID
	}
	r.Findings = slices.DeleteFunc(slices.Clone(r.Findings), func(known finding.Finding) bool { return known.ID == id })
	if f := c.Finding; f != nil && f.State == finding.Active {
		r.Findings = append(r.Findings, *f)
	}
	finding.Sort(r.Findings)
	r.Summary = finding.Summarize(r.Watched, r.Findings)
}

// Query chooses findings; empty fields choose all.
type Query struct {
	Namespace, Entity string
	// All asks for all namespaces where otherwise that of the kubeconfig's context would be meant.
	All bool
	// States are those of the findings; empty: active ones.
	States []finding.State
	// Exclude are names of patterns that are left out, Since leaves out what began before.
	Exclude []string
	Since   time.Time
	// Whole asks a watch for whole reports in place of changes, from a source that makes them anyway.
	Whole bool
	// Progress is told how far a look at a cluster is; nil: nobody is.
	Progress func(kube.Progress)
}

func (q Query) values() url.Values {
	v := url.Values{}
	if q.Namespace != "" {
		v.Set("namespace", q.Namespace)
	}
	if q.Entity != "" {
		v.Set("entity", q.Entity)
	}
	for _, s := range q.States {
		v.Add("state", string(s))
	}
	return v
}

// told says whether a finding is not left out.
func (q Query) told(f finding.Finding) bool {
	return !slices.Contains(q.Exclude, f.Pattern) && !f.FirstSeen.Before(q.Since)
}

// thin takes out of a report what is left out. What began before is not told, but not well either.
func (q Query) thin(r finding.Report) finding.Report {
	all := len(r.Findings)
	r.Findings = slices.DeleteFunc(r.Findings, func(f finding.Finding) bool { return slices.Contains(q.Exclude, f.Pattern) })
	if len(r.Findings) < all {
		r.Summary = finding.Summarize(r.Watched, r.Findings)
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f finding.Finding) bool { return !q.told(f) })
	return r
}
