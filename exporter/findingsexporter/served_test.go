package findingsexporter

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// served is an exporter that runs, and a client of it.
type served struct {
	*findingsExporter
	t         testing.TB
	client    *http.Client
	url       string
	telemetry *componenttest.Telemetry
}

// serve starts an exporter on a free port of loopback; it is stopped with the test. change may be nil.
func serve(t testing.TB, change func(*Config)) *served {
	t.Helper()
	s := prepare(t, change)
	require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
	s.url = "http://" + s.address.String()
	return s
}

// prepare makes an exporter that does not run yet. Its clock stands at findingtest.Now.
func prepare(t testing.TB, change func(*Config)) *served {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.NetAddr.Endpoint = "127.0.0.1:0"
	if change != nil {
		change(cfg)
	}
	tel := componenttest.NewTelemetry()
	set := exportertest.NewNopSettings(component.MustNewType("findings"))
	set.TelemetrySettings = tel.NewTelemetrySettings()
	e, err := newFindingsExporter(set, cfg)
	require.NoError(t, err)
	e.now = func() time.Time { return findingtest.Now }
	transport := &http.Transport{DisableCompression: true}
	s := &served{findingsExporter: e, t: t, client: &http.Client{Transport: transport}, telemetry: tel}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, e.shutdown(context.Background()))
		require.NoError(t, tel.Shutdown(context.Background()))
	})
	return s
}

// tell brings findings to the exporter as a pipeline does.
func (s *served) tell(fs ...finding.Finding) {
	s.t.Helper()
	w := findinglog.New()
	for _, f := range fs {
		w.Append(f)
	}
	require.NoError(s.t, s.consume(context.Background(), w.Logs()))
}

func (s *served) tellStatus(st finding.Status) {
	s.t.Helper()
	w := findinglog.New()
	w.AppendStatus(st)
	require.NoError(s.t, s.consume(context.Background(), w.Logs()))
}

// request sends a request with header fields, given as name, value, name, value.
func (s *served) request(method, path string, header ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func (s *served) get(path string, header ...string) (*http.Response, []byte) {
	s.t.Helper()
	answer := s.request(http.MethodGet, path, header...)
	body, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return answer, body
}

// event is one server-sent event.
type event struct{ name, id, data string }

// watching is a client of /v1/findings/watch.
type watching struct {
	t      testing.TB
	answer *http.Response
	lines  *bufio.Reader
	lastID string
}

func (s *served) watching(query string, header ...string) *watching {
	s.t.Helper()
	answer := s.request(http.MethodGet, "/v1/findings/watch"+query, header...)
	require.Equal(s.t, http.StatusOK, answer.StatusCode)
	return &watching{t: s.t, answer: answer, lines: bufio.NewReader(answer.Body)}
}

// next returns the next event that has data.
func (w *watching) next() event {
	w.t.Helper()
	e, err := w.read()
	require.NoError(w.t, err)
	return e
}

func (w *watching) read() (event, error) {
	var e event
	for {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id, w.lastID = value, value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, nil
			}
		}
	}
}

// freePort returns an address of loopback that is taken until the test ends.
func takenPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l.Addr().String()
}

// count returns the value of one of the exporter's metrics; 0 when it was never written.
func (s *served) count(name string) int64 {
	s.t.Helper()
	m, err := s.telemetry.GetMetric("otelcol_" + name)
	if err != nil {
		return 0
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		return data.DataPoints[0].Value
	case metricdata.Gauge[int64]:
		return data.DataPoints[0].Value
	}
	s.t.Fatalf("metric %s is a %T", name, m.Data)
	return 0
}
