package systemdreceiver

import (
	"fmt"
	"math"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// unit is what is known of a unit. The names are those of systemd's properties (org.freedesktop.systemd1(5)).
type unit struct {
	name        string
	path        dbus.ObjectPath
	activeState string
	subState    string
	// waits says that the unit was to be started again, and was not since. If it fails then, systemd gave it up at its start
	// limit: its Result says so only when somebody else asked for the start, and stays that of the last failure otherwise.
	waits      bool
	result     string
	restarts   uint32
	invocation string
	mainPID    uint32 // ExecMainPID: of the last main process, also after its end
	mainCode   int32  // ExecMainCode: CLD_EXITED, CLD_KILLED, CLD_DUMPED
	mainStatus int32  // ExecMainStatus: exit code or signal
	mainExited uint64 // ExecMainExitTimestamp: µs since 1970, 0 while it runs
	// told is the latest end of a main process that was told of: signals that were sent before a unit was read come after that.
	told uint64
	// said is, in the same way, the latest result that was told of, and of which invocation.
	said    string
	service bool
}

// The codes of ExecMainCode (waitid(2)).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// fresh is a unit to which nothing has happened since it was loaded.
func fresh() *unit { return &unit{result: "success"} }

// set takes a property in. Properties of no interest are passed over, and so are values of a type that they should not have.
func (u *unit) set(name string, v dbus.Variant) {
	switch name {
	case "ActiveState":
		store(v, &u.activeState)
	case "SubState":
		store(v, &u.subState)
		u.waits = u.waits || strings.HasPrefix(u.subState, "auto-restart")
	case "Result":
		store(v, &u.result)
	case "NRestarts":
		u.service = true
		store(v, &u.restarts)
	case "InvocationID":
		var id []byte
		store(v, &id)
		u.invocation = fmt.Sprintf("%x", id)
	case "ExecMainPID":
		before := u.mainPID
		store(v, &u.mainPID)
		u.waits = u.waits && u.mainPID == before
	case "ExecMainCode":
		store(v, &u.mainCode)
	case "ExecMainStatus":
		store(v, &u.mainStatus)
	case "ExecMainExitTimestamp":
		store(v, &u.mainExited)
	}
}

func store[T any](v dbus.Variant, to *T) {
	if x, ok := v.Value().(T); ok {
		*to = x
	}
}

// startLimitHit is the Result of a unit that systemd gave up.
const startLimitHit = "start-limit-hit"

// failure is why the unit failed; success when it did not.
func (u *unit) failure() string {
	if u.activeState == "failed" && u.waits {
		return startLimitHit
	}
	return u.result
}

// happening is something that happened to a unit.
type happening struct {
	event      string
	severe     bool
	text       string
	at         time.Time // zero: now
	attributes map[string]any
}

// The log events, and their attributes.
const (
	eventExited     = "systemd.unit.exited"
	eventFailed     = "systemd.unit.failed"
	eventOOMKill    = "systemd.unit.oom_kill"
	eventRestarted  = "systemd.unit.restarted"
	eventStartLimit = "systemd.unit.start_limit"
	eventWatchdog   = "systemd.unit.watchdog"

	attrResult   = "systemd.unit.result"
	attrRestarts = "systemd.unit.restarts"
	attrCode     = "systemd.unit.exit.code"
	attrStatus   = "systemd.unit.exit.status"
	attrName     = "systemd.unit.exit.name"
	attrPID      = "process.pid"
	attrInvoked  = "systemd.unit.invocation_id"
)

// since tells what happened between two states of a unit, in order.
func (u *unit) since(before *unit) []happening {
	var all []happening
	tell := func(event, text string, severe bool, attributes map[string]any) {
		all = append(all, u.happening(event, text, severe, attributes))
	}
	if u.mainExited != before.mainExited && u.mainExited > before.told && !(u.mainCode == cldExited && u.mainStatus == 0) {
		code, name := exit(u.mainCode, u.mainStatus)
		tell(eventExited, fmt.Sprintf("the main process of %s (pid %d) ended: %s, status %d/%s", u.name, u.mainPID, code, u.mainStatus, name), true,
			map[string]any{attrPID: int64(u.mainPID), attrCode: code, attrStatus: int64(u.mainStatus), attrName: name})
		if u.mainExited < math.MaxInt64 {
			all[len(all)-1].at = time.UnixMicro(int64(u.mainExited))
		}
	}
	if u.result != before.result && u.invocation+" "+u.result != before.said {
		switch u.result {
		case "oom-kill":
			tell(eventOOMKill, fmt.Sprintf("systemd saw that a process of %s was killed for want of memory", u.name), true, map[string]any{})
			// systemd does not say when; where the main process ended with it, and is told of at the same time, that is known.
			if len(all) > 1 {
				all[len(all)-1].at = all[len(all)-2].at
			}
		case "watchdog":
			tell(eventWatchdog, u.name+" gave no sign of life for longer than WatchdogSec", true, map[string]any{})
		}
	}
	if u.restarts > before.restarts {
		for n := before.restarts + 1; n <= u.restarts && n-before.restarts <= maxTold; n++ {
			tell(eventRestarted, fmt.Sprintf("systemd starts %s again (restart %d)", u.name, n), false, map[string]any{attrRestarts: int64(n)})
		}
	}
	return all
}

// failed tells that the unit failed, once that has settled: on its way to a restart a unit is failed for a moment.
func (u *unit) failed() []happening {
	var all []happening
	if u.failure() == startLimitHit {
		all = append(all, u.happening(eventStartLimit, fmt.Sprintf("systemd gave up starting %s: it was started too often", u.name), true, map[string]any{}))
	}
	return append(all, u.happening(eventFailed, fmt.Sprintf("%s failed: %s", u.name, u.failure()), true, map[string]any{attrResult: u.failure()}))
}

func (u *unit) happening(event, text string, severe bool, attributes map[string]any) happening {
	if u.invocation != "" {
		attributes[attrInvoked] = u.invocation
	}
	return happening{event: event, text: text, severe: severe, attributes: attributes}
}

// maxTold bounds the restarts that are told when many were missed.
const maxTold = 32

// exit names how a process ended, as systemd's log does.
func exit(code, status int32) (how, name string) {
	switch code {
	case cldKilled, cldDumped:
		how = map[int32]string{cldKilled: "killed", cldDumped: "dumped"}[code]
		if name = signals[syscall.Signal(status)]; name == "" {
			name = fmt.Sprintf("signal %d", status)
		}
		return how, name
	}
	if status == 0 {
		return "exited", "SUCCESS"
	}
	if name = exits[status]; name == "" {
		name = "n/a"
	}
	return "exited", name
}

// signals are the names of the signals that end processes.
var signals = map[syscall.Signal]string{
	syscall.SIGABRT: "ABRT", syscall.SIGALRM: "ALRM", syscall.SIGBUS: "BUS", syscall.SIGFPE: "FPE", syscall.SIGHUP: "HUP", syscall.SIGILL: "ILL",
	syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGPIPE: "PIPE", syscall.SIGQUIT: "QUIT", syscall.SIGSEGV: "SEGV",
	syscall.SIGTERM: "TERM", syscall.SIGTRAP: "TRAP",
}

// exits are the exit codes that systemd itself gives when it cannot start a program (systemd.exec(5), "Process Exit Codes"),
// those of the most use to people.
var exits = map[int32]string{
	1: "FAILURE", 2: "INVALIDARGUMENT", 200: "CHDIR", 203: "EXEC", 204: "MEMORY", 205: "LIMITS", 206: "OOM_ADJUST", 208: "STDIN", 209: "STDOUT",
	214: "SETSCHEDULER", 216: "GROUP", 217: "USER", 218: "CAPABILITIES", 219: "CGROUP", 226: "NAMESPACE", 227: "NO_NEW_PRIVILEGES", 228: "SECCOMP",
	233: "RUNTIME_DIRECTORY", 238: "STATE_DIRECTORY", 239: "CACHE_DIRECTORY", 240: "LOGS_DIRECTORY",
}
