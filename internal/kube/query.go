package kube

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// Query chooses what of the cluster is reported.
type Query struct {
	// Namespace is one namespace; empty: that of the context or, where that names none or All is set, all.
	Namespace string
	All       bool
	// Entity is a name, or kind/name as kubectl has it; empty: everything.
	Entity string
	// Selector is a label selector of pods, workloads and services; empty: everything.
	Selector string
	// Exclude are names of patterns that are not reported.
	Exclude []string
	// Since leaves out what began before; zero: nothing.
	Since time.Time
	// Progress is told how far a look at the cluster is; nil: nobody is. Calls come one at a time.
	Progress func(Progress)
}

// Progress is how far a look at a cluster is.
type Progress struct {
	// Objects are those that were read, Kinds those that were read to the end, of Of.
	Objects, Kinds, Of int
}

// ErrNotFound says that what was asked for is not in the cluster.
var ErrNotFound = errors.New("not found")

// asked is a query that was understood.
type asked struct {
	Query
	selector labels.Selector
	patterns []*pattern.Pattern
}

// understand reads a query. Its errors name the flag.
func (q Query) understand() (asked, error) {
	a := asked{Query: q}
	var err error
	if a.selector, err = labels.Parse(q.Selector); err != nil {
		return a, fmt.Errorf("--selector is %q: %w", q.Selector, err)
	}
	if a.patterns, err = pattern.Builtin(); err != nil {
		return a, err
	}
	known := pattern.Names(a.patterns)
	for _, name := range q.Exclude {
		if !slices.Contains(known, name) {
			return a, fmt.Errorf("--exclude is %q: there is no such pattern; `tapio patterns` lists them", name)
		}
	}
	return a, nil
}

// told says whether a finding is not left out.
func (a asked) told(f finding.Finding) bool {
	return !slices.Contains(a.Exclude, f.Pattern) && !f.FirstSeen.Before(a.Since)
}

// is says whether an entity is what was asked for.
func (a asked) is(view *objects.Cluster, e finding.Entity) bool {
	if !a.selector.Empty() && !a.selector.Matches(labels.Set(view.Labels(e))) {
		return false
	}
	if a.Entity == "" {
		return true
	}
	e.Owner = view.Owner(e)
	return e.Is(a.Entity)
}

// exists reports ErrNotFound where nothing in the view is what was asked for.
func (a asked) exists(view *objects.Cluster) error {
	if a.Entity == "" {
		return nil
	}
	found := false
	view.Entities(func(e finding.Entity) bool {
		found = a.is(view, e)
		return !found
	})
	if !found {
		return ErrNotFound
	}
	return nil
}
