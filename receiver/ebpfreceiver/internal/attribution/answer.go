//go:build linux

package attribution

import (
	"fmt"
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/java"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

// told is how many sites people are told of.
const told = 3

// Answer puts a report into words.
func (r *Report) Answer() attribution.Answer {
	var a attribution.Answer
	for _, s := range r.Sites() {
		// Who holds next to nothing beside another is not worth a line.
		if len(a.Sites) < told && (s.Grade != Retained || s.Share >= 0.01 || len(a.Sites) == 0) {
			a.Sites = append(a.Sites, s.answer())
		}
	}
	a.Text = r.text()
	var reasons []string
	grows := slices.ContainsFunc(r.Processes, func(p Process) bool { return p.Grows })
	for _, p := range r.Processes {
		if grows && strings.HasPrefix(p.Reason, notGrowing) {
			continue // what is well is not told beside what is not
		}
		if p.Reason != "" {
			reasons = append(reasons, p.explain())
		}
	}
	if r.Left > 0 {
		reasons = append(reasons, fmt.Sprintf("%d smaller processes were not looked at", r.Left))
	}
	a.Reason = strings.Join(reasons, "; ")
	return a
}

// explain says what could not be found out about a process, and what to run next.
func (p *Process) explain() string {
	text := fmt.Sprintf("%s (%s, pid %d): %s", p.Name, p.Runtime, p.PID, p.Reason)
	if !p.Grows {
		return text
	}
	if kinds := p.kinds(); kinds != "" && (len(p.Sites) == 0 || p.Unattributed > p.Growth/2) {
		text += "; what grows is " + kinds
	}
	if len(p.Threads) > 0 && p.Threads[0].Count >= manyThreads {
		text += fmt.Sprintf("; %d threads more, named %s", p.Threads[0].Count, p.Threads[0].Name)
	}
	if p.Toucher.Share > 0.5 && len(p.Sites) == 0 && !java.Collects(p.Toucher.Name) {
		text += fmt.Sprintf("; thread %s (%d) touches most of it, which need not be who keeps it", p.Toucher.Name, p.Toucher.TID)
	}
	if p.Next != "" {
		text += "; to know more: " + p.Next
	}
	return text
}

// manyThreads is how many more there must be before they are told of.
const manyThreads = 4

// kinds are those that make most of what a process gains: "the Java heap (+25 MiB), arenas of malloc (+8 MiB)".
func (p *Process) kinds() string {
	var sum int64
	for _, m := range p.Mappings {
		sum += m.Bytes
	}
	var parts []string
	for _, m := range p.Mappings {
		if m.Bytes > sum/5 {
			parts = append(parts, fmt.Sprintf("%s (+%s)", m.Kind, finding.FormatBytes(float64(m.Bytes))))
		}
	}
	return strings.Join(parts, ", ")
}

func (s *Site) answer() attribution.Site {
	a := attribution.Site{
		Grade: string(s.Grade), Kind: string(s.Kind), Function: s.Function.Function, File: s.Function.File, Line: s.Function.Line,
		Handler: s.Handler, Route: s.Route, Holder: s.Holder, Of: s.Of, Users: s.Users, BytesPerMinute: s.PerMinute, Share: s.Share, Objects: s.Objects,
	}
	a.Callers = s.callers()
	for _, b := range s.Blocked {
		a.Blocked = append(a.Blocked, b.Function)
	}
	return a
}

// buildID is what stands before the build id in the name of a function that has none.
const buildID = " (build id "

// callers names them. The build id of a file is told once.
func (s *Site) callers() (names []string) {
	_, of, _ := strings.Cut(s.Function.Function, buildID)
	for _, c := range s.Callers {
		names = append(names, strings.TrimSuffix(c.Function, buildID+of))
	}
	return names
}

// text says who holds it: "+18 MiB/min held by main.(*SessionCache).Put (cache.go:27) ← main.users (GET /api/users), 96 % of the growth".
func (r *Report) text() string {
	var parts []string
	for _, s := range r.Sites() {
		if s.Grade != Retained || len(parts) >= told || len(parts) > 0 && s.Share < 0.05 {
			break
		}
		parts = append(parts, s.sentence(len(parts) == 0))
	}
	return strings.Join(parts, ", then ")
}

func (s *Site) sentence(first bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "+%s/min ", finding.FormatBytes(s.PerMinute))
	switch {
	case s.Kind == KindGoroutines:
		fmt.Fprintf(&b, "of stacks in %.0f goroutines that never ended, started in ", s.Objects)
	case s.Kind == KindThreads:
		fmt.Fprintf(&b, "of stacks of %.0f threads, started in ", s.Objects)
	case first:
		b.WriteString("held by ")
	default:
		b.WriteString("by ")
	}
	b.WriteString(s.Function.Function)
	if s.Kind == KindObjects {
		fmt.Fprintf(&b, " (%s)", s.holding())
		if len(s.Users) > 0 {
			b.WriteString(", used in " + strings.Join(s.Users, ", "))
		}
	} else if s.Function.Line > 0 {
		fmt.Fprintf(&b, " (%s:%d)", base(s.Function.File), s.Function.Line)
	}
	serves := " (HTTP handler)"
	if s.Route != "" {
		serves = " (" + s.Route + ")"
	}
	if s.Function.Function == s.Handler {
		b.WriteString(serves)
	}
	for _, c := range s.callers() {
		b.WriteString(" ← " + c)
		if c == s.Handler {
			b.WriteString(serves)
			break // what calls a handler is the same for all of them
		}
	}
	if s.waits != "" {
		b.WriteString(", blocked in " + s.waits)
	}
	if s.Processes > 1 {
		fmt.Fprintf(&b, ", in %d processes", s.Processes)
	}
	fmt.Fprintf(&b, ", %.0f %% of the growth", s.Share*100)
	return b.String()
}

