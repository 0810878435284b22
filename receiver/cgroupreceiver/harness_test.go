package cgroupreceiver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

const (
	mib = 1 << 20
	// patience is for how long tests wait for what must happen. Emulated machines are slow.
	patience = 30 * time.Second
	poll     = 5 * time.Millisecond
)

// cgroup is a real cgroup, in every tree of the host.
type cgroup struct {
	h    hierarchy
	path string
}

// realCgroup makes a cgroup for a test, for others below it. It skips the test where that is not possible, or fails it when
// TAPIO_TEST_REAL is set, as in our virtual machines.
func realCgroup(t *testing.T) cgroup {
	t.Helper()
	h, err := openHierarchy("/sys/fs/cgroup")
	if err == nil && h.memory.folder == "" {
		err = errors.New("the memory controller is off")
	}
	c := cgroup{h: h, path: "/tapio-test-" + random(4)}
	if err == nil {
		err = c.make(t)
	}
	if err != nil {
		if os.Getenv("TAPIO_TEST_REAL") != "" {
			t.Fatal(err)
		}
		t.Skipf("this test makes cgroups, which takes root and cgroups at /sys/fs/cgroup: %v", err)
	}
	return c
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func (c cgroup) trees() []string {
	trees := []string{c.h.memory.folder, c.h.cpu.folder, c.h.cpuacct.folder, c.h.pids.folder, c.h.io.folder}
	slices.Sort(trees)
	return slices.DeleteFunc(slices.Compact(trees), func(s string) bool { return s == "" })
}

func (c cgroup) make(t *testing.T) error {
	for _, tree := range c.trees() {
		if err := os.MkdirAll(tree+c.path, 0o755); err != nil {
			return err
		}
	}
	t.Cleanup(func() { c.remove(t) })
	return nil
}

// child makes a cgroup below this one, which gives it all its controllers.
func (c cgroup) child(t *testing.T, name string) cgroup {
	t.Helper()
	child := cgroup{h: c.h, path: path.Join(c.path, name)}
	c.delegate(t)
	require.NoError(t, child.make(t))
	return child
}

// delegate hands the controllers on to the children, as cgroup v2 wants it.
func (c cgroup) delegate(t *testing.T) {
	for _, tree := range c.trees() {
		list, err := os.ReadFile(tree + c.path + "/cgroup.controllers")
		if err != nil {
			continue // v1
		}
		for _, name := range []string{"memory", "cpu", "pids", "io"} {
			if slices.Contains(strings.Fields(string(list)), name) {
				require.NoError(t, os.WriteFile(tree+c.path+"/cgroup.subtree_control", []byte("+"+name), 0))
			}
		}
	}
}

// remove kills what lives in a cgroup and removes it as soon as it can be.
func (c cgroup) remove(t *testing.T) {
	for _, tree := range c.trees() {
		folder := tree + c.path
		require.Eventually(t, func() bool {
			err := syscall.Rmdir(folder)
			if errors.Is(err, syscall.EBUSY) {
				procs, _ := os.ReadFile(folder + "/cgroup.procs")
				for _, pid := range strings.Fields(string(procs)) {
					if n, err := strconv.Atoi(pid); err == nil {
						_ = syscall.Kill(n, syscall.SIGKILL)
					}
				}
			}
			return err == nil || errors.Is(err, syscall.ENOENT)
		}, patience, time.Millisecond, "remove %s", folder)
	}
}

func (c cgroup) enter(t *testing.T, pid int) {
	for _, tree := range c.trees() {
		require.NoError(t, os.WriteFile(tree+c.path+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0))
	}
}

// set writes a file of a controller, which may have another name on v1 (empty: it does not have it).
func (c cgroup) set(t *testing.T, of controller, v2, v1, value string) {
	t.Helper()
	name := v1
	if of.v2 {
		name = v2
	}
	require.NoError(t, os.WriteFile(of.of(c.path)+"/"+name, []byte(value), 0))
}

func (c cgroup) limit(t *testing.T, bytes int) {
	c.set(t, c.h.memory, "memory.max", "memory.limit_in_bytes", strconv.Itoa(bytes))
	// Or it would swap where there is swap. (Not memory.memsw.limit_in_bytes: recent kernels do not count who hits that.)
	for _, name := range []string{"memory.swap.max", "memory.swappiness"} {
		if f := c.h.memory.of(c.path) + "/" + name; exists(f) {
			require.NoError(t, os.WriteFile(f, []byte("0"), 0))
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// below is a configuration that reads a cgroup and those below it.
func (c cgroup) below() *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Roots = []string{c.path}
	return cfg
}

// settings are those of a receiver whose own telemetry can be looked at.
func settings(t *testing.T) (receiver.Settings, *componenttest.Telemetry) {
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	return set, tel
}

// openEvents opens an events receiver whose loop does not run: the test scans.
func openEvents(t *testing.T, cfg *Config) (*eventsReceiver, *consumertest.LogsSink) {
	t.Helper()
	set, _ := settings(t)
	sink := new(consumertest.LogsSink)
	receiver, err := NewFactory().CreateLogs(t.Context(), set, cfg, sink)
	require.NoError(t, err)
	r := receiver.(*eventsReceiver)
	require.NoError(t, r.open())
	t.Cleanup(func() { require.NoError(t, r.close()) })
	return r, sink
}

// counted is what a counter of the receiver's own telemetry shows.
func counted(tel *componenttest.Telemetry, name string) int64 {
	m, err := tel.GetMetric("otelcol_" + name)
	if err != nil {
		return 0 // nothing was counted yet
	}
	var n int64
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		n += p.Value
	}
	return n
}

// startScraper starts the metrics half of the receiver, to be scraped by hand.
func startScraper(t testing.TB, cfg *Config, set receiver.Settings) *metricsScraper {
	t.Helper()
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	require.NoError(t, err)
	s := &metricsScraper{cfg: cfg, set: set, telemetry: telemetry}
	require.NoError(t, s.start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, s.shutdown(context.Background())) })
	return s
}

