package systemdreceiver

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

const (
	waitAtMost = 15 * time.Second
	pause      = 20 * time.Millisecond
)

// The tests on a real systemd run where one is PID 1; test/systemd/run.sh boots one and runs them in it.
func real(t *testing.T) {
	if init, err := os.ReadFile("/proc/1/comm"); err != nil || strings.TrimSpace(string(init)) != "systemd" || os.Geteuid() != 0 {
		if os.Getenv("TAPIO_TEST_REAL") != "" {
			t.Fatal("systemd is not PID 1 here, or this is not root")
		}
		t.Skip("needs root and systemd as PID 1: test/systemd/run.sh runs it in one")
	}
}

const busSocket = "/run/dbus/system_bus_socket"

// follow starts the events half and waits until it follows.
func follow(t *testing.T, socket string) *consumertest.LogsSink {
	cfg := createDefaultConfig().(*Config)
	cfg.Socket = socket
	sink := &consumertest.LogsSink{}
	r, err := NewFactory().CreateLogs(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	ready(t, r.(*eventsReceiver).tracker)
	return sink
}

func ready(t *testing.T, tr *tracker) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(waitAtMost); time.Now().Before(deadline); time.Sleep(pause) {
		if _, _, err = tr.snapshot(); err == nil {
			return
		}
	}
	require.NoError(t, err)
}

// events are those of a unit so far, as text, and their attributes.
func events(sink *consumertest.LogsSink, unit string) (all []string, attributes []pcommon.Map) {
	for _, ld := range sink.AllLogs() {
		rl := ld.ResourceLogs().At(0)
		if name, _ := rl.Resource().Attributes().Get("systemd.unit"); name.Str() == unit {
			rec := rl.ScopeLogs().At(0).LogRecords().At(0)
			all, attributes = append(all, rec.EventName()), append(attributes, rec.Attributes())
		}
	}
	return all, attributes
}

func await(t *testing.T, sink *consumertest.LogsSink, unit, event string) {
	t.Helper()
	require.Eventually(t, func() bool { all, _ := events(sink, unit); return slices.Contains(all, event) }, waitAtMost, pause, "%s of %s", event, unit)
}

// run runs a command under a transient service; it fails or not, as the service does.
func run(t *testing.T, unit string, args ...string) {
	t.Helper()
	out, err := exec.Command("systemd-run", append([]string{"--no-block", "--unit=" + unit}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		_ = exec.Command("systemctl", "stop", unit).Run()
		_ = exec.Command("systemctl", "reset-failed", unit).Run()
	})
}

func unitName(t *testing.T) string {
	return fmt.Sprintf("tapio-test-%d.service", time.Now().UnixNano())
}

// A service that fails at once is started again, as often as the start limit allows.
func TestRealCrashLoop(t *testing.T) {
	real(t)
	sink, unit := follow(t, busSocket), unitName(t)
	run(t, unit, "-p", "Restart=always", "-p", "RestartSec=200ms", "-p", "StartLimitBurst=3", "-p", "StartLimitIntervalSec=60", "sh", "-c", "sleep .1; exit 3")
	await(t, sink, unit, eventFailed)
	all, attrs := events(sink, unit)
	var exits, restarts int
	for i, event := range all {
		switch event {
		case eventExited:
			exits++
			status, _ := attrs[i].Get(attrStatus)
			code, _ := attrs[i].Get(attrCode)
			pid, _ := attrs[i].Get(attrPID)
			assert.Equal(t, int64(3), status.Int())
			assert.Equal(t, "exited", code.Str())
			assert.Positive(t, pid.Int())
		case eventRestarted:
			restarts++
			n, _ := attrs[i].Get(attrRestarts)
			assert.Equal(t, int64(restarts), n.Int())
		}
	}
	assert.Equal(t, 3, exits, all)
	assert.Equal(t, 3, restarts, all)
	assert.Equal(t, []string{eventStartLimit, eventFailed}, all[len(all)-2:])
}

func TestRealSignals(t *testing.T) {
	real(t)
	for signal, want := range map[string]string{"KILL": "KILL", "TERM": "", "SEGV": "SEGV"} {
		t.Run(signal, func(t *testing.T) {
			sink, unit := follow(t, busSocket), unitName(t)
			run(t, unit, "sh", "-c", "sleep .1; kill -"+signal+" $$$$")
			if want == "" { // systemd takes SIGTERM for a clean end
				require.Eventually(t, func() bool {
					out, _ := exec.Command("systemctl", "is-active", unit).Output()
					return strings.TrimSpace(string(out)) == "inactive"
				}, waitAtMost, pause)
				all, _ := events(sink, unit)
				assert.NotContains(t, all, eventFailed)
				return
			}
			await(t, sink, unit, eventFailed)
			all, attrs := events(sink, unit)
			require.Equal(t, []string{eventExited, eventFailed}, all)
			name, _ := attrs[0].Get(attrName)
			assert.Equal(t, want, name.Str())
		})
	}
}

