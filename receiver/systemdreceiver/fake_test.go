package systemdreceiver

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

// fakeBus speaks the protocol of the bus and answers for systemd, so that a test says what comes before what.
type fakeBus struct {
	socket string

	mu    sync.Mutex
	conn  net.Conn
	units map[string]faces
	first []signal // what comes before the next answer to ListUnits
}

// faces are a unit's properties, by interface and name.
type faces map[string]map[string]any

func newFakeBus(t *testing.T) *fakeBus {
	f := &fakeBus{socket: filepath.Join(t.TempDir(), "bus"), units: map[string]faces{}}
	l, err := net.Listen("unix", f.socket)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		if conn, err := l.Accept(); err == nil {
			f.mu.Lock()
			f.conn = conn
			f.mu.Unlock()
			f.serve(conn)
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return f
}

// serve answers until the connection ends.
func (f *fakeBus) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "ERROR"
		switch line = strings.Trim(line, "\x00\r\n"); {
		case line == "AUTH":
			answer = "REJECTED EXTERNAL"
		case strings.HasPrefix(line, "AUTH EXTERNAL"):
			answer = "OK 0123456789abcdef0123456789abcdef"
		}
		if line == "BEGIN" {
			break
		}
		_, _ = conn.Write([]byte(answer + "\r\n"))
	}
	for {
		msg, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		first, body := f.answer(msg)
		f.emit(first...)
		f.send(dbus.TypeMethodReply, map[dbus.HeaderField]any{dbus.FieldReplySerial: msg.Serial()}, body...)
	}
}

// answer is the answer to a call, and the signals that come before it.
func (f *fakeBus) answer(call *dbus.Message) (first []signal, body []any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch call.Headers[dbus.FieldMember].Value().(string) {
	case "Hello":
		body = []any{":1.1"}
	case "ListUnits":
		var all []listed
		for name := range f.units {
			all = append(all, listed{Name: name, Path: at(name), JobPath: "/"})
		}
		first, body = f.first, []any{all}
		f.first = nil
	case "GetAll":
		path, props := call.Headers[dbus.FieldPath].Value().(dbus.ObjectPath), map[string]dbus.Variant{}
		for name, u := range f.units {
			if at(name) == path {
				props = variants(u[call.Body[0].(string)])
			}
		}
		body = []any{props}
	}
	return first, body
}

// have gives systemd a unit.
func (f *fakeBus) have(unit string, props faces) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.units[unit] = props
}

// beforeList has signals come before the next answer to ListUnits.
func (f *fakeBus) beforeList(signals ...signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = signals
}

func (f *fakeBus) send(kind dbus.Type, headers map[dbus.HeaderField]any, body ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	msg := dbus.Message{Type: kind, Headers: map[dbus.HeaderField]dbus.Variant{}, Body: body}
	if len(body) > 0 {
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	for field, v := range headers {
		msg.Headers[field] = dbus.MakeVariant(v)
	}
	_ = msg.EncodeTo(f.conn, binary.LittleEndian) // an error ends what waits for it
}

// at is the path of a unit.
func at(unit string) dbus.ObjectPath {
	return unitsPath + "/" + dbus.ObjectPath(strings.NewReplacer(".", "_2e").Replace(unit))
}

func variants(props map[string]any) map[string]dbus.Variant {
	all := map[string]dbus.Variant{}
	for name, v := range props {
		all[name] = dbus.MakeVariant(v)
	}
	return all
}

// signal is one that systemd sends.
type signal struct {
	path         dbus.ObjectPath
	face, member string
	body         []any
}

func reloading(is bool) signal { return signal{managerPath, managerFace, "Reloading", []any{is}} }
func removed(unit string) signal {
	return signal{managerPath, managerFace, "UnitRemoved", []any{unit, at(unit)}}
}
func loaded(unit string) signal {
	return signal{managerPath, managerFace, "UnitNew", []any{unit, at(unit)}}
}
func changed(unit, face string, props map[string]any) signal {
	return signal{at(unit), propertyFace, "PropertiesChanged", []any{face, variants(props), []string{}}}
}

func (f *fakeBus) emit(signals ...signal) {
	for _, s := range signals {
		f.send(dbus.TypeSignal, map[dbus.HeaderField]any{dbus.FieldPath: s.path, dbus.FieldInterface: s.face, dbus.FieldMember: s.member}, s.body...)
	}
}

// fakeTracker is a tracker that is connected to a fake bus, knows its units, and does what a test has it do.
type fakeTracker struct {
	*tracker
	bus  *bus
	told []string
}

func newFakeTracker(t *testing.T, f *fakeBus) *fakeTracker {
	telemetry, err := metadata.NewTelemetryBuilder(componenttest.NewNopTelemetrySettings())
	require.NoError(t, err)
	ft := &fakeTracker{tracker: &tracker{cfg: createDefaultConfig().(*Config), logger: zap.NewNop(), telemetry: telemetry,
		units: map[dbus.ObjectPath]*unit{}, failing: map[dbus.ObjectPath]time.Time{}}}
	ft.happened = func(_ context.Context, u *unit, h happening) { ft.told = append(ft.told, u.name+" "+h.event) }
	ft.bus, err = connect(t.Context(), f.socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ft.bus.close() })
	require.NoError(t, ft.sync(t.Context(), ft.bus))
	return ft
}

