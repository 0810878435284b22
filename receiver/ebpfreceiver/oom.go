//go:build linux

package ebpfreceiver

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// oomPatience is how long the end of a victim is waited for before its kill is told. A task that hangs in the kernel does
	// not end for as long as it hangs.
	oomPatience = time.Second
	// maxOOMWaiting bounds the victims that are waited for; with one more the first is told.
	maxOOMWaiting = 256

	eventOOMKill = "kernel.oom_kill"
)

func loadOOM() (*ebpf.CollectionSpec, error) { return bpf.LoadOOM() }

// oomHandler tells kills for want of memory, each when its victim has ended.
type oomHandler struct {
	probes  *probes
	waiting []oomKill // in order of time
}

// oomKill is a kill whose victim has not ended yet.
type oomKill struct {
	bpf.OOMKill
	until time.Time
}

func newOOMHandler(p *probes) handler { return &oomHandler{probes: p} }

func (h *oomHandler) take(ctx context.Context, raw []byte) error {
	if len(raw) < 4 {
		return fmt.Errorf("oom: a record of %d bytes", len(raw))
	}
	switch kind := bpf.OOMEvent(binary.NativeEndian.Uint32(raw)); kind {
	case bpf.OOMEventKILLED:
		k := oomKill{until: time.Now().Add(oomPatience)}
		if err := decode(raw, &k.OOMKill); err != nil {
			return fmt.Errorf("oom: a kill: %w", err)
		}
		if len(h.waiting) == maxOOMWaiting {
			h.tell(ctx, h.waiting[0].OOMKill, nil)
			h.waiting = h.waiting[1:]
		}
		h.waiting = append(h.waiting, k)
	case bpf.OOMEventENDED:
		var end bpf.OOMEnd
		if err := decode(raw, &end); err != nil {
			return fmt.Errorf("oom: an end: %w", err)
		}
		for i, k := range h.waiting {
			if k.Pid == end.Pid {
				h.waiting = append(h.waiting[:i], h.waiting[i+1:]...)
				h.tell(ctx, k.OOMKill, &end)
				break
			}
		}
	default:
		return fmt.Errorf("oom: a record of kind %d", kind)
	}
	return nil
}

func (h *oomHandler) wake(ctx context.Context, now time.Time) time.Time {
	for len(h.waiting) > 0 && !h.waiting[0].until.After(now) {
		h.tell(ctx, h.waiting[0].OOMKill, nil)
		h.waiting = h.waiting[1:]
	}
	if len(h.waiting) == 0 {
		return time.Time{}
	}
	return h.waiting[0].until
}

func (h *oomHandler) flush(ctx context.Context) {
	for _, k := range h.waiting {
		h.tell(ctx, k.OOMKill, nil)
	}
	h.waiting = nil
}

// tell tells a kill; end is that of its victim, nil when it has not ended yet.
func (h *oomHandler) tell(ctx context.Context, k bpf.OOMKill, end *bpf.OOMEnd) {
	page := int64(os.Getpagesize())
	victim, trigger := pathOf(k.Victim), pathOf(k.Trigger)
	h.probes.tell(ctx, victim, k.Victim.Version, happened(k.Time), func(r plog.LogRecord) {
		r.SetEventName(eventOOMKill)
		r.SetSeverityNumber(plog.SeverityNumberError)
		a := r.Attributes()
		a.PutInt("process.pid", int64(k.Pid))
		a.PutStr("process.executable.name", text(k.Comm[:]))
		a.PutInt("oom_kill.memory.anon", int64(k.AnonPages)*page)
		a.PutInt("oom_kill.memory.file", int64(k.FilePages)*page)
		a.PutInt("oom_kill.memory.shmem", int64(k.ShmemPages)*page)
		a.PutInt("oom_kill.score_adj", int64(k.ScoreAdj))
		a.PutInt("oom_kill.trigger.pid", int64(k.TriggerPid))
		a.PutStr("oom_kill.trigger.name", text(k.TriggerComm[:]))
		a.PutStr("oom_kill.trigger.cgroup", trigger)
		body := fmt.Sprintf("the kernel killed %s (pid %d), which held %s of anonymous memory", text(k.Comm[:]), k.Pid, size(int64(k.AnonPages)*page))
		switch scope, limited := oomScope(k, victim, trigger); scope {
		case "cgroup":
			a.PutStr("oom_kill.scope", scope)
			a.PutStr("oom_kill.limited", limited)
			a.PutInt("oom_kill.limit", int64(k.LimitPages)*page)
			a.PutInt("oom_kill.usage", int64(k.UsedPages)*page)
			body += fmt.Sprintf(", because %s was at its limit of %s", limited, size(int64(k.LimitPages)*page))
		case "node":
			a.PutStr("oom_kill.scope", scope)
			body += ", because the machine was out of memory"
		default:
			body += ", for want of memory"
		}
		if k.TriggerPid != k.Pid {
			body += fmt.Sprintf("; %s (pid %d) had asked for more", text(k.TriggerComm[:]), k.TriggerPid)
		}
		if end != nil {
			a.PutInt("oom_kill.end_after", int64(end.Time-k.Time))
			a.PutInt("process.exit.signal", int64(unix.WaitStatus(end.Code).Signal()))
		} else {
			body += "; it has not ended yet"
		}
		r.Body().SetStr(body)
	})
}

// oomScope says what ran out of memory, as far as it is certain: a cgroup at its limit, in which both the victim and who asked
// for memory were, or the machine, where they had no cgroup in common that could be limited.
func oomScope(k bpf.OOMKill, victim, trigger string) (scope, limited string) {
	if k.Limited != 0 {
		limited = victim
		for range k.Levels {
			limited = limited[:max(strings.LastIndexByte(limited, '/'), 0)]
		}
		if limited != "" && (trigger == limited || strings.HasPrefix(trigger, limited+"/")) {
			return "cgroup", limited
		}
		return "", "" // the kernel charges some of what it does to another's cgroup
	}
	top := func(path string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		return name
	}
	if top(victim) != top(trigger) || top(victim) == "" {
		return "node", ""
	}
	return "", ""
}

func pathOf(c bpf.OOMTapioCgroup) string {
	return cgroupPath(c.Names[:min(int(c.Used), len(c.Names))])
}

// decode reads a record of the kernel into its Go form.
func decode(raw []byte, into any) error {
	if want := binary.Size(into); len(raw) < want {
		return fmt.Errorf("%d bytes, want %d", len(raw), want)
	}
	_, err := binary.Decode(raw, binary.NativeEndian, into)
	return err
}

func size(bytes int64) string { return finding.FormatBytes(float64(bytes)) }
