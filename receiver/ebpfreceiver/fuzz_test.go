//go:build linux

package ebpfreceiver

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/your-org/tapio/bpf"
)

// Whatever the kernel hands over, it is told or refused, and never ends the collector.
func FuzzOOM(f *testing.F) {
	for _, record := range []any{bpf.OOMKill{Kind: bpf.OOMEventKILLED, Pid: 7, Limited: 1, Levels: 3, Victim: bpf.OOMTapioCgroup{Used: 1 << 30}},
		bpf.OOMEnd{Kind: bpf.OOMEventENDED, Pid: 7}} {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.NativeEndian, record); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), b.Bytes())
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		p := &probes{cfg: createDefaultConfig().(*Config), logger: zap.NewNop()}
		sink := new(events)
		p.out = &logsReceiver{probes: p, next: sink}
		h := newOOMHandler(p)
		ctx := context.Background()
		_ = h.take(ctx, first)
		_ = h.take(ctx, second)
		for {
			next := h.wake(ctx, happened(0))
			if next.IsZero() {
				break
			}
			h.wake(ctx, next)
		}
		for _, e := range sink.named(eventOOMKill) {
			if e.record.Body().Str() == "" {
				t.Fatal("an event without a text")
			}
		}
	})
}

func FuzzProcess(f *testing.F) {
	for _, x := range []bpf.ProcessExit{{Pid: 7, Code: 3 << 8}, {Pid: 7, Code: 11, HasSender: 1, Sent: bpf.ProcessSent{By: bpf.ProcessSenderFAULT, Address: 8}}, {Pid: 7, Code: 0x89, HasSender: 1}} {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.NativeEndian, x); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &probes{cfg: createDefaultConfig().(*Config), logger: zap.NewNop()}
		sink := new(events)
		p.out = &logsReceiver{probes: p, next: sink}
		if err := newProcessHandler(p).take(context.Background(), raw); err == nil && len(sink.named(eventProcessExit)) != 1 {
			t.Fatal("an event that is neither told nor refused")
		}
	})
}

// Names come from whoever sends a packet.
func FuzzDomainName(f *testing.F) {
	f.Add([]byte("\x02db\x04shop\x00"))
	f.Add([]byte("\xff\x00\x3f."))
	f.Fuzz(func(t *testing.T, wire []byte) {
		name := domainName(wire)
		if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			t.Fatalf("no text: %q", name)
		}
		if searched(name, []*lookups{{question: question{name: name}, n: [bpf.DNSOutcomeOUTCOMES]uint64{1, 1, 1, 1, 1, 1}}}) {
			t.Fatal("a name is not its own completion")
		}
	})
}
