package findingsexporter

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// numbered is an active finding of its own id; the number is also the order in which it was told.
func numbered(n int) finding.Finding {
	f := findingtest.Bare()
	f.ID, f.LastSeen = fmt.Sprintf("%016x", n), findingtest.Now.Add(time.Duration(n)*time.Millisecond)
	return f
}

func (e event) finding(t testing.TB) finding.Finding {
	t.Helper()
	require.Equal(t, "finding", e.name)
	findingtest.Valid(t, "finding", []byte(e.data))
	var f finding.Finding
	require.NoError(t, json.Unmarshal([]byte(e.data), &f))
	return f
}

// ids returns those of a report.
func (e event) ids(t testing.TB) []string {
	t.Helper()
	require.Equal(t, "report", e.name)
	findingtest.Valid(t, "report", []byte(e.data))
	var r finding.Report
	require.NoError(t, json.Unmarshal([]byte(e.data), &r))
	ids := []string{}
	for _, f := range r.Findings {
		ids = append(ids, f.ID)
	}
	return ids
}

// forgottenID returns the id of what is no longer kept.
func (e event) forgottenID(t testing.TB) string {
	t.Helper()
	require.Equal(t, "forgotten", e.name)
	findingtest.Valid(t, "forgotten", []byte(e.data))
	var gone struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(e.data), &gone))
	return gone.ID
}

func TestWatchTellsTheReportAndThenEveryChange(t *testing.T) {
	s := serve(t, nil)
	s.tell(findingtest.Samples()...)
	w := s.watching("")
	assert.Equal(t, "text/event-stream", w.answer.Header.Get("Content-Type"))
	assert.Equal(t, "no-store", w.answer.Header.Get("Cache-Control"))
	assert.Equal(t, []string{findingtest.Diagnosis().ID, findingtest.Prediction().ID, findingtest.Bare().ID}, w.next().ids(t), "active ones")

	f := findingtest.Prediction()
	f.LastSeen, f.Confidence = f.LastSeen.Add(time.Second), 0.95
	s.tell(f)
	assert.Equal(t, f, w.next().finding(t))
	f.State = finding.Resolved
	s.tell(f)
	assert.Equal(t, finding.Resolved, w.next().finding(t).State, "the end is told as well")
}

func TestWatchGoesOnWhereTheClientWas(t *testing.T) {
	s := serve(t, nil)
	s.tell(numbered(1))
	w := s.watching("")
	require.Len(t, w.next().ids(t), 1)
	s.tell(numbered(2), numbered(3), numbered(4))
	require.Equal(t, numbered(2), w.next().finding(t))
	require.NoError(t, w.answer.Body.Close())

	again := s.watching("", "Last-Event-ID", w.lastID)
	assert.Equal(t, numbered(3), again.next().finding(t))
	assert.Equal(t, numbered(4), again.next().finding(t))

	now := s.watching("", "Last-Event-ID", again.lastID) // nothing was missed: the answer comes all the same, and what happens next
	s.tell(numbered(5))
	assert.Equal(t, numbered(5), now.next().finding(t))
}

func TestWatchStartsAnewWhenTheClientsPlaceIsUnknown(t *testing.T) {
	s := serve(t, nil)
	for i := range replay + 10 {
		s.tell(numbered(i))
	}
	for name, id := range map[string]string{
		"too old":            s.changes.id(9),
		"of the future":      s.changes.id(replay + 11),
		"of another process": "zzz-12",
		"no number":          s.changes.epoch + "-x",
		"negative":           s.changes.epoch + "--1",
		"too large":          s.changes.epoch + "-99999999999999999999999999",
		"largest":            s.changes.epoch + "-18446744073709551615",
		"empty":              "",
		"garbage":            "\x1b[31m-\x1b",
		"long":               strings.Repeat("9", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Last-Event-ID": {id}}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/findings/watch", nil)
			require.NoError(t, err)
			if name == "garbage" { // a client refuses to send it: straight to the handler
				ctx, cancel := context.WithCancel(t.Context())
				out := newRecorder(func(text string) bool { return strings.Contains(text, "event: report") }, cancel)
				r.Header = header
				s.handler().ServeHTTP(out, r.WithContext(ctx))
				assert.Contains(t, out.text.String(), "event: report")
				return
			}
			assert.Len(t, s.watching("", "Last-Event-ID", id).next().ids(t), replay+10)
		})
	}
	assert.Equal(t, numbered(10), s.watching("", "Last-Event-ID", s.changes.id(10)).next().finding(t), "the oldest place that is known")
}

