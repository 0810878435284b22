package objects

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// deployment tells of a rollout that does not go on, and of pods that are refused.
func (t *telling) deployment(d object) {
	if d.leaving() {
		return
	}
	e := entity.Named(entity.Deployment, d.namespace(), d.name())
	if p := d.condition("Progressing"); p.str("status") == "False" && p.str("reason") == "ProgressDeadlineExceeded" {
		desired := int(d.num(1, "spec", "replicas"))
		ready, updated := int(d.num(0, "status", "readyReplicas")), int(d.num(0, "status", "updatedReplicas"))
		t.state(e, signal.RolloutStuck, p.time("lastTransitionTime"), brief(p.str("message")), map[string]string{
			"message": brief(p.str("message")), "ready": strconv.Itoa(ready), "updated": strconv.Itoa(updated), "desired": strconv.Itoa(desired),
			"deadline": strconv.Itoa(int(d.num(600, "spec", "progressDeadlineSeconds")))})
	}
	if f := d.condition("ReplicaFailure"); f.str("status") == "True" {
		t.refused(e, f.time("lastTransitionTime"), f.str("message"))
	}
}

// creator tells of pods that a ReplicaSet, StatefulSet or DaemonSet may not make.
func (t *telling) creator(o object) {
	if o.leaving() {
		return
	}
	kind, desired, made := entity.ReplicaSet, o.num(1, "spec", "replicas"), o.num(0, "status", "replicas")
	switch {
	case o.has("spec", "serviceName"), o.has("spec", "podManagementPolicy"):
		kind = entity.StatefulSet
	case o.has("status", "desiredNumberScheduled"):
		kind, desired, made = entity.DaemonSet, o.num(0, "status", "desiredNumberScheduled"), o.num(0, "status", "currentNumberScheduled")
	default:
		if o.controller().ok {
			return // its Deployment tells
		}
		if f := o.condition("ReplicaFailure"); f.str("status") == "True" {
			t.refused(entity.Named(kind, o.namespace(), o.name()), f.time("lastTransitionTime"), f.str("message"))
		}
		return
	}
	if made >= desired {
		return
	}
	if failed := t.last(string(kind), o, t.now.Add(-lately), "FailedCreate"); failed.ok {
		t.refused(entity.Named(kind, o.namespace(), o.name()), began(failed), said(failed))
	}
}

// refusedBy tell from a part of a message why the API server takes no pod. The first that fits is it.
var refusedBy = []struct{ part, problem string }{
	{"exceeded quota", "quota"}, {"failed quota", "quota"}, {"failed calling webhook", "webhook"}, {"admission webhook", "webhook_denied"},
	{"error looking up service account", "service_account"}, {"violates PodSecurity", "security"}, {"unable to validate against any", "security"},
	{"per Container is", "limit_range"}, {"per Pod is", "limit_range"}, {"is forbidden: User", "permission"},
}

func (t *telling) refused(e entity.Entity, since time.Time, message string) {
	facts := map[string]string{"message": brief(message)}
	for _, r := range refusedBy {
		if strings.Contains(message, r.part) {
			facts["problem"] = r.problem
			break
		}
	}
	t.state(e, signal.PodsRefused, since, "the API server refuses its pods: "+brief(message), facts)
}

// job tells of a job that was given up, unless a later one of its CronJob did the work.
func (t *telling) job(j object) {
	failed := j.condition("Failed")
	if failed.str("status") != "True" || j.leaving() {
		return
	}
	e := entity.Named(entity.Job, j.namespace(), j.name())
	if up := j.controller(); up.str("kind") == "CronJob" {
		e = entity.Named(entity.CronJob, j.namespace(), up.str("name"))
		for _, other := range t.kinds["jobs"] {
			if other.namespace() == j.namespace() && other.controller().str("name") == up.str("name") && other.created().After(j.created()) {
				return // it is the latest that counts
			}
		}
	}
	facts := map[string]string{"reason": failed.str("reason"), "message": brief(failed.str("message")), "job": j.name(),
		"failed": strconv.Itoa(int(j.num(0, "status", "failed")))}
	for _, pod := range t.kinds["pods"] {
		if pod.namespace() != j.namespace() || pod.controller().str("name") != j.name() {
			continue
		}
		pod.each(func(s object) {
			if ended := s.child("state", "terminated"); ended.ok && ended.num(0, "exitCode") != 0 {
				facts["exit"] = fmt.Sprintf("%s: exit code %d, %s", s.str("name"), int(ended.num(0, "exitCode")), ending(int(ended.num(0, "exitCode")),
					int(ended.num(0, "signal")), ended.str("reason"), ended.str("message"))["meaning"])
			}
		}, "status", "containerStatuses")
	}
	t.state(e, signal.JobFailed, failed.time("lastTransitionTime"), "the job controller: "+brief(failed.str("message")), facts)
}
