package extract

import (
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/attribution/attributionlog"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/extract/lines"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
)

// event turns one log event into signals.
type event func(r plog.LogRecord) []signal.Signal

// events are the accepted log events by name.
var events = map[string]event{
	"cgroup.memory.oom_kill": func(r plog.LogRecord) []signal.Signal {
		count := max(number(r, "memory.event.count"), 1)
		return []signal.Signal{{Kind: signal.OOMKill, Layer: finding.LayerCgroup, Value: count, Unit: "{event}"}}
	},
	"cri.container.oom_killed": runtimeEvent(signal.RuntimeOOMKill),
	"cri.container.restarted":  runtimeEvent(signal.RuntimeRestarted),
	"cri.container.started":    func(plog.LogRecord) []signal.Signal { return []signal.Signal{running(1)} },
	"cri.container.stopped":    stopped,
	attributionlog.EventName:   attributed,
	"kernel.oom_kill":          oomKill,
	"kernel.process_exit":      processExit,
	"kernel.connect_failed":    connectFailed,
	"kernel.syscall_failed":    syscallFailed,
	"kernel.dns_failed":        dnsFailed,
	"systemd.unit.exited":      unitEvent("unit.exited", map[string]string{"systemd.unit.exit.code": "code", "systemd.unit.exit.status": "status", "systemd.unit.exit.name": "name", "process.pid": "pid"}),
	"systemd.unit.failed":      unitEvent("unit.failed", map[string]string{"systemd.unit.result": "result"}),
	"systemd.unit.oom_kill":    unitEvent(signal.UnitOOMKill, nil),
	"systemd.unit.restarted":   unitEvent("unit.restarted", map[string]string{"systemd.unit.restarts": "restarts"}),
	"systemd.unit.start_limit": unitEvent("unit.start_limit", nil),
	"systemd.unit.watchdog":    unitEvent("unit.watchdog", nil),
	"cgroup.removed": func(plog.LogRecord) []signal.Signal {
		return []signal.Signal{{Kind: signal.Removed, Layer: finding.LayerCgroup, Value: 1}}
	},
}

// unitEvent is an event of our systemd receiver; facts are the signal's attributes by the event's. They are the same as those of
// systemd's own lines, so that patterns need not know which of both was seen.
func unitEvent(kind string, facts map[string]string) event {
	return func(r plog.LogRecord) []signal.Signal {
		return []signal.Signal{{Kind: kind, Layer: finding.LayerSystemd, Value: 1, Unit: "{event}", Text: r.Body().AsString(), Attributes: pick(r, facts)}}
	}
}

func runtimeEvent(kind string) event {
	return func(r plog.LogRecord) []signal.Signal {
		return []signal.Signal{{Kind: kind, Layer: finding.LayerRuntime, Value: 1, Unit: "{event}", Text: r.Body().AsString()}}
	}
}

// running says whether the runtime runs a container.
func running(is float64) signal.Signal {
	return signal.Signal{Kind: signal.RuntimeRunning, Layer: finding.LayerRuntime, Shape: signal.Gauge, Value: is, Unit: units[signal.RuntimeRunning]}
}

// stopped is a container that ended.
func stopped(r plog.LogRecord) []signal.Signal {
	reason := ""
	if v, ok := r.Attributes().Get("k8s.container.status.reason"); ok {
		reason = v.AsString()
	}
	over := running(0)
	over.Time = r.ObservedTimestamp().AsTime() // until then a runtime that is busy may have said that it runs
	return []signal.Signal{{Kind: signal.RuntimeExited, Layer: finding.LayerRuntime, Value: 1, Unit: "{event}", Text: r.Body().AsString(),
		Attributes: map[string]string{"code": strconv.Itoa(int(number(r, "process.exit.code"))), "reason": reason}}, over}
}

// Logs calls visit for what log records say: Tapio's own events of the entity they name, and lines of the system that the
// rules know. node names the node where the records do not.
func Logs(ld plog.Logs, node string, rules *lines.Rules, visit func(signal.Batch)) {
	for _, rl := range ld.ResourceLogs().All() {
		from := attributes{resource: rl.Resource().Attributes()}
		e, known := entity.New(from, node)
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				if r.EventName() == "" {
					said := newRecord(r, rl.Resource().Attributes())
					if from, line, layer, ok := said.line(); ok {
						if f, ok := rules.Find(from, line, said.field); ok {
							said.say(f, layer, node, visit)
						}
					}
					continue
				}
				if r.EventName() == coveragelog.EventName {
					coverage(r, from, node, visit)
					continue
				}
				extract, ok := events[r.EventName()]
				about := e
				if ok && !known {
					about, ok = nobodys(r, node)
				}
				if !ok {
					continue
				}
				b := signal.Batch{Entity: about, Signals: extract(r)}
				if len(b.Signals) == 0 {
					continue
				}
				for i := range b.Signals {
					b.Signals[i].Entity = about.ID
					if b.Signals[i].Time.IsZero() {
						b.Signals[i].Time = occurred(r)
					}
				}
				visit(b)
				for _, s := range b.Signals {
					ofNode(s, about, node, visit)
				}
			}
		}
	}
}

// occurred is when a record's event happened; where it does not say, when it was observed.
func occurred(r plog.LogRecord) time.Time {
	if t := r.Timestamp(); t != 0 {
		return t.AsTime()
	}
	return r.ObservedTimestamp().AsTime()
}

func number(r plog.LogRecord, name string) float64 {
	v, ok := r.Attributes().Get(name)
	if !ok {
		return 0
	}
	switch v.Type() {
	case pcommon.ValueTypeInt:
		return float64(v.Int())
	case pcommon.ValueTypeDouble:
		return v.Double()
	}
	var f float64
	if _, err := fmt.Sscan(v.AsString(), &f); err != nil {
		return 0
	}
	return f
}
