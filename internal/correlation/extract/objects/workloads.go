package objects

import (
	"fmt"
	"strconv"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// deployment tells of a rollout that does not go on, of pods that are refused, and of too few that are ready.
func (t *telling) deployment(d object) {
	if d.leaving() {
		t.overdue(entity.Deployment, d)
		return
	}
	e := entity.Named(entity.Deployment, d.namespace(), d.name())
	refused := d.condition("ReplicaFailure")
	if refused.str("status") == "True" {
		t.refused(e, refused.time("lastTransitionTime"), refused.str("message"))
	}
	desired, ready, updated := d.num(1, "spec", "replicas"), d.num(0, "status", "readyReplicas"), d.num(0, "status", "updatedReplicas")
	available := d.condition("Available")
	facts := map[string]string{"ready": whole(ready), "updated": whole(updated), "desired": whole(desired)}
	switch p := d.condition("Progressing"); {
	case p.str("status") == "False" && p.str("reason") == "ProgressDeadlineExceeded":
		facts["message"], facts["deadline"] = brief(p.str("message")), whole(d.num(600, "spec", "progressDeadlineSeconds"))
		t.revisions(d, facts)
		t.state(e, signal.RolloutStuck, p.time("lastTransitionTime"), facts["message"], facts)
	case d.yes("spec", "paused"):
		if updated < desired && d.num(0, "status", "observedGeneration") > 0 && t.now.Sub(d.created()) > starting {
			t.state(e, signal.RolloutPaused, time.Time{}, "its rollout is paused: "+facts["updated"]+" of "+facts["desired"]+" pods are of the new revision", facts)
		}
	case refused.str("status") == "True":
	case available.str("status") == "False" && desired > 0 && t.now.Sub(available.time("lastTransitionTime")) > max(starting, slowest(d)):
		facts["problem"] = "unavailable"
		t.short(e, available.time("lastTransitionTime"), facts)
	default:
		t.unseen(d, e, facts)
	}
}

// replicaSet tells of the pods of a ReplicaSet that is nobody's.
func (t *telling) replicaSet(o object) {
	if o.leaving() || o.controller().ok {
		return // its Deployment tells
	}
	if f := o.condition("ReplicaFailure"); f.str("status") == "True" {
		t.refused(entity.Named(entity.ReplicaSet, o.namespace(), o.name()), f.time("lastTransitionTime"), f.str("message"))
	}
}

// statefulSet tells of pods that are refused or missing: of an ordered one, which pod the others wait for.
func (t *telling) statefulSet(s object) {
	if s.leaving() {
		t.overdue(entity.StatefulSet, s)
		return
	}
	e := entity.Named(entity.StatefulSet, s.namespace(), s.name())
	desired, ready, made := s.num(1, "spec", "replicas"), s.num(0, "status", "readyReplicas"), s.num(0, "status", "replicas")
	facts := map[string]string{"ready": whole(ready), "desired": whole(desired), "made": whole(made)}
	if made < desired && t.refusedPods(s, e) {
		return
	}
	switch {
	case ready >= desired:
		if name := s.str("spec", "serviceName"); name != "" && desired > 0 && t.lacks("services", s.namespace(), name) && t.now.Sub(s.created()) >= reconciled {
			t.state(e, signal.ServiceMissing, s.created(), "there is no service "+name, map[string]string{"service": name, "nearest": t.nearestService(s.namespace(), name),
				"selector": labels(s.words("spec", "selector", "matchLabels"))})
		}
		t.unseen(s, e, facts)
	default:
		first, since := t.unready(s)
		if first.ok && made < desired && s.str("spec", "podManagementPolicy") != "Parallel" {
			facts["problem"], facts["waits_for"] = "ordered", first.name()
		}
		t.shortSince(s, e, since, facts)
	}
}

// daemonSet tells of pods that are refused, missing, or where they should not be.
func (t *telling) daemonSet(d object) {
	if d.leaving() {
		t.overdue(entity.DaemonSet, d)
		return
	}
	e := entity.Named(entity.DaemonSet, d.namespace(), d.name())
	desired, ready, made := d.num(0, "status", "desiredNumberScheduled"), d.num(0, "status", "numberReady"), d.num(0, "status", "currentNumberScheduled")
	facts := map[string]string{"ready": whole(ready), "desired": whole(desired), "made": whole(made)}
	if made < desired && t.refusedPods(d, e) {
		return
	}
	if wrong := d.num(0, "status", "numberMisscheduled"); wrong > 0 {
		t.state(e, signal.Misscheduled, time.Time{}, whole(wrong)+" of its pods run where they should not", map[string]string{"pods": whole(wrong)})
	}
	if ready >= desired {
		t.unseen(d, e, facts)
		return
	}
	_, since := t.unready(d)
	t.shortSince(d, e, since, facts)
}

func whole(n float64) string { return strconv.Itoa(int(n)) }

// revisions tells which revision a Deployment is at, and what changed since the one before.
func (t *telling) revisions(d object, facts map[string]string) {
	change, known := t.change(d)
	if !known {
		return
	}
	if facts["revision"] = change.revision; change.before == "" {
		facts["first"] = "true" // there is none to go back to
	} else {
		facts["before"], facts["changed"] = change.before, change.what
		facts["before_ready"] = fmt.Sprint(change.ready)
	}
}
