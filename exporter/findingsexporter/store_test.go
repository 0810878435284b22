package findingsexporter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// told is a finding told at an instant of its life, in seconds.
func told(state finding.State, firstSeen, lastSeen int) finding.Finding {
	f := findingtest.Bare()
	f.State, f.FirstSeen, f.LastSeen = state, findingtest.Now.Add(time.Duration(firstSeen)*time.Second), findingtest.Now.Add(time.Duration(lastSeen)*time.Second)
	return f
}

// Queues that try again, and sources that were killed and took up an older state, tell findings out of order.
func TestTheLatestTellingCounts(t *testing.T) {
	for _, c := range []struct {
		name         string
		known, again finding.Finding
		taken        bool
	}{
		{"later", told(finding.Active, 0, 1), told(finding.Active, 0, 2), true},
		{"the same again", told(finding.Active, 0, 1), told(finding.Active, 0, 1), true},
		{"earlier", told(finding.Active, 0, 2), told(finding.Active, 0, 1), false},
		{"its end", told(finding.Active, 0, 1), told(finding.Resolved, 0, 1), true},
		{"its end, by a source with an older state", told(finding.Active, 0, 5), told(finding.Resolved, 0, 1), true},
		{"the end of an earlier time", told(finding.Active, 5, 6), told(finding.Resolved, 0, 1), false},
		{"active, late after its end", told(finding.Resolved, 0, 2), told(finding.Active, 0, 2), false},
		{"active, from before its end", told(finding.Resolved, 0, 2), told(finding.Active, 0, 1), false},
		{"active again", told(finding.Resolved, 0, 2), told(finding.Active, 3, 3), true},
		{"active after all, by a source with an older state", told(finding.Resolved, 0, 2), told(finding.Active, 0, 3), true},
		{"after a clock was set back", told(finding.Active, 3600, 7200), told(finding.Active, 3600, 1), true},
		{"earlier, by a clock that is ahead by less than clocks differ", told(finding.Active, 5, 9), told(finding.Active, 5, 6), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, nil)
			s.tell(c.known)
			w := s.watching("?state=active,resolved")
			w.next()
			s.tell(c.again)
			want := c.known
			if c.taken {
				want = c.again
				assert.Equal(t, c.again, w.next().finding(t))
			}
			assert.Equal(t, []finding.Finding{want}, s.report())
			s.tell(numbered(1))
			assert.Equal(t, numbered(1), w.next().finding(t), "what is not taken is not told to watchers")
		})
	}
}

func TestFindingsAreBoundedAndTheLeastUsefulGoFirst(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxFindings = 3 })
	over := numbered(9)
	over.State = finding.Resolved
	s.tell(numbered(1), numbered(2), over)
	refreshed := numbered(1)
	refreshed.LastSeen = refreshed.LastSeen.Add(time.Second)
	s.tell(refreshed)
	left := func() (ids []string) {
		for _, f := range s.report() {
			ids = append(ids, strings.TrimLeft(f.ID, "0"))
		}
		return ids
	}
	require.ElementsMatch(t, []string{"1", "2", "9"}, left())
	s.tell(numbered(3))
	assert.ElementsMatch(t, []string{"1", "2", "3"}, left(), "what is over goes first")
	s.tell(numbered(4))
	assert.ElementsMatch(t, []string{"1", "3", "4"}, left(), "then what was not heard of for longest")
	assert.EqualValues(t, 2, s.count("exporter_findings_evicted"))
	assert.EqualValues(t, 3, s.count("exporter_findings_stored"))
}

func TestTheSizeOfFindingsIsBounded(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxSizeMiB = 1 })
	for i := range 40 {
		f := numbered(i)
		f.Explanation = strings.Repeat("x", 60_000)
		s.tell(f)
		require.LessOrEqual(t, s.count("exporter_findings_stored_size"), int64(1<<20))
	}
	assert.EqualValues(t, 17, s.count("exporter_findings_stored"))
	assert.EqualValues(t, 23, s.count("exporter_findings_evicted"))
	// Smaller ones again: what was given up is given back.
	for i := range 40 {
		f := numbered(i)
		f.LastSeen = f.LastSeen.Add(time.Hour)
		s.tell(f)
	}
	assert.EqualValues(t, 40, s.count("exporter_findings_stored"))
	size := 0
	for i := range 40 {
		answer, body := s.get("/v1/findings/" + numbered(i).ID)
		require.Equal(t, 200, answer.StatusCode)
		size += len(body)
	}
	assert.EqualValues(t, size, s.count("exporter_findings_stored_size"))
}

