package correlation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// related are patterns of which the one explains the other: a service waits because its pod is broken.
func related(t testing.TB) correlation.Settings {
	s := settings(t)
	s.Patterns = nil
	for _, text := range []string{`
name: broken
summary: A pod is broken.
kind: diagnosis
entities: [Pod]
signals:
  - {id: bad, role: trigger, any: [broken], weight: 0.5, text: it is broken}
severity: [{is: warning}]
title: '{{.Entity.Display}} is broken'
explanation: It is broken.
`, `
name: waits
summary: A service waits.
kind: diagnosis
entities: [Service]
explained_by: [Pod]
signals:
  - {id: bad, role: trigger, any: [waits], weight: 0.5, text: it waits}
severity: [{is: critical}]
title: '{{.Entity.Display}} waits'
explanation: It waits.
`} {
		p, err := pattern.Parse([]byte(text))
		require.NoError(t, err)
		s.Patterns = append(s.Patterns, p)
	}
	return s
}

var (
	aPod     = entity.Entity{ID: "pod:u1", Kind: entity.Pod, Namespace: "shop", Name: "api-1", UID: "u1", Owner: &finding.Owner{Kind: "Deployment", Name: "api"}}
	aService = entity.Named(entity.Service, "shop", "api")
)

// newRelated is a world in which a service depends on its pod.
func newRelated(t testing.TB) *world {
	w := newWorld(t, related(t))
	w.engine.Relate(func() causes.Links {
		return causes.Links{causes.Ref{Kind: "Service", Namespace: "shop", Name: "api"}: {{Kind: "Pod", Namespace: "shop", Name: "api-1"}}}
	})
	return w
}

// after lets time pass and returns what people are told then.
func (w *world) after(d time.Duration) []finding.Finding {
	w.now = w.now.Add(d)
	return w.engine.Evaluate(w.now)
}

func over(kind string) signal.Signal { return signal.Signal{Kind: kind, Shape: signal.Over} }

// A cause is told, with what it leads to, and as bad as that; its effect is not. Nothing is told twice without news.
func TestCauseIsTold(t *testing.T) {
	w := newRelated(t)
	w.observe(aService, gauge("waits", 1))
	w.observe(aPod, gauge("broken", 1))
	told := w.after(0)
	require.Len(t, told, 1)
	assert.Equal(t, "broken", told[0].Pattern)
	assert.Equal(t, finding.Critical, told[0].Severity)
	assert.Equal(t, []string{correlation.ID("waits", aService.ID)}, told[0].Effects)
	assert.Equal(t, "It is broken. Because of this: api waits.", told[0].Explanation)
	assert.Equal(t, []finding.Entity{{Kind: "Service", Namespace: "shop", Name: "api"}}, told[0].Affected, "who asks about the service is to be told this")
	assert.Equal(t, 1, told[0].AffectedTotal)
	for range 3 {
		assert.Empty(t, w.after(time.Second))
	}
	var affected []string // in no order, and in another one each time
	for _, e := range w.engine.Affected() {
		affected = append(affected, e.Name)
	}
	assert.ElementsMatch(t, []string{"api", "api-1"}, affected)
	w.observe(aService, over("waits"))
	told = w.after(time.Second)
	require.Len(t, told, 1)
	assert.Empty(t, told[0].Affected)
	assert.Zero(t, told[0].AffectedTotal)
}