// await waits until a number of signals wait.
func (ft *fakeTracker) await(t *testing.T, n int) {
	require.Eventually(t, func() bool { return len(ft.bus.signals) >= n }, waitAtMost, time.Millisecond)
}

// takeAll takes in the signals that wait.
func (ft *fakeTracker) takeAll(t *testing.T) {
	for len(ft.bus.signals) > 0 {
		require.NoError(t, ft.take(t.Context(), ft.bus, <-ft.bus.signals))
	}
}

// crashed is a service that was started again three times.
func crashed() faces {
	return faces{
		unitFace: {"ActiveState": "active", "SubState": "running"},
		serviceFace: {"Result": "success", "NRestarts": uint32(3), "ExecMainPID": uint32(812), "ExecMainCode": int32(1), "ExecMainStatus": int32(3),
			"ExecMainExitTimestamp": uint64(1795490260123456)},
	}
}

// systemd makes all its units anew when it reloads. That is nothing that happens to them, however its signals fall together with a
// look at all units.
func TestReloads(t *testing.T) {
	const a, b = "a.service", "b.service"
	anew := []signal{removed(a), loaded(a)}
	story := []string{a + " " + eventExited, a + " " + eventRestarted, a + " " + eventRestarted, a + " " + eventRestarted}
	for name, c := range map[string]struct {
		before                 []signal // taken in
		waiting, during, after []signal // before the look, before the answer to it, and after it
		told                   []string
		knows                  []string
	}{
		"a unit is unloaded and loaded again": {after: anew, told: story, knows: []string{a}},
		"one reload":                          {before: append(append([]signal{reloading(true)}, anew...), reloading(false)), knows: []string{a}},
		"a reload begins before the look":     {waiting: []signal{reloading(true)}, during: anew, after: []signal{reloading(false)}, knows: []string{a}},
		"all of a reload is before the look":  {waiting: append(append([]signal{reloading(true)}, anew...), reloading(false)), after: anew, told: story, knows: []string{a}},
		"a reload begins during the look":     {during: append([]signal{reloading(true)}, anew...), after: append(anew[1:], reloading(false)), knows: []string{a}},
		"a reload begins after the look":      {after: append(append([]signal{reloading(true)}, anew...), reloading(false)), knows: []string{a}},
		"the end of a reload was dropped": {before: []signal{reloading(true)}, after: []signal{loaded(b)}, told: []string{b + " " + eventFailed},
			knows: []string{a, b}},
		"the beginning of a reload was dropped": {waiting: anew, during: anew, after: []signal{reloading(false)}, knows: []string{a}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeBus(t)
			f.have(a, crashed())
			ft := newFakeTracker(t, f)
			f.emit(c.before...)
			ft.await(t, len(c.before))
			ft.takeAll(t)
			f.emit(c.waiting...)
			ft.await(t, len(c.waiting))
			f.beforeList(c.during...)
			require.NoError(t, ft.sync(t.Context(), ft.bus))
			if slices.Contains(c.knows, b) {
				f.have(b, faces{unitFace: {"ActiveState": "failed"}, serviceFace: {"Result": "exit-code"}})
			}
			waiting := len(ft.bus.signals)
			f.emit(c.after...)
			ft.await(t, waiting+len(c.after))
			ft.takeAll(t)
			ft.settle(t.Context(), time.Now().Add(settled))
			assert.Equal(t, c.told, ft.told)
			var knows []string
			for _, u := range ft.units {
				knows = append(knows, u.name)
			}
			assert.ElementsMatch(t, c.knows, knows)
		})
	}
}

// A unit that waited for its restart when it was read, and is failed then, was given up at its start limit.
func TestStartLimitAfterTheUnitWasRead(t *testing.T) {
	const a = "a.service"
	f := newFakeBus(t)
	u := crashed()
	u[unitFace] = map[string]any{"ActiveState": "activating", "SubState": "auto-restart"}
	u[serviceFace]["Result"] = "exit-code"
	f.have(a, u)
	ft := newFakeTracker(t, f)
	f.emit(changed(a, unitFace, map[string]any{"ActiveState": "failed", "SubState": "failed"}))
	ft.await(t, 1)
	ft.takeAll(t)
	ft.settle(t.Context(), time.Now().Add(settled))
	assert.Equal(t, []string{a + " " + eventStartLimit, a + " " + eventFailed}, ft.told)
}