func scrape(t testing.TB, s *metricsScraper) pmetric.Metrics {
	t.Helper()
	md, err := s.scrape(context.Background())
	require.NoError(t, err)
	return md
}

// point finds the data point of a cgroup's metric that has these attribute values.
func point(md pmetric.Metrics, cgroup, name string, values ...string) (pmetric.NumberDataPoint, bool) {
	for _, rm := range md.ResourceMetrics().All() {
		if v, ok := rm.Resource().Attributes().Get("cgroup.path"); !ok || v.Str() != cgroup {
			continue
		}
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if m.Name() != name {
					continue
				}
				points := m.Gauge().DataPoints
				if m.Type() == pmetric.MetricTypeSum {
					points = m.Sum().DataPoints
				}
				for _, p := range points().All() {
					if hasAll(p.Attributes(), values) {
						return p, true
					}
				}
			}
		}
	}
	return pmetric.NumberDataPoint{}, false
}

func hasAll(attrs pcommon.Map, values []string) bool {
	return !slices.ContainsFunc(values, func(want string) bool {
		for _, v := range attrs.All() {
			if v.AsString() == want {
				return false
			}
		}
		return true
	})
}

// value is what a cgroup's metric shows.
func value(t *testing.T, md pmetric.Metrics, cgroup, name string, values ...string) float64 {
	t.Helper()
	p, ok := point(md, cgroup, name, values...)
	require.True(t, ok, "%s has no %s %v", cgroup, name, values)
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(p.IntValue())
	}
	return p.DoubleValue()
}

// startEvents starts the logs half of the receiver and waits until it watches.
func startEvents(t *testing.T, cfg *Config, set receiver.Settings, through ...func(consumer.Logs) consumer.Logs) *consumertest.LogsSink {
	t.Helper()
	_, sink := startReceiver(t, cfg, set, through...)
	return sink
}

// startReceiver is startEvents for tests that look into the receiver.
func startReceiver(t *testing.T, cfg *Config, set receiver.Settings, through ...func(consumer.Logs) consumer.Logs) (*eventsReceiver, *consumertest.LogsSink) {
	t.Helper()
	sink := new(consumertest.LogsSink)
	var next consumer.Logs = sink
	for _, wrap := range through {
		next = wrap(next)
	}
	r, err := NewFactory().CreateLogs(context.Background(), set, cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	// It is at work once it tells of a cgroup's end.
	probe := filepath.Join(r.(*eventsReceiver).h.memory.of(cfg.Roots[0]), "probe")
	require.Eventually(t, func() bool {
		require.NoError(t, os.Mkdir(probe, 0o755))
		time.Sleep(20 * time.Millisecond)
		require.NoError(t, syscall.Rmdir(probe))
		time.Sleep(20 * time.Millisecond)
		return len(events(sink, eventRemoved)) > 0
	}, patience, time.Millisecond)
	return r.(*eventsReceiver), sink
}

// event is what the tests look at of a log event.
type event struct {
	cgroup, containerID string
	count               int64
}

// events are those of a name, in order.
func events(sink *consumertest.LogsSink, name string) []event {
	var all []event
	for _, ld := range sink.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, rec := range sl.LogRecords().All() {
					if rec.EventName() != name {
						continue
					}
					var e event
					if v, ok := rl.Resource().Attributes().Get("cgroup.path"); ok {
						e.cgroup = v.Str()
					}
					if v, ok := rl.Resource().Attributes().Get("container.id"); ok {
						e.containerID = v.Str()
					}
					if v, ok := rec.Attributes().Get(attrEventCount); ok {
						e.count = v.Int()
					}
					all = append(all, e)
				}
			}
		}
	}
	return all
}

// await waits for a number of events of a name.
func await(t *testing.T, sink *consumertest.LogsSink, name string, n int) []event {
	t.Helper()
	require.Eventually(t, func() bool { return len(events(sink, name)) >= n }, patience, poll,
		"%d events %s, got %v", n, name, events(sink, name))
	return events(sink, name)
}