// What was told before its cause was known is over when it is, and says of what it came. When the cause ends before it does, it is told
// again.
func TestCauseComesLater(t *testing.T) {
	w := newRelated(t)
	w.observe(aService, gauge("waits", 1))
	told := w.after(0)
	require.Len(t, told, 1)
	w.now = w.now.Add(time.Second)
	w.observe(aPod, gauge("broken", 1))
	told = w.after(0)
	require.Len(t, told, 2)
	states := func() map[string]finding.State {
		all := map[string]finding.State{}
		for _, f := range told {
			all[f.Pattern] = f.State
			if f.Pattern == "waits" && f.State == finding.Resolved {
				assert.Equal(t, []string{correlation.ID("broken", aPod.ID)}, f.Causes)
			}
		}
		return all
	}
	assert.Equal(t, map[string]finding.State{"broken": finding.Active, "waits": finding.Resolved}, states())
	w.now = w.now.Add(time.Second)
	w.observe(aPod, over("broken"))
	told = append(w.after(time.Second), w.after(time.Second)...)
	assert.Equal(t, map[string]finding.State{"broken": finding.Resolved, "waits": finding.Active}, states())
}

// ofNode is a finding as a node tells it, of the pod.
func ofNode(pattern, id string, at time.Time) finding.Finding {
	v := 1.0
	return finding.Finding{ID: id, Kind: finding.Diagnosis, Pattern: pattern, Severity: finding.Warning, State: finding.Active, Title: "api-1 is broken on its node",
		Explanation: "It is.", Entity: aPod.Finding(), Confidence: 0.9, FirstSeen: at, LastSeen: at,
		Evidence: []finding.Evidence{{Time: at, Layer: finding.LayerCgroup, Signal: "cgroup.oom_kill", Text: "a kill", Value: &v}}}
}

// What a node and the cluster find by one pattern of one thing is one finding, with the evidence of both, in whatever order they come.
func TestAdoptedIsOne(t *testing.T) {
	for _, nodeFirst := range []bool{true, false} {
		w := newRelated(t)
		there := ofNode("broken", "there", start.Add(-time.Second))
		told := map[string]finding.Finding{}
		tell := func() {
			for _, f := range w.after(time.Second) {
				told[f.ID] = f
			}
		}
		if nodeFirst {
			w.engine.Adopt(w.now, there, aPod.ID)
			tell()
		}
		w.observe(aPod, gauge("broken", 1))
		tell()
		if !nodeFirst {
			w.engine.Adopt(w.now, there, aPod.ID)
			tell()
		}
		require.Len(t, told, 1)
		f := told[correlation.ID("broken", aPod.ID)]
		assert.Equal(t, "api is broken", f.Title)
		require.Len(t, f.Evidence, 2)
		assert.Equal(t, 0.9, f.Confidence)
		assert.Equal(t, start.Add(-time.Second), f.FirstSeen)
		for range 3 {
			assert.Empty(t, w.after(time.Second))
		}
	}
}

// A finding that only a node has is told as it says, ends when it says so, and after a while when it says nothing any more.
func TestAdoptedAlone(t *testing.T) {
	w := newRelated(t)
	w.engine.Adopt(w.now, ofNode("of-a-pattern-not-known-here", "there", w.now), aPod.ID)
	told := w.after(time.Second)
	require.Len(t, told, 1)
	id := told[0].ID
	assert.Equal(t, "api-1 is broken on its node", told[0].Title)
	assert.Equal(t, 1, w.engine.Status(w.now).Watched["Pod"])
	resolved := ofNode("of-a-pattern-not-known-here", "there", w.now)
	resolved.State = finding.Resolved
	w.engine.Adopt(w.now, resolved, aPod.ID)
	told = w.after(time.Second)
	require.Len(t, told, 1)
	assert.Equal(t, finding.Resolved, told[0].State)
	assert.Equal(t, id, told[0].ID)

	w = newRelated(t)
	w.engine.Adopt(w.now, ofNode("broken", "there", w.now), aPod.ID)
	require.Len(t, w.after(time.Second), 1)
	assert.NotEmpty(t, w.after(time.Minute), "told again, and active")
	for range 4 {
		told = append(told, w.after(time.Minute)...)
	}
	assert.Equal(t, finding.Resolved, told[len(told)-1].State)
	// One that was over before it was heard of is no news.
	resolved.ID = "another"
	w.engine.Adopt(w.now, resolved, "pod:u2")
	assert.Empty(t, w.after(time.Second))
}

