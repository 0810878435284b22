package systemdreceiver

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

const (
	// again and againAtMost are how long a lost connection waits before the next try.
	again       = time.Second
	againAtMost = time.Minute
	// settled is for how long a unit must be failed to be told of: on its way to a restart it is, for a millisecond.
	settled = 250 * time.Millisecond
	// patience is how long systemd may take to answer one call.
	patience = 25 * time.Second
)

// tracker follows the units of one systemd, by its signals. It connects again when the connection is lost; what happened
// meanwhile is then told by the difference.
type tracker struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	// happened is told what happened to a unit; nil where nobody wants to know. It is called from one goroutine.
	happened func(context.Context, *unit, happening)

	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	bus     *bus  // nil while there is no connection
	failure error // why
	// reloading says that systemd makes all its units anew, which is nothing that happens to them.
	reloading bool
	// listed is the number of the latest list of all units: signals with a smaller one are older.
	listed dbus.Sequence
	// synced says that all units were read before: one that is not known then is new.
	synced bool
	// failing are the units that failed just now, since when; it belongs to the loop, as reloading and listed do.
	failing map[dbus.ObjectPath]time.Time
	units   map[dbus.ObjectPath]*unit
}

// start begins to follow. It does not wait for systemd: an agent outlives its bus.
func (t *tracker) start() {
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.done, t.units = cancel, make(chan struct{}), map[dbus.ObjectPath]*unit{}
	t.failure = errors.New("not connected yet")
	go t.run(ctx)
}

// stop ends following, and waits for it.
func (t *tracker) stop() {
	if t.cancel != nil {
		t.cancel()
		<-t.done
	}
}

func (t *tracker) run(ctx context.Context) {
	defer close(t.done)
	wait, told := again, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := t.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if told != err.Error() {
			told = err.Error()
			t.logger.Warn("cannot follow systemd's units; trying again", zap.Error(err))
		}
		if time.Since(began) > againAtMost {
			wait = again
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, againAtMost)
	}
}

// session follows the units for as long as a connection lasts.
func (t *tracker) session(ctx context.Context) error {
	b, err := connect(ctx, t.cfg.Socket)
	if err != nil {
		t.lost(err)
		return err
	}
	defer func() { _ = b.close() }()
	t.failing = map[dbus.ObjectPath]time.Time{}
	t.telemetry.ReceiverSystemdConnects.Add(ctx, 1)
	if err := t.sync(ctx, b); err != nil {
		t.lost(err)
		return err
	}
	t.mu.Lock()
	t.bus, t.failure = b, nil
	t.mu.Unlock()
	defer func() { t.lost(errors.New("the connection to systemd was lost")) }()
	settling := time.NewTicker(settled)
	defer settling.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-settling.C:
			t.settle(ctx, now)
		case <-b.full:
			t.telemetry.ReceiverSystemdResyncs.Add(ctx, 1)
			if err := t.sync(ctx, b); err != nil {
				return err
			}
		case s, ok := <-b.signals:
			if !ok {
				return errors.New("the connection to systemd was lost")
			}
			if err := t.take(ctx, b, s); err != nil {
				return err
			}
		}
	}
}

// settle tells of the units that failed and did not go on to a restart at once.
func (t *tracker) settle(ctx context.Context, now time.Time) {
	for at, since := range t.failing {
		if now.Sub(since) < settled {
			continue
		}
		delete(t.failing, at)
		t.mu.Lock()
		u := t.units[at]
		t.mu.Unlock()
		if u == nil || u.activeState != "failed" {
			continue
		}
		for _, h := range u.failed() {
			t.happened(ctx, u, h)
		}
	}
}

func (t *tracker) lost(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bus, t.failure = nil, err
}

// sync reads all units, and tells what changed about those that were known.
func (t *tracker) sync(ctx context.Context, b *bus) error {
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for drained := false; !drained; { // what waits is in the answers already
		select {
		case _, ok := <-b.signals:
			drained = !ok
		default:
			drained = true
		}
	}
	all, listed, err := b.list(call)
	if err != nil {
		return err
	}
	// systemd does not answer while it reloads, and what came before the answer is in it: also a Reloading that was dropped.
	t.listed, t.reloading = listed, false
	seen := map[dbus.ObjectPath]bool{}
	for _, l := range all {
		seen[l.Path] = true
		var before *unit
		if t.synced {
			before = fresh() // it was loaded since the last time
		}
		t.adopt(ctx, b, l.Name, l.Path, before)
	}
	t.synced = true
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.units, func(at dbus.ObjectPath, _ *unit) bool { return !seen[at] })
	return nil
}

