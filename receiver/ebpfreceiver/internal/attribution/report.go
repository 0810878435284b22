//go:build linux

// Package attribution finds out, on demand and for a bounded time, who holds the memory that a container gains.
package attribution

import (
	"strings"
	"time"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

// Grade says what evidence is worth. The two are never mixed.
type Grade string

const (
	// Retained is what was allocated since, and is still held: it may be called a leak.
	Retained Grade = "retained"
	// Growing is who fetches new memory, which may well be who makes garbage: it may not.
	Growing Grade = "growth"
)

// Kind says what a site holds.
type Kind string

const (
	KindHeap       Kind = "heap"
	KindGoroutines Kind = "goroutines"
	// KindObjects is a variable that holds objects: Function names it instead of a function.
	KindObjects Kind = "objects"
	// KindMapped is memory that a program has mapped by itself (mmap, sbrk).
	KindMapped Kind = "mapped"
	// KindThreads is stacks of threads: Function has started these.
	KindThreads Kind = "threads"
)

// Site is a place in a program that holds memory, or fetches it.
type Site struct {
	Grade Grade
	Kind  Kind
	// Bytes is its part of the growth over the window, PerMinute that by the minute, Share of the whole growth, of 1.
	Bytes, PerMinute, Share float64
	// Objects is how many objects, goroutines, threads or entries that is, about; 0 where it is not known.
	Objects float64
	// Processes is how many hold it; 0 where only one was asked for.
	Processes int
	// Samples is how many samples say so; 0 where all were looked at.
	Samples int
	// Function holds it; Callers are who called that, the nearest first, without what belongs to the language.
	Function symbols.Frame
	Callers  []symbols.Frame
	// Handler is the function among these that serves HTTP requests; empty when none is known to.
	Handler string
	// Route is which requests it serves, as "GET /users/{id}"; empty where it is not known.
	Route string
	// Holder is the type of a variable that holds objects, Of that of most that it gained.
	Holder, Of string
	// Users are the functions that use such a variable, where those are few: "put() (store.py:13)".
	Users []string
	// Blocked is where goroutines wait.
	Blocked []symbols.Frame
	// Stack is all of it, the innermost first.
	Stack []symbols.Frame

	tables float64 // bytes of Bytes that are room in tables
	waits  string  // where goroutines wait, in words
}

// Process is what was found out about one process.
type Process struct {
	PID  int
	Name string
	// Runtime is "go1.26.0", "python3.11", "native", "node", "java" or "other"; "python" where its version is none that is known.
	Runtime string
	// Anonymous is what it holds in bytes that the kernel cannot take back.
	Anonymous uint64
	// Growth is by how much it has grown over the window, in bytes: the live heap and the stacks of goroutines for Go,
	// anonymous memory for others. Grows says whether it did, and still did in the window's second half.
	Growth float64
	Grows  bool
	// Sites are the largest first, those retained before others.
	Sites []Site
	// Unattributed is growth of which nobody was found to hold it, in bytes.
	Unattributed float64
	// Mappings are the kinds of memory that have grown.
	Mappings []process.Growth
	// Threads are those that were added, Toucher which of all touches most of the new memory: growth, whoever keeps it.
	Threads []process.Added
	Toucher process.Toucher
	// Reason says what could not be attributed, and why; Next what to run to know more.
	Reason, Next string
	// Hits is how often probes were hit.
	Hits uint64

	metadata int64 // by how much what a Java program uses for its classes has grown, in bytes
}

// Report is what was found out about a container or a process.
type Report struct {
	Began  time.Time
	Window time.Duration
	// CPU is what it took of the collector's.
	CPU       time.Duration
	Processes []Process
	// Left is how many smaller processes were not looked at.
	Left int
}

// Sites are those of all processes, the largest first. What several processes hold in the same place is one site, as with the workers of a
// server; shares are those of the growth of all.
func (r *Report) Sites() []Site {
	var all []Site
	at := map[string]int{}
	var growth float64
	for _, p := range r.Processes {
		growth += p.Unattributed
		for _, s := range p.Sites {
			if s.Grade == Retained {
				growth += s.Bytes
			}
			s.Processes = 1
			key := strings.Join([]string{string(s.Grade), string(s.Kind), s.Text(), s.Holder, s.Of}, "\x00")
			i, ok := at[key]
			if !ok {
				at[key] = len(all)
				all = append(all, s)
				continue
			}
			of := &all[i]
			of.Bytes += s.Bytes
			of.PerMinute += s.PerMinute
			of.Objects += s.Objects
			of.Samples += s.Samples
			of.Processes++
		}
	}
	for i := range all {
		if s := &all[i]; s.Grade == Retained && growth > 0 && len(r.Processes) > 1 {
			s.Share = s.Bytes / growth
		}
	}
	sortSites(all)
	return all
}
