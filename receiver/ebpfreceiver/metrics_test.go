//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/scraper"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// What could not be read is said; what could be goes on to the next component all the same.
func TestWhatCouldNotBeReadLeavesTheRestAlone(t *testing.T) {
	assert.NoError(t, partly(nil, nil))
	err := partly(nil, errors.New("read the peers: broken"), errors.New("read what disks did: broken"))
	assert.ErrorContains(t, err, "read the peers: broken\nread what disks did: broken")

	sc, scErr := scraper.NewMetrics(func(context.Context) (pmetric.Metrics, error) {
		md := pmetric.NewMetrics()
		md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
		return md, err
	})
	require.NoError(t, scErr)
	cfg := createDefaultConfig().(*Config).ControllerConfig
	cfg.InitialDelay = time.Nanosecond
	sink := new(consumertest.MetricsSink)
	r, scErr := scraperhelper.NewMetricsController(&cfg, receivertest.NewNopSettings(metadata.Type), sink, scraperhelper.AddMetricsScraper(metadata.Type, sc))
	require.NoError(t, scErr)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return len(sink.AllMetrics()) > 0 }, patience, poll)
	require.NoError(t, r.Shutdown(context.Background()))
	assert.Equal(t, 1, sink.DataPointCount())
}

// Where no cgroups are, what the kernel counts is nobody's: that is said, and no reason not to tell events.
func TestMountWithoutCgroups(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Mount, cfg.Probes = "/nowhere", Probes{} // nothing is loaded
	sink := new(events)
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, r.Shutdown(context.Background())) }()
	require.Eventually(t, func() bool { return len(sink.named(coveragelog.EventName)) > 0 }, patience, poll)
	part, ok := coveragelog.Read(sink.named(coveragelog.EventName)[0].record)
	require.True(t, ok)
	assert.Equal(t, finding.CoverageDegraded, part.State)
	assert.Contains(t, part.Reason, "mount: there is no memory controller's hierarchy at /nowhere")
}

// Of more cgroups than there is room for, the same ones are told each time, each whole.
func TestShare(t *testing.T) {
	var all []counted
	for id := range uint64(20) {
		for _, group := range []string{"process", "network"} {
			all = append(all, counted{group: group, cgroup: id, owner: fmt.Sprintf("/c%02d", id/2)})
		}
	}
	all = append(all, counted{group: "process", cgroup: 30, owner: "/"})
	for range 10 {
		some := slices.Clone(all)
		for i := range some {
			some[i].n = []uint64{1}
		}
		rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		told := map[string]reading{}
		assert.EqualValues(t, 28, share(told, some, 3))
		require.Equal(t, []string{"/c00", "/c01", "/c02"}, slices.Sorted(maps.Keys(told)))
		for who, r := range told {
			assert.Equal(t, reading{"process": {2}, "network": {2}}, r, who)
		}
	}
}
