// Package attribution is what those agree on who ask who holds memory, or whose system calls fail and why, who find it out, and who
// stand between: the correlation processor and the findings endpoint ask, the ebpf receiver finds out, and the attribution extension
// takes one question after the other. Components of a collector reach each other through extensions only.
package attribution

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
)

// Kind is what is to be found out.
type Kind string

// The kinds of questions.
const (
	// Memory asks who holds the memory that a subject gains.
	Memory Kind = "memory"
	// Errors asks which of a subject's system calls fail because something is exhausted, and whose they are.
	Errors Kind = "errors"
)

// Kinds are all kinds of questions.
var Kinds = []Kind{Memory, Errors}

// Bounds are the shortest and the longest look at a subject that answers a question of a kind; of an unknown kind there is none.
func (k Kind) Bounds() (least, most time.Duration) {
	switch k {
	case Memory:
		return 5 * time.Second, 2 * time.Minute
	case Errors:
		return time.Second, 30 * time.Second
	}
	return 0, 0
}

// Check says what is wrong with how long a look is to be.
func (k Kind) Check(window time.Duration) error {
	if least, most := k.Bounds(); window < least || window > most {
		return fmt.Errorf("is %s, want %s to %s", window, least, most)
	}
	return nil
}

// Subject is who is looked at.
type Subject struct {
	// Name is what people call it, Cgroup the path of its memory cgroup below the mount point; empty: the whole machine is looked at.
	Name, Cgroup string
	// Mountpoint is of a file system, Disk the name of a disk: whoever on the machine uses it is meant.
	Mountpoint, Disk string
}

// Question asks something about a subject.
type Question struct {
	Subject
	Kind Kind
	// Window is how long to look; 0 means as configured.
	Window time.Duration
	// Before is when an answer about memory will be too late: the subject may be killed then. Zero: nobody knows.
	Before time.Time
}

// State is how far the answer to a question is.
type State string

// The states of an answer.
const (
	Waiting State = "waiting"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// Answer is what was found out.
type Answer struct {
	ID      string    `json:"id"`
	Kind    Kind      `json:"kind"`
	State   State     `json:"state"`
	Subject string    `json:"subject"`
	Asked   time.Time `json:"asked"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Text says it in one sentence; Reason what could not be found out, and why.
	Text   string `json:"text,omitempty"`
	Reason string `json:"reason,omitempty"`
	Sites  []Site `json:"sites,omitempty"`
	// Failures are those that happened most often, first.
	Failures []Failure `json:"failures,omitempty"`
	// Profile is what is retained, for `go tool pprof`.
	Profile []byte `json:"-"`
}

// Empty says that it names nobody.
func (a Answer) Empty() bool {
	return len(a.Failures) == 0 && !slices.ContainsFunc(a.Sites, func(s Site) bool { return s.Grade == Retained })
}

// Failure is a system call that failed because something is exhausted.
type Failure struct {
	// Syscall is the call's name, Error that of its errno, Count how often it failed so.
	Syscall string `json:"syscall"`
	Error   string `json:"error"`
	Count   uint64 `json:"count"`
	// Process and PID are who called; Cgroup is where that is, if the subject is no cgroup.
	Process string `json:"process"`
	PID     int    `json:"pid"`
	Cgroup  string `json:"cgroup,omitempty"`
}

// Retained is the grade of what was allocated since and is still held. Only that may be called a leak.
const Retained = "retained"

// Objects is the kind of a site that is a variable, not a function.
const Objects = "objects"

// Site is a place in a program that holds memory.
type Site struct {
	// Grade is Retained, or "growth" for who only fetches new memory; Kind is "heap", "mapped", or "goroutines" or "threads", which Function
	// has started, or "objects": then Function is the variable that holds them.
	Grade string `json:"grade"`
	Kind  string `json:"kind"`
	// Function holds it, File and Line are where; Callers are who called that, the nearest first, Handler the one of them that
	// serves HTTP requests.
	Function string   `json:"function"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`
	Callers  []string `json:"callers,omitempty"`
	Handler  string   `json:"handler,omitempty"`
	// Route is which requests that serves, as "GET /users/{id}".
	Route string `json:"route,omitempty"`
	// Holder is the type of a variable that holds objects, Of that of most that it gained.
	Holder string `json:"holder,omitempty"`
	Of     string `json:"of,omitempty"`
	// Users are the functions that use such a variable, where those are few.
	Users []string `json:"users,omitempty"`
	// Blocked is where goroutines wait, the innermost first.
	Blocked []string `json:"blocked,omitempty"`
	// BytesPerMinute is what it gains, Share that of all that is gained, of 1; Objects how many were gained, 0 where not known.
	BytesPerMinute float64 `json:"bytesPerMinute"`
	Share          float64 `json:"share,omitempty"`
	Objects        float64 `json:"objects,omitempty"`
}

// Attributor finds it out. It returns when ctx is done.
type Attributor func(ctx context.Context, q Question) (Answer, error)

// Desk takes questions, those of a kind one after the other.
type Desk interface {
	component.Component
	// Ask puts a question in line and returns its id, or the id of the same question that waits or is being looked into. It returns
	// ErrNobody, ErrBusy or ErrRecent when it is not taken.
	Ask(q Question) (string, error)
	// Answer returns what is known so far.
	Answer(id string) (Answer, bool)
	// Attend says who finds it out, until leave is called.
	Attend(a Attributor) (leave func())
	// Know says who knows subjects by the names that people give them, until leave is called. Find asks.
	Know(find func(name, namespace string) (Subject, bool)) (leave func())
	Find(name, namespace string) (Subject, bool)
}

// Why a question is not taken.
var (
	ErrNobody = errors.New("nobody here can look into processes: the ebpf receiver is not in a logs pipeline")
	ErrBusy   = errors.New("too many questions are waiting")
	ErrRecent = errors.New("it was looked at a short while ago")
)

// Find returns the desk among a host's extensions; nil when there is none.
func Find(host component.Host) Desk {
	var found Desk
	var of component.ID
	for id, e := range host.GetExtensions() {
		if d, ok := e.(Desk); ok && (found == nil || id.String() < of.String()) {
			found, of = d, id
		}
	}
	return found
}
