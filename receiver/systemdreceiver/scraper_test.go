package systemdreceiver

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/scraper/scrapererror"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

// scraperOf is a scraper of a tracker that is connected.
func scraperOf(ft *fakeTracker) *metricsScraper {
	ft.tracker.bus = ft.bus
	cfg, set := createDefaultConfig().(*Config), receivertest.NewNopSettings(metadata.Type)
	return &metricsScraper{tracker: ft.tracker, mb: metadata.NewMetricsBuilder(cfg.MetricsBuilderConfig, set), rb: metadata.NewResourceBuilder(cfg.ResourceAttributes)}
}

// A unit is in one state at a time, also for who keeps the last value of each series.
func TestStateThatAUnitHasLeft(t *testing.T) {
	const a = "a.service"
	f := newFakeBus(t)
	f.have(a, crashed())
	ft := newFakeTracker(t, f)
	s := scraperOf(ft)
	series := map[string]int64{}
	look := func() map[string]int64 {
		md, err := s.scrape(t.Context())
		require.NoError(t, err)
		for _, m := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "systemd.unit.state" && m.Name() != "systemd.unit.failed" {
				continue
			}
			for _, p := range m.Gauge().DataPoints().All() {
				for _, state := range p.Attributes().All() {
					series[m.Name()+" "+state.Str()] = p.IntValue()
				}
			}
		}
		return series
	}
	assert.Equal(t, map[string]int64{"systemd.unit.state active": 1, "systemd.unit.failed success": 0}, look())
	become := func(active, sub, result string) {
		f.emit(changed(a, unitFace, map[string]any{"ActiveState": active, "SubState": sub}), changed(a, serviceFace, map[string]any{"Result": result}))
		ft.await(t, 2)
		ft.takeAll(t)
	}
	become("failed", "failed", "exit-code")
	assert.Equal(t, map[string]int64{"systemd.unit.state active": 0, "systemd.unit.state failed": 1, "systemd.unit.failed success": 0,
		"systemd.unit.failed exit-code": 1}, look())
	become("active", "running", "success")
	assert.Equal(t, map[string]int64{"systemd.unit.state active": 1, "systemd.unit.state failed": 0, "systemd.unit.failed success": 0,
		"systemd.unit.failed exit-code": 0}, look())
}

// While systemd answers nothing, as one that froze its execution, the states that it had told by itself are told on.
func TestSystemdThatDoesNotAnswer(t *testing.T) {
	f := newFakeBus(t)
	f.have("a.service", crashed())
	f.have("b.service", faces{unitFace: {"ActiveState": "failed"}, serviceFace: {"Result": "exit-code"}})
	s := scraperOf(newFakeTracker(t, f))
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	md, err := s.scrape(over)
	assert.ErrorContains(t, err, "memory and tasks")
	assert.True(t, scrapererror.IsPartialScrapeError(err), "or the collector drops all of it")
	var units []string
	for _, rm := range md.ResourceMetrics().All() {
		name, ok := rm.Resource().Attributes().Get("systemd.unit")
		require.True(t, ok)
		units = append(units, name.Str())
	}
	assert.Equal(t, []string{"a.service", "b.service"}, units)
}
