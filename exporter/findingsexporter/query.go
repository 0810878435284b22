package findingsexporter

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/finding"
)

// maxValues bounds the values of one parameter.
const maxValues = 100

// query chooses findings. Values of one parameter are alternatives; different parameters must all hold; no value is any value.
type query struct {
	namespace, kind, severity, pattern, state, entity []string
}

// parameters are the names a query may have, and the values they take where these are fixed.
var parameters = map[string]struct {
	of      func(*query) *[]string
	allowed []string
}{
	"entity":    {of: func(q *query) *[]string { return &q.entity }},
	"kind":      {of: func(q *query) *[]string { return &q.kind }, allowed: []string{string(finding.Prediction), string(finding.Diagnosis)}},
	"namespace": {of: func(q *query) *[]string { return &q.namespace }},
	"pattern":   {of: func(q *query) *[]string { return &q.pattern }},
	"severity": {of: func(q *query) *[]string { return &q.severity },
		allowed: []string{string(finding.Critical), string(finding.Warning), string(finding.Info)}},
	"state": {of: func(q *query) *[]string { return &q.state }, allowed: []string{string(finding.Active), string(finding.Resolved)}},
}

// badParameter is what is wrong with a query.
type badParameter struct {
	name, problem string
	allowed       []string
}

func (e *badParameter) Error() string { return fmt.Sprintf("parameter %.40s %s", e.name, e.problem) }

// parseQuery reads the filters of a URL. Values may be repeated, or separated by commas.
func parseQuery(values url.Values) (*query, *badParameter) {
	q := &query{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p, ok := parameters[name]
		if !ok {
			names := slices.Sorted(maps.Keys(parameters))
			return nil, &badParameter{name, "is not known, want " + strings.Join(names, ", "), names}
		}
		for _, given := range values[name] {
			for v := range strings.SplitSeq(given, ",") {
				switch {
				case p.allowed != nil && !slices.Contains(p.allowed, v):
					return nil, &badParameter{name, fmt.Sprintf("is %.40q, want %s", v, strings.Join(p.allowed, ", ")), p.allowed}
				case v == "":
					return nil, &badParameter{name, "has an empty value; leave it out for all", nil}
				case len(*p.of(q)) == maxValues:
					return nil, &badParameter{name, fmt.Sprintf("has more than %d values", maxValues), nil}
				}
				*p.of(q) = append(*p.of(q), v)
			}
		}
	}
	return q, nil
}

// matches says whether a finding is asked for: it is about what is asked for, or the cause of what is wrong with that.
func (q *query) matches(f *finding.Finding) bool {
	return has(q.kind, string(f.Kind)) && has(q.severity, string(f.Severity)) && has(q.pattern, f.Pattern) && has(q.state, string(f.State)) &&
		(q.about(&f.Entity) || slices.ContainsFunc(f.Affected, func(e finding.Entity) bool { return q.about(&e) }))
}

// about says whether an entity is in a namespace that is asked for, or is one, and has a name that is.
func (q *query) about(e *finding.Entity) bool {
	namespace := e.Namespace
	if e.Kind == "Namespace" {
		namespace = e.Name
	}
	return has(q.namespace, namespace) && (q.entity == nil || slices.ContainsFunc(q.entity, e.Is))
}

// has says whether a value is among those wanted; none wanted means any.
func has(wanted []string, value string) bool { return wanted == nil || slices.Contains(wanted, value) }