// adopt reads a unit, and tells what changed since it was read last. before is what one that was not known is compared with;
// nil, and nothing is told of it: it may have been so for long.
func (t *tracker) adopt(ctx context.Context, b *bus, name string, at dbus.ObjectPath, before *unit) {
	if !t.cfg.follows(name) {
		return
	}
	t.mu.Lock()
	known, count := t.units[at], len(t.units)
	t.mu.Unlock()
	if known == nil && count >= t.cfg.MaxUnits {
		t.telemetry.ReceiverSystemdDropped.Add(ctx, 1)
		return
	}
	u := &unit{name: name, path: at}
	if known != nil {
		u.waits, u.mainPID = known.waits, known.mainPID
	}
	// The type's own come first, as in systemd's signals: a new main process, then that the unit waits to be started again.
	for _, face := range []string{face(name), unitFace} {
		call, cancel := context.WithTimeout(ctx, patience)
		props, err := b.all(call, at, face)
		cancel()
		if err != nil {
			return // gone already
		}
		for name, v := range props {
			u.set(name, v)
		}
	}
	if known != nil {
		before = known
	}
	t.put(ctx, at, u, before)
}

// put notes a unit's new state and tells what happened.
func (t *tracker) put(ctx context.Context, at dbus.ObjectPath, u, before *unit) {
	u.told = u.mainExited
	if before != nil {
		u.told, u.said = max(u.mainExited, before.told), before.said
	}
	if u.result == "oom-kill" || u.result == "watchdog" {
		u.said = u.invocation + " " + u.result
	}
	t.mu.Lock()
	t.units[at] = u // from here on it is read by others, and not changed
	t.mu.Unlock()
	if before == nil || t.happened == nil {
		return
	}
	for _, h := range u.since(before) {
		t.happened(ctx, u, h)
	}
	if u.activeState == "failed" && before.activeState != "failed" {
		t.failing[at] = time.Now()
	}
}

// face is the interface that has the properties of a unit's type: org.freedesktop.systemd1.Service for a service.
func face(unit string) string {
	kind := unit[strings.LastIndexByte(unit, '.')+1:]
	if kind == "" {
		return serviceFace
	}
	return destination + "." + strings.ToUpper(kind[:1]) + kind[1:]
}

// take takes a signal in.
func (t *tracker) take(ctx context.Context, b *bus, s *dbus.Signal) error {
	var name string
	var at dbus.ObjectPath
	if s.Sequence < t.listed && s.Name != changedSignal {
		return nil // which units there are was answered since
	}
	switch s.Name {
	case managerFace + ".Reloading":
		if dbus.Store(s.Body, &t.reloading) == nil && !t.reloading {
			return t.sync(ctx, b)
		}
	case managerFace + ".UnitNew":
		if !t.reloading && dbus.Store(s.Body, &name, &at) == nil {
			t.adopt(ctx, b, name, at, fresh())
		}
	case managerFace + ".UnitRemoved":
		if !t.reloading && dbus.Store(s.Body, &name, &at) == nil {
			t.mu.Lock()
			delete(t.units, at)
			t.mu.Unlock()
		}
	case changedSignal:
		var face string
		var changed map[string]dbus.Variant
		var stale []string
		if dbus.Store(s.Body, &face, &changed, &stale) != nil {
			return nil
		}
		t.mu.Lock()
		before := t.units[s.Path]
		t.mu.Unlock()
		if before == nil {
			return nil
		}
		u := *before
		for name, v := range changed {
			u.set(name, v)
		}
		t.put(ctx, s.Path, &u, before)
	}
	return nil
}

// snapshot returns the units, in order of name, and the connection to ask more of them; an error while there is none.
func (t *tracker) snapshot() ([]unit, *bus, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bus == nil {
		return nil, nil, t.failure
	}
	units := make([]unit, 0, len(t.units))
	for _, u := range t.units {
		units = append(units, *u)
	}
	slices.SortFunc(units, func(a, b unit) int { return strings.Compare(a.name, b.name) })
	return units, t.bus, nil
}
