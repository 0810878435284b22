//go:build linux

package attribution

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

func TestText(t *testing.T) {
	for name, c := range map[string]struct {
		p            Process
		text, reason string
	}{
		"a variable of Python": {
			Process{Grows: true, Sites: []Site{{
				Grade: Retained, Kind: KindObjects, Bytes: 3 << 20, PerMinute: 18 << 20, Share: 0.96, Objects: 200, Holder: "dict", Of: "app.Session", Users: []string{"put() (app.py:7)"},
				Function: symbols.Frame{Function: "app.SESSIONS", File: "/srv/app.py"},
			}}},
			"+18 MiB/min held by app.SESSIONS (app.py: dict, +1200 entries/min of app.Session), used in put() (app.py:7), 96 % of the growth", "",
		},
		"a local variable, and another": {
			Process{Grows: true, Sites: []Site{
				{
					Grade: Retained, Kind: KindObjects, Bytes: 3 << 20, PerMinute: 18 << 20, Share: 0.75, Objects: 200, Holder: "list", Of: "bytes",
					Function: symbols.Frame{Function: "kept in main()", File: "/srv/app.py", Line: 12},
				},
				{
					Grade: Retained, Kind: KindObjects, Bytes: 1 << 20, PerMinute: 6 << 20, Share: 0.25, Objects: 100, Holder: "3 of type set", Of: "tuple",
					Function: symbols.Frame{Function: "app.SEEN[…]"},
				},
			}},
			"+18 MiB/min held by kept in main() (app.py:12: list, +1200 entries/min of bytes), 75 % of the growth, then " +
				"+6 MiB/min by app.SEEN[…] (3 of type set, +600 entries/min of tuple), 25 % of the growth", "",
		},
		"stacks of threads": {
			Process{Grows: true, Sites: []Site{{
				Grade: Retained, Kind: KindThreads, PerMinute: 6 << 20, Share: 0.9, Objects: 200, Function: symbols.Frame{Function: "subscribe", File: "/srv/shop.c", Line: 8},
				Callers: []symbols.Frame{{Function: "main"}},
			}}},
			"+6 MiB/min of stacks of 200 threads, started in subscribe (shop.c:8) ← main, 90 % of the growth", "",
		},
		"kinds of memory, threads, and who touches it": {
			Process{
				Name: "java", Runtime: "java", PID: 7, Grows: true, Growth: 40 << 20, Unattributed: 40 << 20, Reason: "no function is known", Next: "jcmd 1 Thread.print",
				Mappings: []process.Growth{{Kind: "stacks of threads", Bytes: 26 << 20}, {Kind: "arenas of malloc", Bytes: 9 << 20}, {Kind: "the Java heap", Bytes: 1 << 20}},
				Threads:  []process.Added{{Name: "pool-1-thread-N", Count: 40}}, Toucher: process.Toucher{TID: 9, Name: "acceptor", Share: 0.8},
			},
			"", "java (java, pid 7): no function is known; what grows is stacks of threads (+26 MiB), arenas of malloc (+9 MiB); 40 threads more, named pool-1-thread-N; " +
				"thread acceptor (9) touches most of it, which need not be who keeps it; to know more: jcmd 1 Thread.print",
		},
		"who collects garbage is not who touches memory": {
			Process{
				Name: "java", Runtime: "java", PID: 7, Grows: true, Reason: "no function is known",
				Threads: []process.Added{{Name: "worker", Count: 1}}, Toucher: process.Toucher{TID: 9, Name: "GC Thread#1", Share: 0.8},
			},
			"", "java (java, pid 7): no function is known",
		},
		"nothing grows": {
			Process{Name: "node", Runtime: "node", PID: 7, Reason: "it has stopped growing", Next: "kill -USR1 7", Mappings: []process.Growth{{Kind: "V8's heap", Bytes: 1}}},
			"", "node (node, pid 7): it has stopped growing",
		},
	} {
		a := (&Report{Processes: []Process{c.p}}).Answer()
		assert.Equal(t, c.text, a.Text, name)
		assert.Equal(t, c.reason, a.Reason, name)
	}
}

// The build id of a file is told once.
func TestTextOfUnnamed(t *testing.T) {
	of := func(name string) symbols.Frame { return symbols.Frame{Function: name} }
	r := Report{Processes: []Process{{Grows: true, Sites: []Site{{
		Grade: Retained, Kind: KindHeap, PerMinute: 6 << 20, Share: 1,
		Function: of("shop+0x1260 (build id 5a5a)"), Callers: []symbols.Frame{of("shop+0x1180 (build id 5a5a)"), of("libx.so.1+0x99 (build id 7b7b)")},
	}}}}}
	assert.Equal(t, "+6 MiB/min held by shop+0x1260 (build id 5a5a) ← shop+0x1180 ← libx.so.1+0x99 (build id 7b7b), 100 % of the growth", r.Answer().Text)
}

// Who holds next to nothing is told where there is nobody else.
func TestSitesOfAnswer(t *testing.T) {
	of := func(share float64) Site {
		return Site{Grade: Retained, Share: share, Bytes: share, Function: symbols.Frame{Function: "put"}}
	}
	second := of(0.001)
	second.Kind = KindThreads
	r := Report{Processes: []Process{{Grows: true, Sites: []Site{of(0.999), second}}}}
	assert.Len(t, r.Answer().Sites, 1)
	r = Report{Processes: []Process{{Grows: true, Sites: []Site{second}}}}
	assert.Len(t, r.Answer().Sites, 1)
}

// Beside a process that grows, it is not told of others that they do not; what could not be looked at is.
func TestReasonsOfProcesses(t *testing.T) {
	still := Process{Name: "sh", Runtime: "native", PID: 7, Reason: notGrowing + ": no site is named"}
	r := Report{Processes: []Process{{Grows: true}, still, {Name: "x", Runtime: "other", PID: 9, Reason: "its memory cannot be read"}}}
	assert.Equal(t, "x (other, pid 9): its memory cannot be read", r.Answer().Reason)
	r = Report{Processes: []Process{still}}
	assert.Equal(t, "sh (native, pid 7): what it holds did not grow, or has stopped growing: no site is named", r.Answer().Reason)
}

// What the workers of a server hold in the same place is one site.
func TestSitesOfProcesses(t *testing.T) {
	of := func(name string, bytes float64) Site {
		return Site{Grade: Retained, Kind: KindObjects, Bytes: bytes, PerMinute: 6 * bytes, Objects: 10, Share: 1, Holder: "dict", Function: symbols.Frame{Function: name}}
	}
	r := Report{Processes: []Process{
		{Sites: []Site{of("app.CACHE", 3<<20)}},
		{Sites: []Site{of("app.CACHE", 3<<20)}, Unattributed: 1 << 20},
		{Sites: []Site{of("app.LOG", 1<<20)}},
	}}
	assert.Equal(t, "+36 MiB/min held by app.CACHE (dict, +120 entries/min), in 2 processes, 75 % of the growth, then "+
		"+6 MiB/min by app.LOG (dict, +60 entries/min), 12 % of the growth", r.Answer().Text)
}