func TestRealWatchdog(t *testing.T) {
	real(t)
	sink, unit := follow(t, busSocket), unitName(t)
	run(t, unit, "-p", "WatchdogSec=1", "sleep", "60")
	await(t, sink, unit, eventWatchdog)
	await(t, sink, unit, eventFailed)
	all, attrs := events(sink, unit)
	result, _ := attrs[slices.Index(all, eventFailed)].Get(attrResult)
	assert.Equal(t, "watchdog", result.Str())
}

// A unit that ends as it should, a restart that somebody asks for, and systemd reading its files anew are no news.
func TestRealSilence(t *testing.T) {
	real(t)
	unit := unitName(t)
	run(t, unit, "sleep", "600")
	sink := follow(t, busSocket)
	for _, args := range [][]string{{"daemon-reload"}, {"restart", unit}, {"daemon-reload"}, {"stop", unit}} {
		out, err := exec.Command("systemctl", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	// What comes after it shows that all before was taken in.
	last := unitName(t)
	run(t, last, "false")
	await(t, sink, last, eventFailed)
	all, _ := events(sink, unit)
	for _, event := range all {
		assert.Equal(t, eventExited, event, "only that a signal ended it") // the SIGTERM of a stop
	}
	for _, ld := range sink.AllLogs() {
		name, _ := ld.ResourceLogs().At(0).Resource().Attributes().Get("systemd.unit")
		assert.Contains(t, []string{unit, last}, name.Str())
	}
}

// The connection is cut while a service fails. It is made again, and what was missed is told.
func TestRealLostConnection(t *testing.T) {
	real(t)
	p := newProxy(t, busSocket)
	sink, unit := follow(t, p.path), unitName(t)
	run(t, unit, "-p", "Restart=always", "-p", "RestartSec=2", "sh", "-c", "sleep 1; exit 3")
	await(t, sink, unit, eventRestarted)
	p.cut(true)
	require.Eventually(t, func() bool {
		out, _ := exec.Command("systemctl", "show", "-P", "NRestarts", unit).Output()
		return strings.TrimSpace(string(out)) >= "2"
	}, waitAtMost, pause)
	p.cut(false)
	require.Eventually(t, func() bool {
		_, attrs := events(sink, unit)
		for _, a := range attrs {
			if n, ok := a.Get(attrRestarts); ok && n.Int() == 2 {
				return true
			}
		}
		return false
	}, waitAtMost, pause)
}

func TestRealMetrics(t *testing.T) {
	real(t)
	failing, running := unitName(t), unitName(t)
	run(t, failing, "false")
	run(t, running, "-p", "TasksMax=77", "sleep", "600")
	cfg := createDefaultConfig().(*Config)
	cfg.CollectionInterval, cfg.InitialDelay = 200*time.Millisecond, 0
	sink := &consumertest.MetricsSink{}
	r, err := NewFactory().CreateMetrics(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	value := func(unit, metric, attribute, want string) func() bool {
		return func() bool {
			all := sink.AllMetrics()
			if len(all) == 0 {
				return false
			}
			for _, rm := range all[len(all)-1].ResourceMetrics().All() {
				if name, _ := rm.Resource().Attributes().Get("systemd.unit"); name.Str() != unit {
					continue
				}
				for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
					if m.Name() != metric {
						continue
					}
					points := m.Gauge().DataPoints
					if m.Type() == pmetric.MetricTypeSum {
						points = m.Sum().DataPoints
					}
					p := points().At(0)
					got := fmt.Sprint(p.IntValue())
					if a, ok := p.Attributes().Get(attribute); ok {
						got += a.AsString()
					}
					return got == want
				}
			}
			return false
		}
	}
	require.Eventually(t, value(failing, "systemd.unit.failed", attrResult, "1exit-code"), waitAtMost, pause)
	require.Eventually(t, value(failing, "systemd.unit.state", "systemd.unit.active_state", "1failed"), waitAtMost, pause)
	require.Eventually(t, value(running, "systemd.unit.failed", attrResult, "0success"), waitAtMost, pause)
	require.Eventually(t, value(running, "systemd.service.restarts", "", "0"), waitAtMost, pause)
	require.Eventually(t, value(running, "systemd.unit.tasks.limit", "", "77"), waitAtMost, pause)
}

// proxy stands between the receiver and the bus, and can cut the wire.
type proxy struct {
	path, to string
	mu       sync.Mutex
	down     bool
	conns    []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	p := &proxy{path: filepath.Join(t.TempDir(), "bus"), to: to}
	l, err := net.Listen("unix", p.path)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", p.to)
			p.mu.Lock()
			if err != nil || p.down {
				_ = in.Close()
				if err == nil {
					_ = out.Close()
				}
			} else {
				p.conns = append(p.conns, in, out)
				wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
				wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
			}
			p.mu.Unlock()
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.cut(true); wg.Wait() })
	return p
}

func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
