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

// While systemd answers nothing, as one that froze its execution, the states that it had told by itself are told on.
func TestSystemdThatDoesNotAnswer(t *testing.T) {
	f := newFakeBus(t)
	f.have("a.service", crashed())
	f.have("b.service", faces{unitFace: {"ActiveState": "failed"}, serviceFace: {"Result": "exit-code"}})
	ft := newFakeTracker(t, f)
	ft.tracker.bus = ft.bus
	cfg, set := createDefaultConfig().(*Config), receivertest.NewNopSettings(metadata.Type)
	s := &metricsScraper{tracker: ft.tracker, mb: metadata.NewMetricsBuilder(cfg.MetricsBuilderConfig, set), rb: metadata.NewResourceBuilder(cfg.ResourceAttributes)}
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
