package promcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/clitest"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// answering is a source that answers with a report, or why it cannot.
type answering struct {
	report finding.Report
	err    error
}

func (answering) String() string { return "answering" }

func (s answering) Report(context.Context, source.Query) (finding.Report, error) {
	return s.report, s.err
}

func (answering) Watch(context.Context, source.Query, func(source.Change) error) error { return nil }

// scrape is what Prometheus reads, without what is said of the metrics.
func scrape(t *testing.T, c *collector) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(c))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	return regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(w.Body.String(), "")
}

func prediction(cluster, name string) finding.Finding {
	return finding.Finding{State: finding.Active, Pattern: "memory-exhaustion", Severity: finding.Critical, Forecast: &finding.Forecast{Event: "oom_kill", At: now.Add(time.Minute)},
		Entity: finding.Entity{Kind: "Container", Cluster: cluster, Namespace: "shop", Name: name, Container: "app", Node: "n1"}}
}

// What is of one name in two clusters is two series, a cluster that cannot be reached is down, and of what is said of a layer the worst
// counts.
func TestSeveralClusters(t *testing.T) {
	over := prediction("east", "gone")
	over.State = finding.Resolved
	cover := func(cluster string, layer finding.Layer, state finding.CoverageState) finding.Coverage {
		return finding.Coverage{Cluster: cluster, Layer: layer, State: state}
	}
	r := finding.Report{Watched: map[string]int{"Pod": 7}, Findings: []finding.Finding{prediction("east", "api"), prediction("west", "api"), prediction("west", "api"), over},
		Coverage: []finding.Coverage{cover("east", finding.LayerKubernetes, finding.CoverageOK), cover("west", finding.LayerCgroup, finding.CoverageOK),
			cover("west", finding.LayerCgroup, finding.CoverageDegraded), cover("away", finding.LayerKubernetes, finding.CoverageAbsent)}}
	assert.Equal(t, `tapio_coverage{cluster="away",layer="kubernetes"} 0
tapio_coverage{cluster="east",layer="kubernetes"} 1
tapio_coverage{cluster="west",layer="cgroup"} 0.5
tapio_entities_watched{kind="Pod"} 7
tapio_findings_active{cluster="east",pattern="memory-exhaustion",severity="critical"} 1
tapio_findings_active{cluster="west",pattern="memory-exhaustion",severity="critical"} 2
tapio_prediction_time_to_event_seconds{cluster="east",container="app",event="oom_kill",kind="Container",name="api",namespace="shop",node="n1",pattern="memory-exhaustion"} 60
tapio_prediction_time_to_event_seconds{cluster="west",container="app",event="oom_kill",kind="Container",name="api",namespace="shop",node="n1",pattern="memory-exhaustion"} 60
tapio_predictions_unexposed 1
tapio_up{cluster="away"} 0
tapio_up{cluster="east"} 1
tapio_up{cluster="west"} 1
`, scrape(t, &collector{ctx: t.Context(), env: cli.Env{Now: func() time.Time { return now }}, source: answering{report: r}, clusters: []string{"east", "west", "away"}}))
}

// A source that does not answer is down, and what it says is made safe for a terminal.
func TestDown(t *testing.T) {
	var said bytes.Buffer
	c := &collector{ctx: t.Context(), env: cli.Env{ErrOut: &said}, source: answering{err: errors.New("no\x1b[2J\nroute")}}
	assert.Equal(t, "tapio_up{cluster=\"\"} 0\n", scrape(t, c))
	assert.Equal(t, "tapio: no[2J route\n", said.String())
	c.clusters = []string{"east", "west"}
	assert.Equal(t, "tapio_up{cluster=\"east\"} 0\ntapio_up{cluster=\"west\"} 0\n", scrape(t, c))
}

// The number of series is bounded, and what is left out is counted. Names that are the same once they are clean do not fail the scrape.
func TestBound(t *testing.T) {
	r := finding.Report{Watched: map[string]int{"Pod": 1, "Pod\x00": 2}, Coverage: []finding.Coverage{{Layer: "x"}, {Layer: "x\x00"}}}
	for i := range maxSeries + 5 {
		r.Findings = append(r.Findings, prediction("", fmt.Sprintf("api-%d", i)))
	}
	r.Findings = append(r.Findings, prediction("", "api-1\x00"))
	text := scrape(t, &collector{ctx: t.Context(), env: cli.Env{Now: func() time.Time { return now }}, source: answering{report: r}})
	assert.Equal(t, maxSeries, strings.Count(text, "tapio_prediction_time_to_event_seconds{"))
	assert.Contains(t, text, "tapio_predictions_unexposed 6\n")
	assert.Contains(t, text, "tapio_entities_watched{kind=\"Pod\"} 3\n")
	assert.Contains(t, text, "tapio_up{cluster=\"\"} 1\n")
}

// The command asks for the namespace that is named, and serves until it is interrupted.
func TestServe(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.String())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, `{"apiVersion":"tapio/v1","generatedAt":"2026-11-23T12:00:00Z","source":"collector","coverage":[],"summary":{"healthy":0,"warning":0,"critical":0},"findings":[]}`)
	}))
	defer endpoint.Close()
	var errOut clitest.Screen
	from := &source.Options{}
	cmd := New(cli.Env{ErrOut: &errOut, Getenv: func(string) string { return "" }, Now: time.Now}, from)
	from.Flags(cmd.Flags())
	cmd.SetArgs([]string{"--port", "0", "--address", "127.0.0.1", "-n", "shop", "--endpoint", endpoint.URL})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	at := regexp.MustCompile(`serving (http://\S+/metrics) from the findings at ` + regexp.QuoteMeta(endpoint.URL) + "\n")
	require.Eventually(t, func() bool { return at.MatchString(errOut.String()) }, 30*time.Second, 10*time.Millisecond)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(at.FindStringSubmatch(errOut.String())[1])
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Contains(t, string(body), "tapio_up{cluster=\"\"} 1\n")
	cancel()
	require.NoError(t, <-ended)
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{"/v1/findings?namespace=shop"}, asked)
}
