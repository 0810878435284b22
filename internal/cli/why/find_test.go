package why

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// namespaces is a source whose context means one namespace, of those that may be looked at.
type namespaces struct {
	context string
	may     map[string][]finding.Finding
	source  finding.Source
	asked   []source.Query
}

func (*namespaces) String() string { return "namespaces" }

func (*namespaces) Watch(context.Context, source.Query, func(source.Change) error) error { return nil }

func (s *namespaces) Report(_ context.Context, q source.Query) (finding.Report, error) {
	s.asked = append(s.asked, q)
	name := q.Namespace
	if name == "" && !q.All {
		name = s.context
	}
	fs, ok := s.may[name]
	if !ok {
		return finding.Report{}, errors.New("you may not look at " + name)
	}
	r := finding.Report{Source: s.source}
	for _, f := range fs {
		if q.Entity == "" || q.Entity == f.Entity.Name {
			r.Findings = append(r.Findings, f)
		}
	}
	return r, nil
}

const id, other, effect = "0000000000000001", "0000000000000002", "0000000000000003"

// An id is looked for where the user says, and may look.
func TestByID(t *testing.T) {
	here := finding.Finding{ID: id, Effects: []string{effect}}
	there := finding.Finding{ID: other}
	for name, c := range map[string]struct {
		o    Options
		may  map[string][]finding.Finding
		want string // an id, or the start of an error
	}{
		"in the namespace that is named":          {Options{Subject: id, Namespace: "shop"}, map[string][]finding.Finding{"shop": {here}}, id},
		"in that of the context":                  {Options{Subject: id}, map[string][]finding.Finding{"home": {here}}, id},
		"in another":                              {Options{Subject: other}, map[string][]finding.Finding{"home": {here}, "": {here, there}}, other},
		"in another that may not be looked at":    {Options{Subject: other}, map[string][]finding.Finding{"home": {here}}, "there is no finding"},
		"in another than that which is named":     {Options{Subject: other, Namespace: "shop"}, map[string][]finding.Finding{"shop": {here}, "": {there}}, "there is no finding"},
		"in all":                                  {Options{Subject: other, All: true}, map[string][]finding.Finding{"": {there}}, other},
		"where nobody may look":                   {Options{Subject: other, Namespace: "secret"}, nil, "you may not look at secret"},
		"of an effect, which its cause tells of":  {Options{Subject: effect}, map[string][]finding.Finding{"home": {there, here}}, id},
		"of what is told itself and as an effect": {Options{Subject: effect}, map[string][]finding.Finding{"home": {here, {ID: effect}}}, effect},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Source = &namespaces{context: "home", may: c.may, source: finding.SourceAPIServer}
			fs, _, err := find(t.Context(), &c.o)
			if err != nil {
				assert.ErrorContains(t, err, c.want)
				return
			}
			require.Len(t, fs, 1)
			assert.Equal(t, c.want, fs[0].ID)
		})
	}
}

// Of what is related, that is named which can be asked for, and not more than a page of it.
func TestRelated(t *testing.T) {
	f := finding.Finding{ID: id, Entity: finding.Entity{Name: "api"}, Effects: []string{effect, other}}
	for name, c := range map[string]struct {
		from  finding.Source
		looks int
		want  []string
	}{
		"an API server tells an effect as that alone": {finding.SourceAPIServer, 1, nil},
		"a collector remembers what came of it":       {finding.SourceCollector, 2, []string{"led to: tapio why " + other + " -n shop"}},
	} {
		s := &namespaces{may: map[string][]finding.Finding{"shop": {f, {ID: other}}}, source: c.from}
		o := &Options{Source: s, Subject: "api", Namespace: "shop", Again: "tapio why", From: "-n shop"}
		fs, known, err := find(t.Context(), o)
		require.NoError(t, err)
		require.Len(t, fs, 1)
		assert.Equal(t, c.want, o.others("led to", fs[0].Effects, known), name)
		assert.Len(t, s.asked, c.looks, name)
	}
	known, all := map[string]bool{}, []string{}
	for i := range 1000 {
		all = append(all, fmt.Sprintf("%016x", i))
		known[all[i]] = true
	}
	lines := (&Options{Again: "tapio why"}).others("led to", all, known)
	assert.Len(t, lines, maxRelated+1)
	assert.Equal(t, "led to: tapio why 0000000000000000", lines[0])
	assert.Equal(t, "led to 995 more", lines[maxRelated])
}