// What is kept for clients that come back is bounded in size as well: findings of a node that went away name hundreds of pods.
func TestChangesAreBoundedInSize(t *testing.T) {
	s := serve(t, nil)
	big := numbered(0)
	big.Explanation = strings.Repeat("x", 100_000)
	for i := range 200 {
		big.LastSeen = findingtest.Now.Add(time.Duration(i))
		s.tell(big)
	}
	kept := 0
	for _, c := range s.changes.ring {
		if c != nil {
			kept += len(c.data)
		}
	}
	assert.LessOrEqual(t, kept, replayBytes)
	assert.Greater(t, kept, replayBytes-len(big.Explanation)*2)
	assert.Equal(t, kept, s.changes.size)
	assert.Len(t, s.watching("", "Last-Event-ID", s.changes.id(100)).next().ids(t), 1, "that is not known any more")
	assert.Equal(t, big, s.watching("", "Last-Event-ID", s.changes.id(199)).next().finding(t))
}

// A report goes to each client as it is kept, without a copy of all of it.
func TestReportIsNotCopiedForEachWatcher(t *testing.T) {
	s := serve(t, nil)
	for i := range 100 {
		s.tell(numbered(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := newRecorder(func(text string) bool { return strings.HasSuffix(text, "]}\n\n") }, cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/findings/watch", nil)
	require.NoError(t, err)
	s.handler().ServeHTTP(out, r)
	assert.Less(t, out.largest, out.text.Len()/10)
	_, data, _ := strings.Cut(out.text.String(), "\ndata: ")
	assert.Len(t, event{name: "report", data: strings.TrimSpace(data)}.ids(t), 100)
}

// recorder is a response that ends the request when it has what is wanted.
type recorder struct {
	header  http.Header
	text    strings.Builder
	largest int // of what was written at a time
	enough  func(string) bool
	end     func()
}

func newRecorder(enough func(string) bool, end func()) *recorder {
	return &recorder{header: http.Header{}, enough: enough, end: end}
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}
func (r *recorder) Flush()              {}
func (r *recorder) Write(b []byte) (int, error) {
	r.largest = max(r.largest, len(b))
	if r.text.Write(b); r.enough(r.text.String()) {
		r.end()
	}
	return len(b), nil
}

func TestWatchFilters(t *testing.T) {
	s := serve(t, nil)
	critical, active, resolved := s.watching("?severity=critical"), s.watching("?state=active"), s.watching("?state=resolved")
	for _, w := range []*watching{critical, active, resolved} {
		require.Empty(t, w.next().ids(t))
	}
	f := findingtest.Bare()
	tell := func(severity finding.Severity, state finding.State) {
		f.Severity, f.State, f.LastSeen = severity, state, f.LastSeen.Add(time.Second)
		s.tell(f)
	}
	tell(finding.Info, finding.Active)
	tell(finding.Critical, finding.Active)
	tell(finding.Warning, finding.Active)
	tell(finding.Info, finding.Active)
	tell(finding.Info, finding.Resolved)
	seen := func(w *watching, n int) (all []string) {
		for range n {
			f := w.next().finding(t)
			all = append(all, fmt.Sprint(f.Severity, " ", f.State))
		}
		return all
	}
	assert.Equal(t, []string{"critical active", "warning active"}, seen(critical, 2), "who watches sees how it ceases to match")
	assert.Equal(t, []string{"info active", "critical active", "warning active", "info active", "info resolved"}, seen(active, 5))
	assert.Equal(t, []string{"info resolved"}, seen(resolved, 1))
	assert.Equal(t, []string{f.ID}, s.watching("?state=resolved").next().ids(t), "a state that is asked for is in the report")
}

func TestWatchTellsWhatIsForgotten(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxFindings = 2 })
	s.tell(numbered(1), numbered(2))
	w := s.watching("")
	require.Len(t, w.next().ids(t), 2)
	s.tell(numbered(3))
	require.Equal(t, numbered(3), w.next().finding(t))
	assert.Equal(t, numbered(1).ID, w.next().forgottenID(t), "to make room")
	s.forget(t.Context(), findingtest.Now.Add(s.cfg.StaleAfter+time.Second))
	assert.Equal(t, numbered(2).ID, w.next().forgottenID(t), "nobody told of it for long")
}

// Text from outside is data: it cannot end an event, or begin one.
func TestWatchCannotBeForged(t *testing.T) {
	s := serve(t, nil)
	f := findingtest.Bare()
	f.ID, f.Title, f.Entity.Name = findingtest.Hostile, findingtest.Hostile, findingtest.Hostile
	w := s.watching("")
	require.Empty(t, w.next().ids(t))
	s.tell(f)
	got := w.next().finding(t)
	assert.Equal(t, strings.ToValidUTF8(findingtest.Hostile, "\ufffd\ufffd"), got.Title)
	s.tell(numbered(1))
	assert.Equal(t, numbered(1), w.next().finding(t), "nothing came between")
}

func TestWatchersAreBounded(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxWatchers = 2 })
	first, second := s.watching(""), s.watching("")
	first.next()
	second.next()
	answer, body := s.get("/v1/findings/watch")
	assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	assert.Equal(t, "10", answer.Header.Get("Retry-After"))
	assert.Contains(t, string(body), "max_watchers, 2, are watching already")
	assert.EqualValues(t, 1, s.count("exporter_findings_watchers_refused"))
	assert.EqualValues(t, 2, s.count("exporter_findings_watchers"))

	require.NoError(t, first.answer.Body.Close())
	require.Eventually(t, func() bool { return s.changes.watchers() == 1 }, time.Minute, time.Millisecond)
	s.watching("").next()
}

