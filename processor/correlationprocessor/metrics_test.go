package correlationprocessor

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/prometheusexporter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// What Prometheus reads, through the real exporter: names, labels, and that what is over is gone.
func TestPrometheusNames(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	endpoint := l.Addr().String()
	require.NoError(t, l.Close())
	f := prometheusexporter.NewFactory()
	cfg := f.CreateDefaultConfig().(*prometheusexporter.Config)
	cfg.NetAddr.Endpoint = endpoint
	e, err := f.CreateMetrics(ctx, exportertest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(ctx, componenttest.NewNopHost()))
	defer func() { require.NoError(t, e.Shutdown(ctx)) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	scrape := func() string {
		resp, err := client.Get("http://" + endpoint + "/metrics")
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		var kept []string
		for _, line := range strings.Split(string(b), "\n") {
			if strings.HasPrefix(line, "tapio_") {
				// The exporter's own labels say where it comes from.
				kept = append(kept, strings.ReplaceAll(strings.ReplaceAll(line, `,otel_scope_schema_url="",otel_scope_version=""`, ""),
					`otel_scope_name="github.com/your-org/tapio/processor/correlationprocessor"`, "scope"))
			}
		}
		return strings.Join(kept, "\n")
	}

	now := time.Now()
	s := newSeries([]*pattern.Pattern{{Name: "memory-exhaustion"}, {Name: "oom-killed"}})
	status := finding.Status{Node: "n1", Watched: map[string]int{"Container": 2}, Coverage: []finding.Coverage{
		{Layer: finding.LayerCgroup, State: finding.CoverageOK}, {Layer: finding.LayerEBPF, State: finding.CoverageAbsent},
		{Layer: finding.LayerJournald, State: finding.CoverageDegraded}}}
	active := []finding.Finding{
		{ID: "1", Kind: finding.Prediction, Pattern: "memory-exhaustion", Severity: finding.Critical, State: finding.Active,
			Entity:   finding.Entity{Kind: "Container", Namespace: "shop", Name: "api-1", Container: "api", Node: "n1"},
			Forecast: &finding.Forecast{Event: "oom_kill", At: now.Add(90 * time.Second)}},
		{ID: "2", Kind: finding.Diagnosis, Pattern: "oom-killed", Severity: finding.Critical, State: finding.Active},
		{ID: "3", Kind: finding.Diagnosis, Pattern: "oom-killed", Severity: finding.Critical, State: finding.Resolved},
	}
	require.NoError(t, e.ConsumeMetrics(ctx, s.metrics(now, status, active)))
	got := scrape()
	for _, want := range []string{
		`tapio_findings_active{scope,pattern="memory-exhaustion",severity="critical"} 1`,
		`tapio_findings_active{scope,pattern="oom-killed",severity="critical"} 1`,
		`tapio_findings_active{scope,pattern="oom-killed",severity="warning"} 0`,
		`tapio_prediction_time_to_event_seconds{container="api",event="oom_kill",kind="Container",name="api-1",namespace="shop",node="n1",scope,pattern="memory-exhaustion"} 90`,
		`tapio_coverage{layer="cgroup",scope} 1`,
		`tapio_coverage{layer="journald",scope} 0.5`,
		`tapio_coverage{layer="ebpf",scope} 0`,
		`tapio_entities_watched{kind="Container",scope} 2`,
		`tapio_predictions_unexposed{scope} 0`,
	} {
		assert.Contains(t, got, want)
	}

	active[0].State = finding.Resolved
	status.Watched = nil
	require.NoError(t, e.ConsumeMetrics(ctx, s.metrics(now.Add(time.Second), status, active)))
	got = scrape()
	assert.NotContains(t, got, "tapio_prediction_time_to_event_seconds", "what is over is gone at once")
	assert.Contains(t, got, `tapio_findings_active{scope,pattern="memory-exhaustion",severity="critical"} 0`)
	assert.Contains(t, got, `tapio_entities_watched{kind="Container",scope} 0`)
}

func TestSeriesAreBounded(t *testing.T) {
	var fs []finding.Finding
	for i := range maxSeries + 7 {
		fs = append(fs, finding.Finding{ID: fmt.Sprint(i), Pattern: "p", Severity: finding.Warning, State: finding.Active, Forecast: &finding.Forecast{}})
	}
	md := newSeries(nil).metrics(time.Now(), finding.Status{}, fs)
	for _, m := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		switch m.Name() {
		case metricTimeToEvent:
			assert.Equal(t, maxSeries, m.Gauge().DataPoints().Len())
		case metricUnexposed:
			assert.Equal(t, 7.0, m.Gauge().DataPoints().At(0).DoubleValue(), "what is left out is counted")
		}
	}
}
