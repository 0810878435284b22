package systemdreceiver

import (
	"context"
	"fmt"
	"sync"

	"github.com/godbus/dbus/v5"
)

const (
	destination   = "org.freedesktop.systemd1"
	managerPath   = dbus.ObjectPath("/org/freedesktop/systemd1")
	unitsPath     = dbus.ObjectPath("/org/freedesktop/systemd1/unit")
	managerFace   = destination + ".Manager"
	unitFace      = destination + ".Unit"
	serviceFace   = destination + ".Service"
	propertyFace  = "org.freedesktop.DBus.Properties"
	changedSignal = propertyFace + ".PropertiesChanged"
)

// maxSignals bounds the signals that wait to be taken in. systemd sends some ten for each start of a unit.
const maxSignals = 4096

// bus is a connection to systemd.
type bus struct {
	conn    *dbus.Conn
	manager dbus.BusObject
	// signals is closed when the connection is lost.
	signals chan *dbus.Signal
	// full has one element when signals were dropped.
	full chan struct{}
}

// connect connects to systemd at a socket and asks it for signals.
func connect(ctx context.Context, socket string) (*bus, error) {
	b := &bus{signals: make(chan *dbus.Signal, maxSignals), full: make(chan struct{}, 1)}
	conn, err := dbus.Dial("unix:path="+socket, dbus.WithContext(ctx), dbus.WithSignalHandler(&handler{b: b}))
	if err != nil {
		return nil, fmt.Errorf("connect to systemd at %s: %w", socket, err)
	}
	b.conn, b.manager = conn, conn.Object(destination, managerPath)
	if err := b.begin(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("speak with systemd at %s: %w", socket, err)
	}
	return b, nil
}

// begin makes the connection ready.
func (b *bus) begin(ctx context.Context) error {
	if err := b.conn.Auth(nil); err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	if err := b.conn.Hello(); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchInterface(propertyFace), dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchPathNamespace(unitsPath)},
		{dbus.WithMatchInterface(managerFace), dbus.WithMatchMember("UnitNew")},
		{dbus.WithMatchInterface(managerFace), dbus.WithMatchMember("UnitRemoved")},
		{dbus.WithMatchInterface(managerFace), dbus.WithMatchMember("Reloading")},
	} {
		if err := b.conn.AddMatchSignalContext(ctx, append(match, dbus.WithMatchSender(destination))...); err != nil {
			return fmt.Errorf("ask for signals: %w", err)
		}
	}
	if err := b.manager.CallWithContext(ctx, managerFace+".Subscribe", 0).Err; err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

func (b *bus) close() error { return b.conn.Close() }

// listed is a unit in the answer of ListUnits.
type listed struct {
	Name, Description, LoadState, ActiveState, SubState, Following string
	Path                                                           dbus.ObjectPath
	JobID                                                          uint32
	JobType                                                        string
	JobPath                                                        dbus.ObjectPath
}

// list returns all units that systemd has loaded, and which signals are older than its answer: those with a smaller number.
func (b *bus) list(ctx context.Context) ([]listed, dbus.Sequence, error) {
	var units []listed
	call := b.manager.CallWithContext(ctx, managerFace+".ListUnits", 0)
	if err := call.Store(&units); err != nil {
		return nil, 0, fmt.Errorf("list units: %w", err)
	}
	return units, call.ResponseSequence, nil
}

// all returns the properties that one interface of a unit has.
func (b *bus) all(ctx context.Context, at dbus.ObjectPath, face string) (map[string]dbus.Variant, error) {
	var props map[string]dbus.Variant
	err := b.conn.Object(destination, at).CallWithContext(ctx, propertyFace+".GetAll", 0, face).Store(&props)
	return props, err
}

// amount returns a property that is a number, such as MemoryCurrent; false when systemd has none.
func (b *bus) amount(ctx context.Context, at dbus.ObjectPath, face, name string) (int64, bool) {
	var v dbus.Variant
	if err := b.conn.Object(destination, at).CallWithContext(ctx, propertyFace+".Get", 0, face, name).Store(&v); err != nil {
		return 0, false
	}
	n, ok := v.Value().(uint64)
	return int64(n), ok && n <= 1<<62 // "infinity", and "not set", are 2^64 - 1
}

// handler puts signals into the bounded channel, and never waits: the answers to calls come through the same connection.
type handler struct {
	b      *bus
	mu     sync.Mutex // the connection may be closed while it delivers
	closed bool
}

// DeliverSignal is called by the connection for each signal, one after the other.
func (h *handler) DeliverSignal(_, _ string, s *dbus.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	select {
	case h.b.signals <- s:
	default:
		select {
		case h.b.full <- struct{}{}:
		default:
		}
	}
}

// Terminate is called when the connection is lost or closed.
func (h *handler) Terminate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.b.signals)
	}
}
