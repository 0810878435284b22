//go:build linux

package ebpfreceiver

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// Two threads that want one CPU wait for half of the time, each time for as long as the other has it.
func TestRealRunQueue(t *testing.T) {
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	m.find(t, "/"+c.Name, "container.cpu.run_queue.time") // the first look
	w := workload(t, c, "spin", "2s")
	require.NoError(t, w.Wait())
	p, ok := m.find(t, "/"+c.Name, "container.cpu.run_queue.time")
	require.True(t, ok)
	assert.GreaterOrEqual(t, p.Sum().DataPoints().At(0).DoubleValue(), 1.0)
	assert.Positive(t, m.histogram(t, "/"+c.Name, "container.cpu.run_queue.duration"))
}

// Page cache that fills the limit has to be reclaimed by who wants more, and what was written reaches a disk.
func TestRealReclaimAndDisks(t *testing.T) {
	c, _ := realCgroup(t, 48*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	w := workload(t, c, "cache", strconv.Itoa(80*mib), filepath.Join(t.TempDir(), "cache"))
	require.NoError(t, w.Wait())
	assert.Positive(t, m.of(t, "/"+c.Name)["container.memory.reclaim.count"])
	p, ok := m.find(t, "/"+c.Name, "container.memory.reclaim.time")
	require.True(t, ok)
	assert.Positive(t, p.Sum().DataPoints().At(0).DoubleValue())

	written, ok := m.find(t, "", "system.disk.io.duration")
	require.True(t, ok)
	assert.Positive(t, written.Histogram().DataPoints().At(0).Count())
	failed, ok := m.find(t, "", "system.disk.io.errors")
	require.True(t, ok)
	v, _ := failed.Sum().DataPoints().At(0).Attributes().Get("system.device")
	assert.NotEmpty(t, v.Str())
}

// The process that grows is named, and by how much.
func TestRealGrowth(t *testing.T) {
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	w := workload(t, c, "grow", strconv.Itoa(64*mib))
	require.Eventually(t, func() bool {
		p, ok := m.find(t, "/"+c.Name, "container.memory.process.growth")
		if !ok {
			return false
		}
		at := p.Gauge().DataPoints().At(0)
		pid, _ := at.Attributes().Get("process.pid")
		return pid.Int() == int64(w.Process.Pid) && at.IntValue() > 32*mib
	}, patience, time.Second)
}

// find returns a metric of a cgroup, or of the machine (""), after a new reading.
func (m metrics) find(t *testing.T, cgroup, name string) (pmetric.Metric, bool) {
	t.Helper()
	md, err := m.scraper.scrape(context.Background())
	require.NoError(t, err)
	for _, rm := range md.ResourceMetrics().All() {
		if v, ok := rm.Resource().Attributes().Get("cgroup.path"); ok != (cgroup != "") || ok && v.Str() != cgroup {
			continue
		}
		for _, metric := range rm.ScopeMetrics().At(0).Metrics().All() {
			if metric.Name() == name {
				return metric, true
			}
		}
	}
	return pmetric.Metric{}, false
}
