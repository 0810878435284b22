package journaldreceiver

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// coredumpMessage is the MESSAGE_ID of what systemd-coredump says (SD_MESSAGE_COREDUMP in sd-messages.h).
const coredumpMessage = "fc2e22bc6ee647b6b90729ab34a250b1"

var priorities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// filter says which entries are told. It is our own, not libsystemd's matches, so that a position is always that of the last
// entry read, and not of the last one that matched.
type filter struct {
	units, identifiers, transports []string
	matches                        []map[string]string
	priority                       bool
	from, to                       byte // digits
	all                            bool
}

func newFilter(c *Config) (*filter, error) {
	f := &filter{identifiers: c.Identifiers, transports: c.Transports, matches: c.Matches}
	for i, u := range c.Units {
		if _, err := path.Match(u, ""); err != nil || u == "" {
			return nil, fmt.Errorf("units[%d] is %q, want a unit such as kubelet.service, or a pattern such as docker-*.scope", i, u)
		}
		if !strings.Contains(u, ".") && !strings.HasSuffix(u, "*") {
			u += ".service"
		}
		f.units = append(f.units, u)
	}
	if c.Priority != "" {
		from, to, ranged := strings.Cut(c.Priority, "..")
		a, errA := priority(from)
		b, errB := a, error(nil)
		if ranged {
			b, errB = priority(to)
		} else {
			a = '0'
		}
		if errA != nil || errB != nil {
			return nil, fmt.Errorf("priority is %q, want one of %s, 0 to 7, or two of them as in err..crit", c.Priority, strings.Join(priorities, ", "))
		}
		f.priority, f.from, f.to = true, min(a, b), max(a, b)
	}
	for i, t := range c.Transports {
		if !slices.Contains([]string{"audit", "driver", "syslog", "journal", "stdout", "kernel"}, t) {
			return nil, fmt.Errorf("transports[%d] is %q, want audit, driver, syslog, journal, stdout or kernel", i, t)
		}
	}
	for i, m := range c.Matches {
		if len(m) == 0 {
			return nil, fmt.Errorf("matches[%d] is empty, want fields with their values such as _TRANSPORT: kernel", i)
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !isFieldName(name) {
				return nil, fmt.Errorf("matches[%d] has %q, want a field's name such as _SYSTEMD_UNIT", i, name)
			}
		}
	}
	f.all = len(f.units) == 0 && len(f.identifiers) == 0 && len(f.transports) == 0 && len(f.matches) == 0 && !f.priority
	return f, nil
}

// priority is a priority's digit.
func priority(s string) (byte, error) {
	if i := slices.Index(priorities, s); i >= 0 {
		return byte('0' + i), nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > 7 {
		return 0, fmt.Errorf("%q is no priority", s)
	}
	return byte('0' + n), nil
}

// wants says whether an entry is told.
func (f *filter) wants(e sdjournal.Entry) bool {
	if f.all {
		return true
	}
	var unit, identifier, transport, level bool
	var of about
	for name, value := range e.Fields() {
		switch string(name) {
		case "SYSLOG_IDENTIFIER":
			identifier = identifier || slices.Contains(f.identifiers, string(value))
		case "_TRANSPORT":
			transport = transport || slices.Contains(f.transports, string(value))
		case "PRIORITY":
			level = level || len(value) == 1 && value[0] >= f.from && value[0] <= f.to
		case "_SYSTEMD_UNIT":
			unit = unit || f.unit(value)
		default:
			of.see(string(name), value)
		}
	}
	return (len(f.units) == 0 || unit || of.byManager(f)) &&
		(len(f.identifiers) == 0 || identifier) &&
		(len(f.transports) == 0 || transport) &&
		(!f.priority || level) &&
		(len(f.matches) == 0 || f.match(e))
}

func (f *filter) unit(name []byte) bool {
	return slices.ContainsFunc(f.units, func(pattern string) bool {
		if pattern == string(name) { // with escapes in it, such as dev-disk-by\x2duuid-1.swap
			return true
		}
		ok, _ := path.Match(pattern, string(name)) // unit names have no slashes
		return ok
	})
}

// match says whether all fields of one of the matches are there.
func (f *filter) match(e sdjournal.Entry) bool {
	return slices.ContainsFunc(f.matches, func(m map[string]string) bool {
		left := len(m)
		seen := make(map[string]bool, len(m))
		for name, value := range e.Fields() {
			if want, ok := m[string(name)]; ok && want == string(value) && !seen[string(name)] {
				seen[string(name)] = true
				left--
			}
		}
		return left == 0
	})
}

// about is what others say of a unit: the service manager, systemd-coredump, and whoever logs as root on behalf of it. Only
// their word is taken, as journalctl --unit does.
type about struct {
	manager, root, coredump bool
	unit, object, core      []byte
}

func (a *about) see(name string, value []byte) {
	switch name {
	case "_PID":
		a.manager = string(value) == "1"
	case "_UID":
		a.root = string(value) == "0"
	case "MESSAGE_ID":
		a.coredump = string(value) == coredumpMessage
	case "UNIT":
		a.unit = value
	case "OBJECT_SYSTEMD_UNIT":
		a.object = value
	case "COREDUMP_UNIT":
		a.core = value
	}
}

func (a *about) byManager(f *filter) bool {
	return a.manager && a.unit != nil && f.unit(a.unit) ||
		a.root && a.object != nil && f.unit(a.object) ||
		a.root && a.coredump && a.core != nil && f.unit(a.core)
}