// holding says what a variable is, and what it gains: "leak.py: dict, +1200 entries/min of app.Session".
func (s *Site) holding() string {
	var b strings.Builder
	if s.Function.File != "" {
		b.WriteString(base(s.Function.File))
		if s.Function.Line > 0 {
			fmt.Fprintf(&b, ":%d", s.Function.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(s.Holder)
	if s.Bytes > 0 && s.Objects > 0 {
		fmt.Fprintf(&b, ", +%.0f entries/min", s.Objects*s.PerMinute/s.Bytes)
	}
	if s.Of != "" {
		b.WriteString(" of " + s.Of)
	}
	return b.String()
}

// waits names where goroutines block: the innermost function that is not the language's, the language's that it has called, and what that waits for.
func waits(stack []symbols.Frame, of func(symbols.Frame) whose) string {
	notRuntime := func(f symbols.Frame) bool { return !strings.HasPrefix(f.Function, "runtime.") }
	i := slices.IndexFunc(stack, func(f symbols.Frame) bool { return of(f) != ofLanguage })
	if i < 0 {
		i = slices.IndexFunc(stack, notRuntime)
	}
	if i < 0 {
		return ""
	}
	at, on := stack[i].Function, ""
	if f := stack[i]; f.Line > 0 {
		at += fmt.Sprintf(" (%s:%d)", base(f.File), f.Line)
	}
	called := i > 0 && notRuntime(stack[i-1])
	if called {
		at = stack[i-1].Function + " ← " + at
	}
	for _, f := range stack[:i] {
		switch {
		case f.Function == "runtime.netpollblock":
			on = " on the network"
		case called: // its name tells
		case f.Function == "runtime.chanrecv":
			on = " on receiving from a channel"
		case f.Function == "runtime.chansend":
			on = " on sending to a channel"
		case f.Function == "runtime.selectgo":
			on = " in a select"
		case f.Function == "runtime.semacquire1":
			on = " on a lock"
		}
	}
	return at + on
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
