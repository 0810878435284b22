// Package causes puts causes before symptoms: of findings that have one cause, the cause is told, and the rest are its effects.
package causes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// maxNamed bounds the effects that are named in a text, maxEffects those whose ids are kept.
	maxNamed   = 3
	maxEffects = 1000
	// maxSteps bounds how far a cause may be from its effect: service → pod → claim.
	maxSteps = 3
)

// Ref names an object.
type Ref struct{ Kind, Namespace, Name string }

// Of is the object that a finding is about; of a container, its pod.
func Of(e finding.Entity) Ref {
	if e.Kind == string(entity.Container) {
		return Ref{string(entity.Pod), e.Namespace, e.Name}
	}
	return Ref{e.Kind, e.Namespace, e.Name}
}

// Links say what an object depends on: a service on its pods, a pod on its claims.
type Links map[Ref][]Ref

// Fold joins what replicas of one workload have alike, and what is only an effect of something else, into the finding that
// is the cause.
func Fold(fs []finding.Finding, links Links, patterns []*pattern.Pattern) []finding.Finding {
	known := map[string]*pattern.Pattern{}
	for _, p := range patterns {
		known[p.Name] = p
	}
	all := make([]*finding.Finding, len(fs))
	for i := range fs {
		f := fs[i]
		all[i] = &f
	}
	effects := Relate(all, links, known)
	of := map[*finding.Finding]bool{}
	for _, some := range effects {
		for _, f := range some {
			of[f] = true
		}
	}
	out := []finding.Finding{}
	for _, f := range all {
		if !of[f] {
			Explain(f, effects[f])
			out = append(out, *f)
		}
	}
	return out
}

// Relate finds the effects of each finding that is a cause, and puts all findings in the order in which they are told.
func Relate(all []*finding.Finding, links Links, known map[string]*pattern.Pattern) map[*finding.Finding][]*finding.Finding {
	slices.SortFunc(all, func(a, b *finding.Finding) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), a.FirstSeen.Compare(b.FirstSeen), cmp.Compare(a.Entity.Name, b.Entity.Name), cmp.Compare(a.ID, b.ID))
	})
	at := map[Ref][]*finding.Finding{}
	for _, f := range all {
		at[Of(f.Entity)] = append(at[Of(f.Entity)], f)
	}
	into := map[*finding.Finding]*finding.Finding{} // effect → cause
	for _, f := range all {
		if p := known[f.Pattern]; p != nil && len(p.ExplainedBy) > 0 {
			if cause := search(f, p.ExplainedBy, at, links); cause != nil {
				into[f] = cause
			}
		}
	}
	replicas(all, into)
	return roots(all, into)
}

// search finds the nearest finding that explains one.
func search(f *finding.Finding, by []entity.Kind, at map[Ref][]*finding.Finding, links Links) *finding.Finding {
	near, seen := []Ref{Of(f.Entity)}, map[Ref]bool{}
	for range maxSteps + 1 {
		var next []Ref
		for _, ref := range near {
			if seen[ref] {
				continue
			}
			seen[ref] = true
			for _, g := range at[ref] {
				// A finding of the same kind explains none: why would it be the other's cause?
				if g != f && g.Pattern != f.Pattern && slices.Contains(by, entity.Kind(g.Entity.Kind)) && g.Severity != finding.Info {
					return g
				}
			}
			next = append(next, links[ref]...)
		}
		near = next
	}
	return nil
}

// replicas joins what several pods of a workload have alike.
func replicas(all []*finding.Finding, into map[*finding.Finding]*finding.Finding) {
	type alike struct{ pattern, namespace, kind, owner, container string }
	first := map[alike]*finding.Finding{}
	for _, f := range all {
		if f.Entity.Owner == nil || into[f] != nil {
			continue
		}
		key := alike{f.Pattern, f.Entity.Namespace, f.Entity.Owner.Kind, f.Entity.Owner.Name, f.Entity.Container}
		if known := first[key]; known != nil {
			into[f] = known
		} else {
			first[key] = f
		}
	}
}

// roots are the findings that are effects by the one that all of it comes from.
func roots(all []*finding.Finding, into map[*finding.Finding]*finding.Finding) map[*finding.Finding][]*finding.Finding {
	effects := map[*finding.Finding][]*finding.Finding{}
	for _, f := range all {
		root := into[f]
		for steps := 0; root != nil && into[root] != nil && into[root] != f && steps < maxSteps; steps++ {
			root = into[root]
		}
		if root != nil && into[root] == nil { // what explains each other explains nothing
			effects[root] = append(effects[root], f)
		}
	}
	return effects
}

// Explain adds to a finding what it leads to.
func Explain(f *finding.Finding, effects []*finding.Finding) {
	var same, titles []string
	for _, e := range effects {
		if len(f.Effects) < maxEffects {
			f.Effects = append(f.Effects, e.ID)
		}
		if e.Severity.Rank() > f.Severity.Rank() {
			f.Severity = e.Severity
		}
		if e.Pattern == f.Pattern {
			same = append(same, e.Entity.Name)
		} else {
			titles = append(titles, e.Title)
		}
	}
	if n := len(same); n > 0 {
		f.Explanation += fmt.Sprintf(" The same holds for %d more of its pods: %s.", n, named(same))
	}
	if len(titles) > 0 {
		f.Explanation += fmt.Sprintf(" Because of this: %s.", named(titles))
	}
}

func named(all []string) string {
	all = slices.Compact(slices.Sorted(slices.Values(all)))
	text := strings.Join(all[:min(len(all), maxNamed)], "; ")
	if more := len(all) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
