package source

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

// scripted is a cluster that says what it is told to.
type scripted struct {
	report  finding.Report
	err     error
	changes []Change
	// after is closed when all but the first change may come.
	after chan struct{}
}

func (s *scripted) String() string { return "scripted" }

func (s *scripted) Report(_ context.Context, q Query) (finding.Report, error) {
	if q.Progress != nil {
		q.Progress(kube.Progress{Objects: 2, Kinds: 1, Of: 12})
	}
	return s.report, s.err
}

func (s *scripted) Watch(ctx context.Context, _ Query, see func(Change) error) error {
	if s.err != nil {
		return s.err
	}
	for i, c := range s.changes {
		if i > 0 {
			<-s.after
		}
		if err := see(c); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func found(id string, effects ...string) finding.Finding {
	return finding.Finding{ID: id, State: finding.Active, Severity: finding.Warning, Title: id, Effects: effects,
		Entity: finding.Entity{Kind: "Service", Namespace: "shop", Name: "api"}}
}

func report(fs ...finding.Finding) finding.Report {
	return finding.Report{Source: finding.SourceAPIServer, GeneratedAt: time.Unix(1000, 0).UTC(), Watched: map[string]int{"Pod": 2}, Summary: finding.Summary{Healthy: 1, Warning: 1},
		Ready:    map[string]finding.Ready{"Deployment": {Available: 1, Total: 2}},
		Coverage: []finding.Coverage{{Layer: finding.LayerKubernetes, State: finding.CoverageOK}}, Findings: fs}
}

// Several clusters are one report: everything of each, with its name, and no id twice.
func TestSeveral(t *testing.T) {
	s := several{{"east", &scripted{report: report(found("a", "b"))}}, {"west", &scripted{report: report(found("a"))}}}
	objects := 0
	r, err := s.Report(t.Context(), Query{Progress: func(p kube.Progress) { objects = max(objects, p.Objects) }})
	require.NoError(t, err)
	assert.Equal(t, 4, objects)
	require.Len(t, r.Findings, 2)
	assert.NotEqual(t, r.Findings[0].ID, r.Findings[1].ID)
	of := map[string]finding.Finding{}
	for _, f := range r.Findings {
		of[f.Entity.Cluster] = f
	}
	assert.Equal(t, []string{named{"east", nil}.id("b")}, of["east"].Effects)
	assert.Equal(t, finding.Summary{Healthy: 2, Warning: 2}, r.Summary)
	assert.Equal(t, map[string]int{"Pod": 4}, r.Watched)
	assert.Equal(t, map[string]finding.Ready{"Deployment": {Available: 2, Total: 4}}, r.Ready)
	assert.Equal(t, "west", r.Coverage[1].Cluster)
	assert.Equal(t, "a", report(found("a")).Findings[0].ID, "what the clusters said is not changed")
}

// One cluster that cannot be looked at is named, and the others are told; none at all is an error.
func TestSeveralWithoutOne(t *testing.T) {
	away := named{"away", &scripted{err: errors.New("cannot reach cluster away")}}
	r, err := several{{"east", &scripted{report: report(found("a"))}}, away}.Report(t.Context(), Query{})
	require.NoError(t, err)
	assert.Len(t, r.Findings, 1)
	assert.Contains(t, r.Coverage, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageAbsent, Reason: "cannot reach cluster away", Cluster: "away"})
	_, err = several{away, away}.Report(t.Context(), Query{})
	assert.EqualError(t, err, "cannot reach cluster away; cannot reach cluster away")
	// What is in one of them need not be in the others.
	lacking := named{"lacking", &scripted{err: fmt.Errorf("%w: no api", kube.ErrNotFound)}}
	r, err = several{{"east", &scripted{report: report()}}, lacking}.Report(t.Context(), Query{})
	require.NoError(t, err)
	assert.Len(t, r.Coverage, 1)
	_, err = several{lacking}.Report(t.Context(), Query{})
	assert.ErrorIs(t, err, kube.ErrNotFound)
}

// Watching several clusters begins with all of them, and goes on with the changes of each.
func TestWatchSeveral(t *testing.T) {
	first, over, later := report(found("a")), found("a"), found("c")
	over.State = finding.Resolved
	begun := make(chan struct{})
	s := several{{"east", &scripted{after: begun, changes: []Change{{Report: &first}, {Finding: &over}, {Forgotten: "x"}}}},
		{"west", &scripted{after: begun, changes: []Change{{Report: &first}, {Finding: &later}}}}, {"away", &scripted{err: errors.New("away")}}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var told []string
	require.NoError(t, s.Watch(ctx, Query{}, func(c Change) error {
		switch {
		case c.Report != nil:
			assert.Len(t, c.Report.Findings, 2)
			assert.Contains(t, c.Report.Coverage, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageAbsent, Reason: "away", Cluster: "away"})
			close(begun)
		case c.Finding != nil:
			told = append(told, c.Finding.Entity.Cluster+" "+string(c.Finding.State)+" "+c.Finding.Title)
		default:
			told = append(told, "forgotten "+c.Forgotten)
		}
		if len(told) == 3 {
			cancel()
		}
		return nil
	}))
	assert.ElementsMatch(t, []string{"east resolved a", "forgotten " + named{"east", nil}.id("x"), "west active c"}, told)
	// An end that the watcher asks for ends it all.
	begun = make(chan struct{})
	enough := errors.New("enough")
	err := several{{"east", &scripted{after: begun, changes: []Change{{Report: &first}}}}}.Watch(t.Context(), Query{}, func(Change) error { return enough })
	assert.ErrorIs(t, err, enough)
}

// What is different in a later report.
func TestChanges(t *testing.T) {
	worse, same := found("worse"), found("same")
	before := report(found("over"), found("worse"), same, found("folded"))
	worse.Severity = finding.Critical
	after := report(worse, same, found("new", "folded"))
	var told []string
	for _, c := range changes(before, after) {
		if c.Finding != nil {
			told = append(told, string(c.Finding.State)+" "+c.Finding.ID)
		} else {
			told = append(told, "forgotten "+c.Forgotten)
		}
	}
	assert.Equal(t, []string{"active worse", "active new", "resolved over", "forgotten folded"}, told)
	assert.Empty(t, changes(after, after))
}
