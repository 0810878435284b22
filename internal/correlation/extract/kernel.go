package extract

import (
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/attribution/attributionlog"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
)

// kernelEvent is an event of our ebpf receiver; facts are the signal's attributes by the event's. They are the same as those of
// the kernel's log, so that patterns need not know which of both was seen.
func kernelEvent(kind string, facts map[string]string) event {
	return func(r plog.LogRecord) []signal.Signal {
		return []signal.Signal{{Kind: kind, Layer: finding.LayerEBPF, Value: 1, Unit: "{event}", Text: r.Body().AsString(), Attributes: pick(r, facts)}}
	}
}

// attributed is who holds memory, found out on demand.
func attributed(r plog.LogRecord) []signal.Signal {
	rate, retained := attributionlog.Read(r)
	s := signal.Signal{Kind: signal.MemoryUnattributed, Layer: finding.LayerEBPF, Value: rate, Unit: "By/min", Text: r.Body().AsString()}
	if retained {
		s.Kind = signal.MemoryRetained
	}
	return []signal.Signal{s}
}

// pick returns attributes of a record under other names.
func pick(r plog.LogRecord, names map[string]string) map[string]string {
	picked := map[string]string{}
	for name, as := range names {
		if v, ok := r.Attributes().Get(name); ok {
			picked[as] = v.AsString()
		}
	}
	return picked
}

// nobodys are events of the kernel in no cgroup but the root: they are the machine's, or a file system's or disk's of it.
func nobodys(r plog.LogRecord, node string) (entity.Entity, bool) {
	if !strings.HasPrefix(r.EventName(), "kernel.") {
		return entity.Entity{}, false
	}
	at := place{entity.AttrHost: node}
	// What processes of several share is no resource of theirs: the event itself names it.
	for _, shared := range []string{entity.AttrMountpoint, entity.AttrDevice} {
		if v, ok := r.Attributes().Get(shared); ok {
			at[shared] = v.AsString()
		}
	}
	return entity.New(at, node)
}

// ofNode are events about an entity that are facts about its machine as well, under another kind.
func ofNode(s signal.Signal, e entity.Entity, node string, visit func(signal.Batch)) {
	if s.Kind != signal.KernelOOMKill || s.Attributes["scope"] != "node" {
		return
	}
	if n, ok := entity.New(place{entity.AttrHost: e.Node}, node); ok {
		s.Kind, s.Entity = signal.NodeOOMKill, n.ID
		visit(signal.Batch{Entity: n, Signals: []signal.Signal{s}})
	}
}

// coverage is what a receiver says of how well it sees. It is about no entity but the machine that it is on.
func coverage(r plog.LogRecord, from attributes, node string, visit func(signal.Batch)) {
	p, ok := coveragelog.Read(r)
	at := place{entity.AttrHost: node}
	for _, name := range []string{entity.AttrNode, entity.AttrHost} {
		if v := from.String(name); v != "" {
			at[name] = v
		}
	}
	n, known := entity.New(at, node)
	if !ok || !known {
		return
	}
	visit(signal.Batch{Entity: n, Signals: []signal.Signal{{Time: occurred(r), Kind: signal.Coverage, Layer: p.Layer, Entity: n.ID, Shape: signal.Gauge,
		Value: p.State.Gauge(), Unit: "1", Text: p.Reason, Attributes: map[string]string{"part": p.Name, "state": string(p.State)}}}})
}

// oomFacts are what the kernel said of a kill for want of memory.
var oomFacts = map[string]string{
	"process.pid": "pid", "process.executable.name": "comm", "oom_kill.scope": "scope", "oom_kill.limited": "limited",
	"oom_kill.trigger.pid": "trigger_pid", "oom_kill.trigger.name": "trigger",
}

// oomKill is a kill for want of memory. The limit is that of whose limit was reached, which may be a cgroup around the victim's.
func oomKill(r plog.LogRecord) []signal.Signal {
	s := kernelEvent(signal.KernelOOMKill, oomFacts)(r)
	if limit, ok := r.Attributes().Get("oom_kill.limit"); ok && limit.Type() == pcommon.ValueTypeInt {
		s[0].Attributes["limit"] = finding.FormatBytes(float64(limit.Int()))
	}
	return s
}

