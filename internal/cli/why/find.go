package why

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// idRE is the form of a finding's id.
var idRE = regexp.MustCompile(`^[0-9a-f]{16}$`)

// find returns the findings that are meant, the most urgent first, and which ids can be asked for. None is an error: there is no story to
// tell.
func find(ctx context.Context, o *Options) (fs []finding.Finding, known map[string]bool, err error) {
	all := source.Query{Namespace: o.Namespace, All: o.All, States: []finding.State{finding.Active, finding.Resolved}}
	if idRE.MatchString(o.Subject) {
		r, f, err := byID(ctx, o, all)
		if err != nil {
			return nil, nil, err
		}
		if f != nil {
			return []finding.Finding{*f}, ids(r), nil
		}
	}
	of := all
	of.Entity = o.Subject
	r, err := o.Source.Report(ctx, of)
	if err != nil {
		return nil, nil, err
	}
	if len(r.Findings) > 0 {
		fs, known = r.Findings, ids(r)
		// What an API server shows is told as an effect alone; a collector remembers what came of a prediction.
		if r.Source == finding.SourceCollector && slices.ContainsFunc(fs, func(f finding.Finding) bool { return len(f.Causes)+len(f.Effects) > 0 }) {
			if r, err := o.Source.Report(ctx, all); err == nil { // without, the story is told all the same
				known = ids(r)
			}
		}
		return fs, known, nil
	}
	for _, l := range r.Learning {
		if l.Entity.Is(o.Subject) {
			return nil, nil, fmt.Errorf("nothing is known to be wrong with %s; no prediction of its %s yet: %d of %d samples", cli.Clean(o.Subject), l.Resource, l.Samples, l.Needed)
		}
	}
	return nil, nil, fmt.Errorf("there is no finding about %q, and none with that id; `tapio check` shows what there is", cli.Clean(o.Subject))
}

// byID looks for the finding of an id in the namespace that is meant and then, where none was named, in all. It returns the report that it
// is in; no finding where it is in none.
func byID(ctx context.Context, o *Options, q source.Query) (finding.Report, *finding.Finding, error) {
	r, err := o.Source.Report(ctx, q)
	if err != nil {
		return r, nil, err
	}
	f := pick(r, o.Subject)
	if f == nil && q.Namespace == "" && !q.All {
		q.All = true
		if everywhere, err := o.Source.Report(ctx, q); err == nil { // who may not look everywhere has looked where they may
			r, f = everywhere, pick(everywhere, o.Subject)
		}
	}
	return r, f, nil
}

// pick is the finding that has an id or, where that one is told as an effect, the one that tells it.
func pick(r finding.Report, id string) *finding.Finding {
	i := slices.IndexFunc(r.Findings, func(f finding.Finding) bool { return f.ID == id })
	if i < 0 {
		i = slices.IndexFunc(r.Findings, func(f finding.Finding) bool { return slices.Contains(f.Effects, id) })
	}
	if i < 0 {
		return nil
	}
	return &r.Findings[i]
}

func ids(r finding.Report) map[string]bool {
	all := map[string]bool{}
	for _, f := range r.Findings {
		all[f.ID] = true
	}
	return all
}
