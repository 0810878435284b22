package forecastcmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// what Prometheus holds in the test below: three containers, sampled every 15 s for four hours.
var containers = []struct {
	name  string
	level func(minute float64) (share float64, there bool)
	kills func(minute float64) int
}{
	{"leaky", func(m float64) (float64, bool) { // killed after 90 minutes, and again after 180
		return 0.1 + 0.01*math.Mod(m, 90), true
	}, func(m float64) int { return int(m / 90) }},
	{"steady", func(m float64) (float64, bool) { return 0.5 + 0.01*math.Sin(m), true }, func(float64) int { return 0 }},
	{"rolled-out", func(m float64) (float64, bool) { // grows, but is replaced half-way by something that doesn't
		return 0.1 + 0.005*math.Min(m, 60), m < 120
	}, func(float64) int { return 0 }},
}

const limit = 1 << 30

var began = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

func TestAgainstARealPrometheus(t *testing.T) {
	url := prometheus(t)
	run := func(args ...string) string {
		var out bytes.Buffer
		o := &replay{url: url, query: "container_memory_rss", limitQuery: "container_spec_memory_limit_bytes", window: 4 * time.Hour,
			step: 15 * time.Second, confidence: 0.8, now: func() time.Time { return began.Add(4 * time.Hour) }}
		if len(args) > 0 {
			o.killQuery = args[0]
		}
		require.NoError(t, o.run(t.Context(), &out))
		return out.String()
	}
	got := run()
	assert.Contains(t, got, "3 series, 10.1 hours of history in 5 lives; 2 of them ended in an OOM kill (inferred: ")
	assert.Contains(t, got, "before 2 of 2 kills in time, ")
	assert.Contains(t, got, "for nothing in 0 of 3 other lives")
	assert.Regexp(t, `container_memory_rss\{container="leaky"\}\s+2026-01-05 00:00:00\s+01:29:45\s+killed\s+1\s+\d+m`, got)
	assert.Contains(t, run("container_oom_events_total"), "2 of them ended in an OOM kill (as container_oom_events_total counts them)")
	assert.Contains(t, run("container_oom_events_total * 0"), "0 of them ended in an OOM kill")

	o := &replay{url: url, query: "container_memory_rss{", limit: 5, window: time.Hour, step: time.Minute, confidence: 0.5, now: time.Now}
	assert.ErrorContains(t, o.run(t.Context(), io.Discard), "parse error")
	o.query = "container_memory_rss"
	assert.ErrorContains(t, o.run(t.Context(), io.Discard), "yields nothing in the last 1h0m0s")
}