// exitFacts are what the kernel said of the end of a process.
var exitFacts = map[string]string{
	"process.pid": "pid", "process.executable.name": "comm", "process.main": "main", "process.exit.code": "code",
	"process.exit.signal.name": "signal", "signal.origin": "origin", "signal.address": "address", "signal.sender.name": "sender",
	"signal.sender.pid": "sender_pid", "signal.sender.inside": "inside",
}

// processExit is the end of a process: by a fault of its own, by somebody's signal, or with a code.
func processExit(r plog.LogRecord) []signal.Signal {
	s := kernelEvent(signal.Killed, exitFacts)(r)
	switch s[0].Attributes["signal"] {
	case "":
		s[0].Kind = signal.Failed
	case "SIGSEGV":
		s[0].Kind = signal.Segfault
	case "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP":
		s[0].Kind = signal.Crashed
	}
	if origin := s[0].Attributes["origin"]; origin == "process" && s[0].Kind != signal.Failed {
		s[0].Kind = signal.Killed // whatever the signal means: it was sent
	}
	return s
}

// connectKinds are what an outcome of attempts to connect means. A program that gave up after a second or more got no answer either.
var connectKinds = map[string]string{
	"refused": signal.ConnectRefused, "timed_out": signal.ConnectTimeout, "abandoned": signal.ConnectTimeout,
	"unreachable": signal.ConnectUnreachable, "no_ports": signal.NoPorts,
}

// connectFailed is how often something could not be connected to.
func connectFailed(r plog.LogRecord) []signal.Signal {
	facts := pick(r, map[string]string{"network.peer.address": "address", "network.connect.outcome": "outcome",
		"network.connect.count": "count", "network.connect.attempts": "attempts"})
	kind, known := connectKinds[facts["outcome"]]
	if !known || facts["count"] == "" || facts["attempts"] == "" {
		return nil
	}
	facts["peer"] = net.JoinHostPort(facts["address"], strconv.Itoa(int(number(r, "network.peer.port"))))
	return []signal.Signal{{Kind: kind, Layer: finding.LayerEBPF, Value: max(number(r, "network.connect.count"), 1), Unit: "{attempt}",
		Text: r.Body().AsString(), Attributes: facts}}
}

// exhausted are the errors that say that something is exhausted.
var exhausted = map[string]bool{"EAGAIN": true, "ENOMEM": true, "ENFILE": true, "EMFILE": true, "ENOSPC": true, "EROFS": true,
	"EADDRNOTAVAIL": true, "EDQUOT": true}

// syscallFailed is how often a system call failed because something is exhausted.
func syscallFailed(r plog.LogRecord) []signal.Signal {
	facts := pick(r, map[string]string{"error.type": "error", "syscall.name": "syscall", "syscall.failed.count": "count",
		"syscall.failed.duration": "seconds", "process.executable.name": "comm", "process.pid": "pid"})
	if !exhausted[facts["error"]] || facts["syscall"] == "" {
		return nil
	}
	kind := signal.SyscallFailed(facts["error"])
	if strings.HasPrefix(facts["syscall"], "inotify_") {
		kind = signal.SyscallFailed("inotify")
	}
	return []signal.Signal{{Kind: kind, Layer: finding.LayerEBPF, Value: max(number(r, "syscall.failed.count"), 1), Unit: "{call}",
		Text: r.Body().AsString(), Attributes: facts}}
}

// dnsKinds are what an outcome of lookups means.
var dnsKinds = map[string]string{
	"timed_out": signal.DNSTimedOut, "servfail": signal.DNSServFail, "refused": signal.DNSRefused, "nxdomain": signal.DNSNotFound, "slow": signal.DNSSlow,
}

// dnsFailed is how often a name could not be looked up.
func dnsFailed(r plog.LogRecord) []signal.Signal {
	facts := pick(r, map[string]string{"dns.question.name": "name", "server.address": "server", "dns.lookup.outcome": "outcome",
		"dns.lookup.count": "count", "dns.lookup.attempts": "attempts"})
	kind, known := dnsKinds[facts["outcome"]]
	if !known || facts["count"] == "" || facts["attempts"] == "" {
		return nil
	}
	return []signal.Signal{{Kind: kind, Layer: finding.LayerEBPF, Value: max(number(r, "dns.lookup.count"), 1), Unit: "{lookup}",
		Text: r.Body().AsString(), Attributes: facts}}
}