func TestWhatIsOverOrStaleIsForgotten(t *testing.T) {
	s := serve(t, nil)
	over := numbered(1)
	over.State = finding.Resolved
	s.tell(over, numbered(2))
	at := func(d time.Duration) int {
		s.forget(t.Context(), findingtest.Now.Add(d))
		return len(s.report())
	}
	assert.Equal(t, 2, at(s.cfg.StaleAfter))
	assert.Equal(t, 1, at(s.cfg.StaleAfter+1), "an active one that nobody told of any more")
	assert.EqualValues(t, 1, s.count("exporter_findings_stale"))
	assert.Equal(t, 1, at(s.cfg.Retention))
	assert.Equal(t, 0, at(s.cfg.Retention+1))
	assert.EqualValues(t, 1, s.count("exporter_findings_stale"), "a resolved one is no loss")
}

// A source that took up an older state is still a source.
func TestTellingAgainKeepsAFindingAlive(t *testing.T) {
	s := serve(t, nil)
	s.tell(told(finding.Active, 0, 5))
	s.now = func() time.Time { return findingtest.Now.Add(s.cfg.StaleAfter) }
	s.tell(told(finding.Active, 0, 1))
	s.forget(t.Context(), findingtest.Now.Add(s.cfg.StaleAfter+time.Second))
	assert.Equal(t, []finding.Finding{told(finding.Active, 0, 5)}, s.report())
}

func TestRecordsOfOthersAreCountedAndUnreadableOnesAsWell(t *testing.T) {
	s := serve(t, nil)
	w := findinglog.New()
	w.Append(findingtest.Prediction())
	w.Append(findingtest.Diagnosis())
	w.AppendStatus(findingtest.Status())
	logs := w.Logs()
	logs.ResourceLogs().At(1).ScopeLogs().At(0).LogRecords().At(0).Attributes().PutStr("tapio.finding.severity", "bad")
	other := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	other.AppendEmpty().Body().SetStr("hello")
	other.AppendEmpty().SetEventName("k8s.event")
	require.NoError(t, s.consume(t.Context(), logs))
	require.NoError(t, s.consume(t.Context(), plog.NewLogs()))
	assert.Equal(t, []finding.Finding{findingtest.Prediction()}, s.report())
	assert.EqualValues(t, 2, s.count("exporter_findings_ignored"))
	assert.EqualValues(t, 1, s.count("exporter_findings_refused"))
}

func (s *served) whole() finding.Report {
	s.t.Helper()
	_, body := s.get("/v1/findings")
	findingtest.Valid(s.t, "report", body)
	var r finding.Report
	require.NoError(s.t, json.Unmarshal(body, &r))
	return r
}

func TestReportTellsWhatItsSourcesSay(t *testing.T) {
	s := serve(t, nil)
	empty := s.whole()
	assert.Equal(t, finding.Report{APIVersion: "tapio/v1", GeneratedAt: findingtest.Now, Source: "collector", Coverage: []finding.Coverage{},
		Findings: []finding.Finding{}}, empty, "nothing is known yet")

	s.tell(findingtest.Samples()...)
	s.tellStatus(findingtest.Status())
	one := s.whole()
	assert.Equal(t, findingtest.Status().Coverage, one.Coverage)
	assert.Equal(t, findingtest.Status().Watched, one.Watched)
	assert.Equal(t, findingtest.Status().Learning, one.Learning)
	assert.Equal(t, finding.Summary{Healthy: 3, Critical: 1}, one.Summary, "two findings about one entity are one entity")

	second := findingtest.Status()
	second.Node = "n2"
	second.Time = findingtest.Now.Add(-24 * time.Hour) // its clock is wrong, and that is no silence
	second.Coverage = []finding.Coverage{{Layer: finding.LayerCgroup, State: finding.CoverageDegraded, Reason: "v1 only"}, {Layer: finding.LayerEBPF, State: finding.CoverageOK}}
	s.tellStatus(second)
	two := s.whole()
	assert.Equal(t, []finding.Coverage{{Layer: finding.LayerCgroup, State: finding.CoverageDegraded, Reason: "n2: v1 only"},
		{Layer: finding.LayerEBPF, State: finding.CoverageAbsent, Reason: "n1: nothing received from the ebpf receiver"}}, two.Coverage)
	assert.Equal(t, map[string]int{"Container": 6, "Unit": 2}, two.Watched)
	assert.Equal(t, 2, two.LearningTotal)

	s.now = func() time.Time { return findingtest.Now.Add(silentAfter + time.Second) }
	assert.Equal(t, "n2 has been silent since 2026-03-04T10:00:00Z", s.whole().Coverage[1].Reason)
	s.forget(t.Context(), findingtest.Now.Add(s.cfg.StaleAfter+time.Second))
	assert.Empty(t, s.whole().Coverage, "sources that are gone are forgotten")
}

func TestSourcesAreBounded(t *testing.T) {
	s := serve(t, nil)
	for i := range maxSources + 1 {
		st := findingtest.Status()
		st.Node = fmt.Sprint("n", i)
		s.tellStatus(st)
	}
	assert.EqualValues(t, 1, s.count("exporter_findings_sources_refused"))
	r := s.whole()
	assert.Equal(t, 3*maxSources, r.Watched["Container"])
	assert.Len(t, r.Learning, maxLearning)
	assert.Equal(t, maxSources, r.LearningTotal)
}
