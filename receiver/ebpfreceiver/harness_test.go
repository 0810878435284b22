//go:build linux

package ebpfreceiver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadatatest"
	"github.com/your-org/tapio/test/harness"
)

const (
	mib = 1 << 20
	// patience is for how long tests wait for what must happen. Emulated machines are slow.
	patience = 30 * time.Second
	poll     = 5 * time.Millisecond
)

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// realCgroup makes a memory cgroup that looks like a container's. It skips the test where that is not possible, or fails it when
// TAPIO_TEST_REAL is set, as in our virtual machines.
func realCgroup(t *testing.T, limit int64) (c *harness.Cgroup, containerID string) {
	t.Helper()
	containerID = random(32)
	c, err := harness.NewCgroup("docker-"+containerID+".scope", limit)
	if err != nil {
		if os.Getenv("TAPIO_TEST_REAL") != "" {
			t.Fatal(err)
		}
		t.Skipf("this test makes cgroups: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, c.Remove()) })
	return c, containerID
}

// events is what a receiver tells.
type events struct{ consumertest.LogsSink }

// startEvents starts the logs half of the receiver and waits until it says that all its probes are at work. It skips the test
// where they cannot be, as realCgroup does.
func startEvents(t *testing.T, cfg *Config) *events {
	t.Helper()
	sink := new(events)
	r, err := NewFactory().CreateLogs(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	require.Eventually(t, func() bool { return len(sink.named(coveragelog.EventName)) > 0 }, patience, poll)
	for _, e := range sink.named(coveragelog.EventName) {
		part, ok := coveragelog.Read(e.record)
		require.True(t, ok)
		if part.State != finding.CoverageOK {
			if os.Getenv("TAPIO_TEST_REAL") != "" || os.Getuid() == 0 {
				t.Fatalf("%s: %s", part.Name, part.Reason)
			}
			t.Skipf("%s: %s", part.Name, part.Reason)
		}
	}
	return sink
}

// event is a log event with what it is about.
type event struct {
	resource map[string]any
	record   plog.LogRecord
}

func (e event) attribute(name string) pcommon.Value {
	v, _ := e.record.Attributes().Get(name)
	return v
}

// named are the events of a name, in order.
func (s *events) named(name string) []event {
	var all []event
	for _, ld := range s.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, r := range sl.LogRecords().All() {
					if r.EventName() == name {
						all = append(all, event{rl.Resource().Attributes().AsRaw(), r})
					}
				}
			}
		}
	}
	return all
}

// count is how many events of a name a container has; there are others on this machine.
func (s *events) count(name, containerID string) int {
	n := 0
	for _, e := range s.named(name) {
		if e.resource["container.id"] == containerID {
			n++
		}
	}
	return n
}

// await waits for an event of a name that is about a process.
func (s *events) await(t *testing.T, name string, pid int) event {
	t.Helper()
	var found event
	require.Eventually(t, func() bool {
		for _, e := range s.named(name) {
			if v, ok := e.record.Attributes().Get("process.pid"); ok && v.Int() == int64(pid) {
				found = e
				return true
			}
		}
		return false
	}, patience, poll, "an event %s about pid %d; got %d others", name, pid, len(s.named(name)))
	return found
}

// metrics is the metrics half of the receiver, scraped by hand.
type metrics struct {
	scraper   *metricsScraper
	telemetry *componenttest.Telemetry
}

func startMetrics(t *testing.T, cfg *Config) metrics {
	t.Helper()
	telemetry := componenttest.NewTelemetry()
	set := metadatatest.NewSettings(telemetry)
	p, err := newProbes(set, cfg)
	require.NoError(t, err)
	p.ended = func() {}
	s := newMetricsScraper(p, set)
	require.NoError(t, s.start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, s.shutdown(context.Background())) })
	return metrics{s, telemetry}
}

// of are the sums of a cgroup, or of the machine (""), by the metric's name and the values of its attributes.
func (m metrics) of(t *testing.T, cgroup string) map[string]int64 {
	t.Helper()
	md, err := m.scraper.scrape(context.Background())
	require.NoError(t, err)
	all := map[string]int64{}
	for _, rm := range md.ResourceMetrics().All() {
		if v, ok := rm.Resource().Attributes().Get("cgroup.path"); ok != (cgroup != "") || ok && v.Str() != cgroup {
			continue
		}
		for _, sm := range rm.ScopeMetrics().All() {
			for _, metric := range sm.Metrics().All() {
				if metric.Type() != pmetric.MetricTypeSum {
					continue
				}
				for _, p := range metric.Sum().DataPoints().All() {
					name := metric.Name()
					for _, v := range p.Attributes().All() {
						name += " " + v.AsString()
					}
					all[name] = p.IntValue()
				}
			}
		}
	}
	return all
}

// histogram is how much a cgroup's histogram has counted.
func (m metrics) histogram(t *testing.T, cgroup, name string) uint64 {
	t.Helper()
	md, err := m.scraper.scrape(context.Background())
	require.NoError(t, err)
	for _, rm := range md.ResourceMetrics().All() {
		if v, ok := rm.Resource().Attributes().Get("cgroup.path"); !ok || v.Str() != cgroup {
			continue
		}
		for _, metric := range rm.ScopeMetrics().At(0).Metrics().All() {
			if metric.Name() == name {
				return metric.Histogram().DataPoints().At(0).Count()
			}
		}
	}
	return 0
}

// lost is how much a group of probes says that it has not counted.
func (m metrics) lost(t *testing.T, group string) int64 {
	t.Helper()
	n, err := m.scraper.probes.attached[group].lost()
	require.NoError(t, err)
	return n
}

// await waits until a cgroup's sums have all of these values.
func (m metrics) await(t *testing.T, cgroup string, want map[string]int64) {
	t.Helper()
	has := func(got map[string]int64) bool {
		for name, n := range want {
			if v, ok := got[name]; !ok || v != n {
				return false
			}
		}
		return true
	}
	got, late := m.of(t, cgroup), time.Now().Add(patience)
	for !has(got) && time.Now().Before(late) { // not by Eventually, which would leave a scrape running
		time.Sleep(200 * time.Millisecond)
		got = m.of(t, cgroup)
	}
	for name, n := range want {
		assert.Equal(t, n, got[name], "%s, of %v", name, got)
	}
}
