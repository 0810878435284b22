package systemdreceiver

import (
	"context"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What systemd's signals say happened. The changes are those that systemd 252 sends.
func TestSince(t *testing.T) {
	type props map[string]any
	const at = uint64(1795490260123456)
	for name, c := range map[string]struct {
		before, change props
		want           []string
	}{
		"the main process fails": {props{"ActiveState": "active", "Result": "success"},
			props{"ExecMainPID": uint32(812), "ExecMainCode": int32(1), "ExecMainStatus": int32(203), "ExecMainExitTimestamp": at},
			[]string{"systemd.unit.exited: the main process of a.service (pid 812) ended: exited, status 203/EXEC"}},
		"it is killed": {props{}, props{"ExecMainPID": uint32(812), "ExecMainCode": int32(2), "ExecMainStatus": int32(9), "ExecMainExitTimestamp": at, "Result": "oom-kill"},
			[]string{"systemd.unit.exited: the main process of a.service (pid 812) ended: killed, status 9/KILL",
				"systemd.unit.oom_kill: systemd saw that a process of a.service was killed for want of memory"}},
		"it crashes": {props{}, props{"ExecMainPID": uint32(812), "ExecMainCode": int32(3), "ExecMainStatus": int32(11), "ExecMainExitTimestamp": at},
			[]string{"systemd.unit.exited: the main process of a.service (pid 812) ended: dumped, status 11/SEGV"}},
		"it ends as it should": {props{"ActiveState": "active"}, props{"ActiveState": "inactive", "ExecMainCode": int32(1), "ExecMainStatus": int32(0), "ExecMainExitTimestamp": at}, nil},
		"it begins":            {props{"ExecMainExitTimestamp": at, "ExecMainCode": int32(2)}, props{"ExecMainPID": uint32(813), "ExecMainExitTimestamp": uint64(0)}, nil},
		"it is restarted":      {props{"NRestarts": uint32(1)}, props{"NRestarts": uint32(2)}, []string{"systemd.unit.restarted: systemd starts a.service again (restart 2)"}},
		"some restarts were missed": {props{"NRestarts": uint32(1)}, props{"NRestarts": uint32(3)},
			[]string{"systemd.unit.restarted: systemd starts a.service again (restart 2)", "systemd.unit.restarted: systemd starts a.service again (restart 3)"}},
		"somebody started it":                      {props{"NRestarts": uint32(5)}, props{"NRestarts": uint32(0)}, nil},
		"it is given up":                           {props{"ActiveState": "activating", "Result": "exit-code"}, props{"ActiveState": "failed", "Result": "start-limit-hit"}, []string{"systemd.unit.start_limit: systemd gave up starting a.service: it was started too often", "systemd.unit.failed: a.service failed: start-limit-hit"}},
		"it waits for its restart and is given up": {props{"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}, props{"ActiveState": "failed", "SubState": "failed"}, []string{"systemd.unit.start_limit: systemd gave up starting a.service: it was started too often", "systemd.unit.failed: a.service failed: start-limit-hit"}},
		"its watchdog barks":                       {props{"Result": "success"}, props{"Result": "watchdog"}, []string{"systemd.unit.watchdog: a.service gave no sign of life for longer than WatchdogSec"}},
		"it still failed":                          {props{"ActiveState": "failed", "Result": "exit-code"}, props{"ActiveState": "failed"}, nil},
		"nonsense is no state":                     {props{}, props{"NRestarts": "many", "ActiveState": int32(7), "ExecMainExitTimestamp": true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := unit{name: "a.service"}
			for k, v := range c.before {
				before.set(k, dbus.MakeVariant(v))
			}
			after := before
			for k, v := range c.change {
				after.set(k, dbus.MakeVariant(v))
			}
			var got []string
			all := after.since(&before)
			if after.activeState == "failed" && before.activeState != "failed" {
				all = append(all, after.failed()...)
			}
			for _, h := range all {
				got = append(got, h.event+": "+h.text)
				if h.event == eventExited {
					assert.Equal(t, time.UnixMicro(int64(at)), h.at)
				}
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// systemd's signals may be older than what was read of the unit: what they repeat is not told again, what is new is.
func TestSignalsThatAreLate(t *testing.T) {
	tr := &tracker{units: map[dbus.ObjectPath]*unit{}, failing: map[dbus.ObjectPath]time.Time{}}
	var told []string
	tr.happened = func(_ context.Context, _ *unit, h happening) { told = append(told, h.event) }
	read := unit{name: "a.service", result: "oom-kill", invocation: "1"}
	tr.put(t.Context(), "/a", &read, fresh())
	assert.Equal(t, []string{eventOOMKill}, told)
	change := func(result, invocation string) {
		before := tr.units["/a"]
		u := *before
		u.result, u.invocation = result, invocation
		tr.put(t.Context(), "/a", &u, before)
	}
	change("success", "1")
	change("oom-kill", "1")
	assert.Len(t, told, 1)
	change("success", "2")
	change("oom-kill", "2")
	assert.Len(t, told, 2, "it was started again, and killed again")
}

func TestManyMissedRestartsAreBounded(t *testing.T) {
	u := unit{name: "a.service", restarts: 1 << 31}
	assert.Len(t, u.since(&unit{}), maxTold)
}

func TestFace(t *testing.T) {
	assert.Equal(t, "org.freedesktop.systemd1.Service", face("a.b.service"))
	assert.Equal(t, "org.freedesktop.systemd1.Mount", face("-.mount"))
	assert.Equal(t, "org.freedesktop.systemd1.Service", face("odd."))
}

// Whatever comes over the bus, a unit's story can be told.
func FuzzSince(f *testing.F) {
	f.Add("failed", "oom-kill", uint32(3), int32(2), int32(9), uint64(1795490260123456))
	f.Add("", "", uint32(0), int32(-1), int32(-5), ^uint64(0))
	f.Fuzz(func(t *testing.T, state, result string, restarts uint32, code, status int32, exited uint64) {
		u := unit{name: "a.service", activeState: state, result: result, restarts: restarts, mainCode: code, mainStatus: status, mainExited: exited}
		for _, h := range u.since(&unit{}) {
			require.NotEmpty(t, h.event)
			require.NotEmpty(t, h.text)
		}
	})
}
