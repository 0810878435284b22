package findingsexporter

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/finding"
)

// maxValues bounds the values of a query.
const maxValues = 100

// query chooses findings. Values of one parameter are alternatives; different parameters must all hold.
type query struct {
	namespace, kind, severity, pattern, state, entity []string
}

// badParameter is a query that cannot be answered.
type badParameter struct{ name, problem string }

func (e *badParameter) Error() string { return fmt.Sprintf("parameter %s %s", e.name, e.problem) }

// parseQuery reads the filters of a URL. Values may be repeated, or separated by commas. Without state, active ones are
// meant.
func parseQuery(values url.Values) (*query, error) {
	q := &query{}
	fields := map[string]struct {
		to   *[]string
		want []string
	}{
		"namespace": {to: &q.namespace},
		"kind":      {to: &q.kind, want: []string{string(finding.Prediction), string(finding.Diagnosis)}},
		"severity":  {to: &q.severity, want: []string{string(finding.Critical), string(finding.Warning), string(finding.Info)}},
		"pattern":   {to: &q.pattern},
		"state":     {to: &q.state, want: []string{string(finding.Active), string(finding.Resolved)}},
		"entity":    {to: &q.entity},
	}
	for name, given := range values {
		f, ok := fields[name]
		if !ok {
			return nil, &badParameter{name, "is not known; there are entity, kind, namespace, pattern, severity and state"}
		}
		for _, list := range given {
			for _, v := range strings.Split(list, ",") {
				if f.want != nil && !slices.Contains(f.want, v) {
					return nil, &badParameter{name, fmt.Sprintf("is %.40q, want %s", v, strings.Join(f.want, ", "))}
				}
				if *f.to = append(*f.to, v); len(*f.to) > maxValues {
					return nil, &badParameter{name, fmt.Sprintf("has more than %d values", maxValues)}
				}
			}
		}
	}
	if q.state == nil {
		q.state = []string{string(finding.Active)}
	}
	return q, nil
}

// matches says whether a finding is asked for. An entity is named by its name, container, uid, owner, or owner's name.
func (q *query) matches(f finding.Finding) bool {
	has := func(wanted []string, values ...string) bool {
		return wanted == nil || slices.ContainsFunc(wanted, func(w string) bool { return w != "" && slices.Contains(values, w) })
	}
	names := []string{f.Entity.Name, f.Entity.Container, f.Entity.UID, f.Entity.Display()}
	if o := f.Entity.Owner; o != nil {
		names = append(names, o.Name, strings.ToLower(o.Kind)+"/"+o.Name)
	}
	return has(q.namespace, f.Entity.Namespace) && has(q.kind, string(f.Kind)) && has(q.severity, string(f.Severity)) &&
		has(q.pattern, f.Pattern) && has(q.state, string(f.State)) && has(q.entity, names...)
}