// prometheus starts a real one with the containers' history in it, and returns its URL.
func prometheus(t *testing.T) string {
	for _, tool := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (test/setup.sh installs it)", tool)
		}
	}
	dir := t.TempDir()
	var text bytes.Buffer
	metric := func(name, kind string, value func(i int, minute float64) (float64, bool)) {
		fmt.Fprintf(&text, "# TYPE %s %s\n", name, kind)
		for i, c := range containers {
			for at := time.Duration(0); at < 4*time.Hour; at += 15 * time.Second {
				if v, ok := value(i, at.Minutes()); ok {
					suffix := map[string]string{"counter": "_total"}[kind]
					fmt.Fprintf(&text, "%s%s{container=%q} %g %d\n", name, suffix, c.name, v, began.Add(at).Unix())
				}
			}
		}
	}
	metric("container_memory_rss", "gauge", func(i int, m float64) (float64, bool) {
		v, ok := containers[i].level(m)
		return math.Round(v * limit), ok
	})
	metric("container_spec_memory_limit_bytes", "gauge", func(int, float64) (float64, bool) { return limit, true })
	metric("container_oom_events", "counter", func(i int, m float64) (float64, bool) { return float64(containers[i].kills(m)), true })
	text.WriteString("# EOF\n")
	file := filepath.Join(dir, "history.txt")
	require.NoError(t, os.WriteFile(file, text.Bytes(), 0o600))
	output, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", file, filepath.Join(dir, "data")).CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), nil, 0o600))

	port, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := port.Addr().String()
	require.NoError(t, port.Close())
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	require.NoError(t, server.Start())
	t.Cleanup(func() { cancel(); _ = server.Wait() })
	url := "http://" + address
	require.Eventually(t, func() bool {
		resp, err := http.Get(url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, time.Minute, 50*time.Millisecond, "Prometheus is not ready: %s", url)
	return url
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"HTML":          {"<html>", "no answer of Prometheus"},
		"an error":      {`{"status":"error","error":"no such thing"}`, "no such thing"},
		"null":          {"null", "HTTP 200 OK: no answer of Prometheus"},
		"another type":  {`{"status":"success","data":{"resultType":"scalar"}}`, "yields a scalar, want a matrix"},
		"a bad value":   {`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"x"]]}]}}`, `value of {a="b"}`},
		"a bad time":    {`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["x","1"]]}]}}`, "time: "},
		"nothing":       {`{"status":"success","data":{"resultType":"matrix","result":[]}}`, "yields nothing"},
		"only NaN":      {`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"NaN"]]}]}}`, ""},
		"values beyond": {`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1e308"],[2,"-5"],[3,"+Inf"]]}]}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.body) }))
			defer server.Close()
			o := &replay{url: server.URL, query: "x", limit: 1, window: time.Hour, step: time.Minute, confidence: 0.8, now: time.Now}
			err := o.run(t.Context(), io.Discard)
			if c.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, c.want)
			}
		})
	}
}

// A leak that still goes on is no alarm for nothing, and a history with nothing to judge says so.
func TestTheEndOfTheHistory(t *testing.T) {
	serve := func(every int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			var values []string
			for i := 0; i <= 600; i += every {
				values = append(values, fmt.Sprintf("[%d,%q]", began.Unix()+int64(15*i), fmt.Sprint(200+i)+"000000"))
			}
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[%s]}]}}`, strings.Join(values, ","))
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	run := func(url string, after time.Duration) string {
		var out bytes.Buffer
		o := &replay{url: url, query: "x", limit: 1e9, window: 4 * time.Hour, step: 15 * time.Second, confidence: 0.5, now: func() time.Time { return began.Add(after) }}
		require.NoError(t, o.run(t.Context(), &out))
		return out.String()
	}
	leak := serve(1)
	assert.Contains(t, run(leak, 600*15*time.Second), "Tapio would have warned\n  of 1 kill to come: the history ends before it is known whether that is right\n\n")
	assert.Regexp(t, `goes on\s+1\s+-\n`, run(leak, 600*15*time.Second))
	over := run(leak, 3*time.Hour)
	assert.Contains(t, over, "Tapio would have warned\n  for nothing in 1 of 1 other lives")
	assert.Regexp(t, `not killed\s+1\s+-\n`, over)
	assert.Contains(t, run(serve(10), 3*time.Hour), "in 0 lives; 0 of them ended in an OOM kill (inferred: it ended or began anew above 90 % of its limit; --kill-query knows better).\n"+
		"None has 24 values in a row, which it takes to judge a forecast: --step should be the scrape interval.\n")
}

func TestFlagsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no URL":        {[]string{"--prometheus", "localhost:9090"}, `want a URL such as http://localhost:9090`},
		"step":          {[]string{"--prometheus", "http://x", "--step", "1ms"}, "--step is 1ms, want 1s or more"},
		"range":         {[]string{"--prometheus", "http://x", "--range", "1m"}, "--range is 1m0s, want 30 steps (7m30s) or more"},
		"a huge range":  {[]string{"--prometheus", "http://x", "--step", "1s", "--range", "99999h"}, "want a million steps or less"},
		"limit":         {[]string{"--prometheus", "http://x", "--limit", "-5"}, "--limit is -5, want bytes"},
		"confidence":    {[]string{"--prometheus", "http://x", "--confidence", "1"}, "--confidence is 1, want a number between 0 and 1"},
		"query":         {[]string{"--prometheus", "http://x", "--query", ""}, "--query is empty"},
		"no limits":     {[]string{"--prometheus", "http://x", "--limit-query", ""}, "want --limit or --limit-query"},
		"nobody there":  {[]string{"--prometheus", "http://127.0.0.1:1"}, "connection refused"},
		"range alone":   {[]string{"--range", "1h"}, "--range is for a replay: it wants --prometheus"},
		"an empty URL":  {[]string{"--prometheus", ""}, `want a URL such as http://localhost:9090`},
		"an extra word": {[]string{"now"}, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := New(bytes.NewReader(nil), io.Discard, io.Discard)
			cmd.SetArgs(c.args)
			assert.ErrorContains(t, cmd.ExecuteContext(t.Context()), c.want)
		})
	}
}

func TestSeriesAreMatchedByTheirLabels(t *testing.T) {
	all := []series{{labels: labels{"pod": "a", "container": "x"}}, {labels: labels{"pod": "a", "container": "y", "unit": "byte"}},
		{labels: labels{"pod": "b"}}}
	assert.Equal(t, &all[1], matching(all, labels{"pod": "a", "container": "y", "id": "7"}))
	assert.Equal(t, &all[2], matching(all, labels{"pod": "b", "container": "y"}))
	assert.Nil(t, matching(all, labels{"pod": "c", "container": "x"}))
	assert.Nil(t, matching(all, labels{"job": "j"}))
	assert.Equal(t, &all[0], matching(all[:1], labels{"job": "j"}), "the only one there is holds for all")
	assert.Nil(t, matching(nil, labels{"job": "j"}))
}
