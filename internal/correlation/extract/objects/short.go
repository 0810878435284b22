package objects

import (
	"cmp"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// unheeded is how long a controller may take to see a change; it takes milliseconds where it runs.
const unheeded = time.Minute

// Unheeded says whether a Deployment, StatefulSet or DaemonSet, in any form that Take takes, has a change that its controller has not
// seen. When that was made is in its managedFields, which say nothing of interest otherwise.
func Unheeded(o any) bool { return of(o).unheeded() }

func (o object) unheeded() bool {
	return o.num(0, "metadata", "generation") > o.num(0, "status", "observedGeneration")
}

// changed is when somebody wrote an object last, other than its status; zero where that is not known.
func (o object) changed() time.Time {
	var last time.Time
	o.each(func(f object) {
		if at := f.time("time"); f.str("subresource") != "status" && at.After(last) {
			last = at
		}
	}, "metadata", "managedFields")
	return last
}

// unseen tells of a change that no controller has taken up.
func (t *telling) unseen(o object, e entity.Entity, facts map[string]string) {
	if at := o.changed(); o.unheeded() && !at.IsZero() && t.now.Sub(at) > unheeded {
		facts["problem"] = "unseen"
		t.short(e, at, facts)
	}
}

// unready is the first by number of a workload's pods that are not ready, and since when it has been short of one: nothing where no pod
// says so, as when one is gone and the next one not made yet. One that is deleted may use its grace.
func (t *telling) unready(o object) (first object, since time.Time) {
	fits := selector(o.child("spec", "selector"))
	for _, pod := range t.pods(o.namespace()) {
		if over(pod) || !labelled(fits, pod) || pod.controller().str("name") != o.name() {
			continue
		}
		at := pod.time("metadata", "deletionTimestamp") // when its grace ends
		if !pod.leaving() {
			if readyPod(pod) {
				continue
			}
			at = unreadySince(pod)
			if !first.ok || len(pod.name()) < len(first.name()) { // db-2 comes before db-10
				first = pod
			}
		}
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return first, since
}

// unreadySince is since when a pod is not ready.
func unreadySince(pod object) time.Time {
	return cmp.Or(pod.condition("Ready").time("lastTransitionTime"), pod.created())
}

// shortSince tells of a workload that is short for longer than its pods may take to start.
func (t *telling) shortSince(o object, e entity.Entity, since time.Time, facts map[string]string) {
	if !since.IsZero() && t.now.Sub(since) > max(starting, slowest(o)) {
		t.short(e, since, facts)
	}
}

// short tells of a workload that has fewer ready pods than it wants, whatever the reason.
func (t *telling) short(e entity.Entity, since time.Time, facts map[string]string) {
	t.state(e, signal.WorkloadShort, since, facts["ready"]+" of "+facts["desired"]+" pods are ready", facts)
}

// slowest is the longest that the probes of a workload's pods let these take to start.
func slowest(o object) time.Duration {
	most := time.Duration(o.num(0, "spec", "minReadySeconds")) * time.Second
	o.each(func(c object) {
		for _, probe := range []string{"startupProbe", "readinessProbe"} {
			if p := c.child(probe); p.ok {
				most = max(most, allowed(p))
			}
		}
	}, "spec", "template", "spec", "containers")
	return most
}