func TestHeadOfAWatchEndsAtOnce(t *testing.T) {
	s := serve(t, nil)
	answer := s.request(http.MethodHead, "/v1/findings/watch")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	assert.Zero(t, s.changes.watchers())
}

// stalled opens a watch whose client reads nothing, and tells so much that the exporter cannot write any more.
func (s *served) stalled() *watching {
	w := s.watching("")
	require.Empty(s.t, w.next().ids(s.t))
	big := numbered(0)
	for i := range 400 { // 24 MB: more than the buffers of a connection hold
		big.Explanation, big.LastSeen = strings.Repeat("x", 60_000), findingtest.Now.Add(time.Duration(i))
		s.tell(big)
	}
	return w
}

func TestASlowWatcherHoldsUpNobodyAndGetsTheReportAgain(t *testing.T) {
	s := prepare(t, nil)
	s.heartbeat = 10 * time.Minute // or a busy machine has it dropped, which is another test
	require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
	s.url = "http://" + s.address.String()
	slow := s.stalled()
	other := s.watching("")
	other.next()
	const more = replay + 400 // whatever of the first 400 it was given, it has lost some of these
	for i := range more {
		s.tell(numbered(i + 1))
		require.Equal(t, numbered(i+1), other.next().finding(t), "another one sees every change")
	}
	changes := 0
	e := slow.next()
	for ; e.name == "finding"; e = slow.next() {
		changes++
	}
	assert.Len(t, e.ids(t), more+1)
	assert.Less(t, changes, 400+more)
	assert.EqualValues(t, 1, s.count("exporter_findings_watchers_behind"))
	s.tell(numbered(more + 1))
	assert.Equal(t, numbered(more+1), slow.next().finding(t), "and goes on from there")
}

func TestAWatcherThatDoesNotReadIsDisconnected(t *testing.T) {
	s := prepare(t, nil)
	s.heartbeat = 10 * time.Millisecond
	require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
	s.url = "http://" + s.address.String()
	s.stalled()
	require.Eventually(t, func() bool { return s.count("exporter_findings_watchers_dropped") == 1 }, time.Minute, 10*time.Millisecond)
	assert.Zero(t, s.changes.watchers())
}

// A stream must outlive the time that a single write may take, with HTTP/2 as well: there the deadline ends idle streams too.
func TestWatchStaysOpenByHeartbeats(t *testing.T) {
	cert, key, _ := issue(t, "server")
	for name, change := range map[string]func(*Config){
		"HTTP/1.1": func(c *Config) { c.WriteTimeout, c.ReadTimeout = 2*time.Second, 2*time.Second },
		"HTTP/2.0": func(c *Config) {
			withTLS(cert, key, "")(c)
			c.WriteTimeout, c.ReadTimeout = 2*time.Second, 2*time.Second
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := prepare(t, change)
			s.heartbeat = time.Second // a busy machine may be late by as much
			require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
			s.url = "http://" + s.address.String()
			if name == "HTTP/2.0" {
				s.trust(cert)
			}
			s.tell(numbered(1))
			w := s.watching("?severity=critical")
			require.Equal(t, name, w.answer.Proto)
			require.Empty(t, w.next().ids(t))
			s.tell(numbered(2)) // does not match: the client learns only its number, by the heartbeat
			beats := 0
			for lines := bufio.NewScanner(w.lines); beats < 3 && lines.Scan(); {
				if lines.Text() == "id: "+s.changes.id(2) {
					beats++
				}
			}
			assert.Equal(t, 3, beats)
		})
	}
}

func TestShutdownEndsStreams(t *testing.T) {
	s := serve(t, nil)
	w := s.watching("")
	w.next()
	require.NoError(t, s.shutdown(context.Background()))
	_, err := w.read()
	assert.ErrorIs(t, err, io.EOF)
	assert.Zero(t, s.changes.watchers())
}

// Without a bound of its own, shutdown would wait for as long as a client may not read: here forever.
func TestShutdownDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	s := prepare(t, nil)
	s.heartbeat = 1000 * time.Hour
	require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
	s.url = "http://" + s.address.String()
	s.stalled()
	require.NoError(t, s.shutdown(context.Background()))
	require.Eventually(t, func() bool { return s.changes.watchers() == 0 }, time.Minute, time.Millisecond)
}
