package correlationprocessor

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
	"github.com/your-org/tapio/processor/correlationprocessor/internal/metadata"
)

var storageID = component.MustNewID("file_storage")

// host has the extensions that tests give it.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// sink is the next component. answer says what it returns; before it does, it may look at the world.
type sink struct {
	mu      sync.Mutex
	logs    []plog.Logs
	metrics []pmetric.Metrics
	calls   int
	answer  func(call int, found []finding.Finding) error
}

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (s *sink) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := findings(ld); s.answer != nil && len(found) > 0 {
		s.calls++
		if err := s.answer(s.calls, found); err != nil {
			return err
		}
	}
	s.logs = append(s.logs, ld)
	return nil
}

func (s *sink) ConsumeMetrics(_ context.Context, md pmetric.Metrics) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics = append(s.metrics, md)
	return nil
}

// found returns the findings so far, the latest telling of each.
func (s *sink) found() map[string]finding.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]finding.Finding{}
	for _, ld := range s.logs {
		for _, f := range findings(ld) {
			found[f.Pattern] = f
		}
	}
	return found
}

func (s *sink) count() (logs, metrics, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.logs), len(s.metrics), s.calls
}

// named returns the last metric of a name, and how many of it there were.
func (s *sink) named(name string) (last pmetric.Metric, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, md := range s.metrics {
		for _, rm := range md.ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				for _, m := range sm.Metrics().All() {
					if m.Name() == name {
						last = m
						n++
					}
				}
			}
		}
	}
	return last, n
}

func findings(ld plog.Logs) []finding.Finding {
	var fs []finding.Finding
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, rec := range sl.LogRecords().All() {
				if f, err := findinglog.ParseFinding(rl.Resource(), rec); err == nil {
					fs = append(fs, f)
				}
			}
		}
	}
	return fs
}

// rig is one id of the processor with its instances, as the collector would make them.
type rig struct {
	t       testing.TB
	factory processor.Factory
	cfg     *Config
	host    host
	set     processor.Settings
	logged  *observer.ObservedLogs
	tel     *componenttest.Telemetry
}

func newRig(t testing.TB, change func(*Config)) *rig {
	f := NewFactory()
	cfg := f.CreateDefaultConfig().(*Config)
	cfg.Interval, cfg.Node = 100*time.Millisecond, "n1"
	if change != nil {
		change(cfg)
	}
	require.NoError(t, cfg.Validate())
	core, logged := observer.New(zap.InfoLevel)
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := processortest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.Logger = zap.New(core)
	return &rig{t: t, factory: f, cfg: cfg, host: host{}, set: set, logged: logged, tel: tel}
}

func (r *rig) start(c component.Component, err error) {
	require.NoError(r.t, err)
	require.NoError(r.t, c.Start(context.Background(), r.host))
}

func (r *rig) logs(next consumer.Logs) processor.Logs {
	c, err := r.factory.CreateLogs(context.Background(), r.set, r.cfg, next)
	r.start(c, err)
	return c
}

func (r *rig) metrics(next consumer.Metrics) processor.Metrics {
	c, err := r.factory.CreateMetrics(context.Background(), r.set, r.cfg, next)
	r.start(c, err)
	return c
}

func (r *rig) stop(all ...component.Component) {
	for _, c := range all {
		require.NoError(r.t, c.Shutdown(context.Background()))
	}
}

// storage adds the real file storage extension over a folder; the caller shuts it down.
func (r *rig) storage(folder string) component.Component {
	f := filestorage.NewFactory()
	cfg := f.CreateDefaultConfig().(*filestorage.Config)
	cfg.Directory = folder
	require.NoError(r.t, cfg.Validate())
	var ext extension.Extension
	ext, err := f.Create(context.Background(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(r.t, err)
	require.NoError(r.t, ext.Start(context.Background(), componenttest.NewNopHost()))
	r.host[storageID] = ext
	return ext
}

func stored(cfg *Config) { cfg.Storage = &storageID }

// killed is what the cgroup receiver says when the kernel kills.
func killed(cgroup string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("cgroup.path", cgroup)
	rec := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	rec.SetEventName("cgroup.memory.oom_kill")
	rec.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	rec.Attributes().PutInt("memory.event.count", 1)
	return ld
}

// memory is a reading of the cgroup receiver.
func memory(cgroup string, at time.Time, anon, limit float64) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("cgroup.path", cgroup)
	sm := rm.ScopeMetrics().AppendEmpty()
	for name, v := range map[string]float64{"container.memory.anon": anon, "container.memory.limit": limit} {
		m := sm.Metrics().AppendEmpty()
		m.SetName(name)
		p := m.SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetDoubleValue(v)
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	}
	return md
}

// leak feeds seven minutes of a leak, one reading a second, that end now: 28 s are left.
func leak(t testing.TB, m processor.Metrics, cgroup string) {
	const mi = 1 << 20
	for i := range 420 {
		at := time.Now().Add(time.Duration(i-420) * time.Second)
		require.NoError(t, m.ConsumeMetrics(context.Background(), memory(cgroup, at, float64(i+64)*mi, 512*mi)))
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 20*time.Second, 10*time.Millisecond, what)
}

func sum(m metricdata.Metrics) int64 {
	var n int64
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		n += p.Value
	}
	return n
}
