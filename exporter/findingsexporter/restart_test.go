package findingsexporter

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

func engine(t *testing.T) *correlation.Engine {
	t.Helper()
	all, err := pattern.Builtin()
	require.NoError(t, err)
	e, err := correlation.New(correlation.Settings{Patterns: all, MaxEntities: 10, MaxFindings: 10, EntityTTL: time.Hour, Retention: time.Hour,
		Refresh: 30 * time.Second})
	require.NoError(t, err)
	return e
}

// report returns all findings that are served, active and resolved.
func (s *served) report() []finding.Finding {
	s.t.Helper()
	_, body := s.get("/v1/findings?state=active,resolved")
	findingtest.Valid(s.t, "report", body)
	var r finding.Report
	require.NoError(s.t, json.Unmarshal(body, &r))
	return r.Findings
}

// kill -9 ends exporter and engine at once. The engine stores its findings before it tells them, and tells them all again when it
// is back: the new exporter, which knows nothing, must serve the same.
func TestFindingsThatWereServedAreServedAfterKill9(t *testing.T) {
	killed := func(name string) signal.Batch {
		ent := entity.Entity{ID: entity.ID("unit:n1:" + name), Kind: entity.Unit, Name: name, Node: "n1"}
		return signal.Batch{Entity: ent, Signals: []signal.Signal{{Time: findingtest.Now, Kind: signal.OOMKill, Layer: finding.LayerCgroup,
			Entity: ent.ID, Value: 1, Unit: "{event}"}}}
	}
	before, exporter := engine(t), serve(t, nil)
	now := findingtest.Now
	before.Observe(now, killed("over.service"))
	exporter.tell(before.Evaluate(now)...)
	now = now.Add(time.Hour / 2)
	again := killed("active.service")
	again.Signals[0].Time = now
	before.Observe(now, again)
	exporter.tell(before.Evaluate(now)...)
	state, err := before.Save(before.Unsaved()...)
	require.NoError(t, err)
	was := exporter.report()
	require.Len(t, was, 2)
	require.Equal(t, []finding.State{finding.Active, finding.Resolved}, []finding.State{was[0].State, was[1].State})

	now = now.Add(7 * time.Second) // the restart
	after, fresh := engine(t), serve(t, nil)
	require.Empty(t, after.Restore(now, state))
	require.Empty(t, fresh.report())
	fresh.tell(after.Evaluate(now)...)
	is := fresh.report()
	require.Len(t, is, 2)
	for i := range was {
		assert.Equal(t, was[i].ID, is[i].ID)
		assert.Equal(t, was[i].State, is[i].State)
		assert.Equal(t, was[i].FirstSeen, is[i].FirstSeen)
		assert.Equal(t, was[i].Title, is[i].Title)
		assert.Equal(t, was[i].Evidence, is[i].Evidence)
	}

	// An exporter that lived on, in another process, sees the same findings again, and no others.
	exporter.tell(after.Evaluate(now.Add(time.Minute))...)
	exporter.tell(is...)
	lived := exporter.report()
	ids := func(fs []finding.Finding) (ids []string) {
		for _, f := range fs {
			ids = append(ids, f.ID+" "+f.FirstSeen.String()+" "+string(f.State))
		}
		slices.Sort(ids)
		return ids
	}
	assert.Equal(t, ids(was), ids(lived))
}

// A watching client of the collector before comes back to the one after: its place means nothing there, so it gets a report.
func TestWatchersComeBackAfterARestart(t *testing.T) {
	before := serve(t, nil)
	before.tell(numbered(1), numbered(2))
	w := before.watching("")
	w.next()
	after := serve(t, nil)
	after.changes.epoch = before.changes.epoch + "x"
	after.tell(numbered(1), numbered(2))
	assert.Len(t, after.watching("", "Last-Event-ID", w.lastID).next().ids(t), 2)
}