// What a node tells may come out of order, after a retry: what is over does not begin anew by it. After its clock was set back, what it
// tells is news all the same.
func TestAdoptedOutOfOrder(t *testing.T) {
	w := newRelated(t)
	active := ofNode("broken", "there", w.now)
	resolved := active
	resolved.State = finding.Resolved
	for _, f := range []finding.Finding{active, resolved, active} {
		w.engine.Adopt(w.now, f, aPod.ID)
		w.after(time.Second)
	}
	f := w.find("broken", aPod)
	require.NotNil(t, f)
	assert.Equal(t, finding.Resolved, f.State)

	again := ofNode("broken", "there", w.now)
	w.engine.Adopt(w.now, again, aPod.ID)
	w.after(time.Second)
	require.Equal(t, finding.Active, w.find("broken", aPod).State)
	w.now = w.now.Add(-time.Hour)
	again.LastSeen, again.Severity = w.now, finding.Critical
	w.engine.Adopt(w.now, again, aPod.ID)
	w.after(time.Second)
	assert.Equal(t, finding.Critical, w.find("broken", aPod).Severity)
}

// One that is not heard of any more is over after two minutes.
func TestAdoptedFromWhatFellSilent(t *testing.T) {
	w := newRelated(t)
	w.engine.Adopt(w.now, ofNode("broken", "there", w.now), aPod.ID)
	for second := range 130 {
		told := w.after(time.Second)
		for _, f := range told {
			assert.Equal(t, second+1 >= 120, f.State == finding.Resolved, "after %d s", second+1)
		}
		if second+1 == 120 {
			assert.Len(t, told, 1)
		}
	}
}

// What a node finds by a pattern that is not known here, about one entity and about one that contains it, is told as the node tells it.
func TestAdoptedOfAPatternThatIsNotKnown(t *testing.T) {
	w := newWorld(t, related(t))
	for _, path := range []string{"/pod", "/pod/app"} {
		w.observe(w.cgroup(path), gauge("memory.used", 1))
		w.engine.Adopt(w.now, ofNode("not-known-here", "there"+path, w.now), w.cgroup(path).ID)
	}
	assert.Len(t, w.after(time.Second), 2)
}

// A node may tell of a pod before the cluster's view has it: what was told by then is over as soon as it is known whose it is.
func TestAdoptedOfWhatIsKnownLater(t *testing.T) {
	w := newRelated(t)
	w.engine.Adopt(w.now, ofNode("broken", "there", w.now), "elsewhere:there")
	require.Len(t, w.after(time.Second), 1)
	w.engine.Adopt(w.now, ofNode("broken", "there", w.now), aPod.ID)
	states := map[string]finding.State{}
	for _, f := range w.after(time.Second) {
		states[f.ID] = f.State
	}
	assert.Equal(t, map[string]finding.State{correlation.ID("broken", "elsewhere:there"): finding.Resolved, correlation.ID("broken", aPod.ID): finding.Active}, states)
}

// The findings of other engines are bounded as all are.
func TestAdoptedAreBounded(t *testing.T) {
	s := related(t)
	s.MaxFindings = 1
	w := newWorld(t, s)
	w.engine.Adopt(w.now, ofNode("broken", "a", w.now), "pod:u1")
	w.engine.Adopt(w.now, ofNode("broken", "b", w.now), "pod:u2")
	assert.Len(t, w.after(time.Second), 1)
	assert.EqualValues(t, 1, w.engine.Stats().FindingsRefused)

	worse := ofNode("broken", "c", w.now)
	worse.Severity = finding.Critical
	w.engine.Adopt(w.now, worse, "pod:u3")
	told := w.after(time.Second)
	require.Len(t, told, 2)
	assert.Equal(t, []any{finding.Critical, finding.Active, finding.Warning, finding.Resolved},
		[]any{told[0].Severity, told[0].State, told[1].Severity, told[1].State}, "a worse one takes the place")
}
