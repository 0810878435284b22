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

// Links say what an object depends on: a service on its pods, a pod on its claims, and an address (At) on the object that has it.
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
		if p := known[f.Pattern]; p != nil && len(p.ExplainedBy) > 0 && !f.OwnCause {
			if cause := search(f, p.ExplainedBy, at, links); cause != nil && !leads(into, cause, f) {
				into[f] = cause
			}
		}
	}
	replicas(all, into)
	shared(all, into)
	return roots(all, into)
}

// search finds the nearest finding that explains one.
func search(f *finding.Finding, by []entity.Kind, at map[Ref][]*finding.Finding, links Links) *finding.Finding {
	near, seen := []Ref{Of(f.Entity)}, map[Ref]bool{}
	if f.Peer != nil { // whatever is wrong here: it is about there
		near[0] = addressOf(f.Peer)
	}
	for range maxSteps + 1 {
		var next []Ref
		for _, ref := range near {
			if seen[ref] {
				continue
			}
			seen[ref] = true
			for _, g := range at[ref] {
				// The same of a like thing explains none: why would it be the other's cause?
				like := g.Pattern == f.Pattern && g.Entity.Kind == f.Entity.Kind
				yet := f.Peer != nil && g.Kind == finding.Prediction // it still answers
				if g != f && !like && !yet && slices.Contains(by, entity.Kind(g.Entity.Kind)) && g.Severity != finding.Info {
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

// shared joins findings of one pattern about several things that have one cause, where that has no finding of its own: the same image
// that is not there, the same quota, the same full nodes.
func shared(all []*finding.Finding, into map[*finding.Finding]*finding.Finding) {
	type alike struct{ pattern, shared string }
	first := map[alike]*finding.Finding{}
	for _, f := range all {
		if f.Shared == "" || into[f] != nil {
			continue
		}
		key := alike{f.Pattern, f.Shared}
		if known := first[key]; known != nil {
			into[f] = known
		} else {
			first[key] = f
		}
	}
}

// leads says whether one finding is an effect of another, over however many steps.
func leads(into map[*finding.Finding]*finding.Finding, f, to *finding.Finding) bool {
	for f != nil && f != to {
		f = into[f]
	}
	return f != nil
}

// roots are the findings that are effects by the one that all of it comes from.
func roots(all []*finding.Finding, into map[*finding.Finding]*finding.Finding) map[*finding.Finding][]*finding.Finding {
	effects := map[*finding.Finding][]*finding.Finding{}
	for _, f := range all {
		root := into[f]
		for root != nil && into[root] != nil { // which has no circle
			root = into[root]
		}
		if root != nil {
			effects[root] = append(effects[root], f)
		}
	}
	return effects
}

// Explain adds to a finding what it leads to.
func Explain(f *finding.Finding, effects []*finding.Finding) {
	var same, others, titles []string
	for _, e := range effects {
		if len(f.Effects) < maxEffects {
			f.Effects = append(f.Effects, e.ID)
		}
		if e.Severity.Rank() > f.Severity.Rank() {
			f.Severity = e.Severity
		}
		switch {
		case e.Pattern == f.Pattern && sameOwner(f.Entity, e.Entity):
			same = append(same, e.Entity.Name)
		case e.Pattern == f.Pattern && e.Shared != "" && e.Shared == f.Shared:
			others = append(others, display(e.Entity))
		default:
			titles = append(titles, e.Title)
		}
	}
	affect(f, effects)
	if n := len(same); n > 0 {
		f.Explanation += fmt.Sprintf(" The same holds for %d more of its pods: %s.", n, named(same))
	}
	if others = distinct(others); len(others) > 0 {
		f.Explanation += fmt.Sprintf(" The same cause holds for %d more: %s.", len(others), named(others))
	}
	if len(titles) > 0 {
		f.Explanation += fmt.Sprintf(" Because of this: %s.", named(titles))
	}
}

func sameOwner(a, b finding.Entity) bool {
	return a.Owner != nil && b.Owner != nil && a.Namespace == b.Namespace && *a.Owner == *b.Owner
}

// display names an entity beside others, which may be in another namespace.
func display(e finding.Entity) string {
	if e.Namespace == "" {
		return e.Display()
	}
	return e.Namespace + "/" + e.Display()
}

func distinct(all []string) []string { return slices.Compact(slices.Sorted(slices.Values(all))) }

func named(all []string) string {
	all = distinct(all)
	text := strings.Join(all[:min(len(all), maxNamed)], "; ")
	if more := len(all) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
