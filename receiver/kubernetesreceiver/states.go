package kubernetesreceiver

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// EventStatus is the event that tells how well a resource is seen. Its attributes are k8s.resource.name and those below.
const (
	EventStatus = "kubernetes.resource.status"
	// AttrState is `watched`, `blind` (nothing is seen, or nothing new), `unserved` (the cluster has no such kind), `waiting` (not
	// listed yet) or `standby` (this replica does not lead).
	AttrState = "kubernetes.resource.state"
	// AttrReason says why, in words.
	AttrReason = "kubernetes.resource.reason"
	// AttrComplete says that all objects of the resource have been told, up to what was told last of any resource: one that was not
	// told is not there.
	AttrComplete = "kubernetes.resource.complete"
)

// state is how well a resource is seen, better ones first.
type state int

const (
	watched state = iota
	unserved
	standby
	waiting
	blind
)

func (s state) String() string {
	return [...]string{"watched", "unserved", "standby", "waiting", "blind"}[s]
}

// states are those of all sources. They are safe for concurrent use.
type states struct {
	mu    sync.Mutex
	each  []seen
	fresh chan struct{}
}

type seen struct {
	resource string
	state    state
	reason   string
	// listed says that all of the source was told, and nothing of any other since it is not watched any more; whole, that nothing was
	// left out.
	listed, whole bool
}

func (t *states) init(sources []*source) {
	t.fresh = make(chan struct{}, 1)
	for i, s := range sources {
		s.at = i
		t.each = append(t.each, seen{resource: s.resource.Name, state: waiting, reason: "not listed yet", whole: s.namespace == "" || s.resource.ClusterScoped})
	}
}

func (t *states) set(at int, to state, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.each[at]
	if s.state == to && s.reason == reason {
		return
	}
	s.state, s.reason = to, reason
	s.listed = s.listed || to == watched
	t.ask()
}

// moved notes that something is new: whatever is not watched now lags behind. While nothing at all comes, as without the API server,
// what was told goes on to be one view. It says whether anything lags behind that did not before.
func (t *states) moved() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	behind := false
	for i := range t.each {
		if s := &t.each[i]; s.listed && s.state != watched {
			s.listed, behind = false, true
		}
	}
	if behind {
		t.ask() // again: an older state may be on its way just now
	}
	return behind
}

func (t *states) all(to state, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.each {
		t.each[i].state, t.each[i].reason = to, reason
	}
	t.ask()
}

// ask has the states told soon.
func (t *states) ask() {
	select {
	case t.fresh <- struct{}{}:
	default:
	}
}

// worst are the states by resource: each has that of its worst source.
func (t *states) worst() []seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []seen
	at := map[string]int{}
	for _, s := range t.each {
		s.whole = s.whole && (s.state != watched || s.reason == "")
		i, known := at[s.resource]
		if !known {
			at[s.resource] = len(all)
			all = append(all, s)
			continue
		}
		of := &all[i]
		of.listed, of.whole = of.listed && s.listed, of.whole && s.whole
		if s.state > of.state || s.state == of.state && of.reason == "" {
			of.state, of.reason = s.state, s.reason
		}
	}
	return all
}

// tellStates tells the states when they change, and now and then.
func (r *kubernetesReceiver) tellStates(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.states.fresh:
		}
		_ = r.tellState(ctx) // it ends with ctx only
	}
}

func (r *kubernetesReceiver) tellState(ctx context.Context) error {
	all := r.states.worst()
	return r.deliver(ctx, func() (plog.Logs, error) { return statuses(all, time.Now()), nil })
}

func statuses(all []seen, now time.Time) plog.Logs {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, s := range all {
		r := records.AppendEmpty()
		r.SetEventName(EventStatus)
		r.SetTimestamp(pcommon.NewTimestampFromTime(now))
		r.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
		a := r.Attributes()
		a.PutStr("k8s.resource.name", s.resource)
		a.PutStr(AttrState, s.state.String())
		a.PutBool(AttrComplete, s.listed && s.whole)
		if s.reason != "" {
			a.PutStr(AttrReason, s.reason)
		}
	}
	return ld
}
