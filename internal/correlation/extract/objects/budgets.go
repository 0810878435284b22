package objects

import (
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// starting is how long pods may take to get ready before anybody is told of what waits for them.
const starting = 5 * time.Minute

// budget tells of a disruption budget that lets no pod be evicted: a node with such pods cannot be drained.
func (t *telling) budget(b object) {
	if b.leaving() {
		t.overdue(entity.Budget, b)
		return
	}
	allowed := b.condition("DisruptionAllowed")
	since := allowed.time("lastTransitionTime")
	if !t.sees("pods", b.namespace()) || allowed.str("status") != "False" || t.now.Sub(b.created()) < reconciled || t.now.Sub(since) < reconciled {
		return
	}
	wants := selector(b.child("spec", "selector"))
	pods := t.selected(b.namespace(), wants)
	facts := map[string]string{"message": brief(allowed.str("message")), "pods": b.text("status", "expectedPods"), "healthy": b.text("status", "currentHealthy"),
		"desired": b.text("status", "desiredHealthy"), "rule": "minAvailable " + b.text("spec", "minAvailable")}
	if b.has("spec", "maxUnavailable") {
		facts["rule"] = "maxUnavailable " + b.text("spec", "maxUnavailable")
	}
	healthy, desired, expected := b.num(0, "status", "currentHealthy"), b.num(0, "status", "desiredHealthy"), b.num(0, "status", "expectedPods")
	for _, pod := range pods {
		if node := t.get("nodes", "", pod.str("spec", "nodeName")); node.yes("spec", "unschedulable") {
			facts["node"] = node.name()
		}
	}
	if o := t.ownerOf(pods); o != "" {
		facts["of"] = o
	}
	switch {
	case allowed.str("reason") == "SyncFailed":
		facts["problem"] = "sync"
	case expected == 0 && len(pods) == 0:
		return // scaled to zero, or nothing to protect: nothing is blocked
	case desired >= expected && healthy >= expected:
		facts["problem"] = "never"
	case healthy < desired && t.now.Sub(since) >= starting, healthy <= desired && facts["node"] != "":
		facts["problem"] = "unhealthy"
	default:
		return
	}
	t.state(entity.Named(entity.Budget, b.namespace(), b.name()), signal.EvictionBlocked, since, "the budget allows no disruption: "+facts["rule"]+
		", "+facts["healthy"]+" of "+facts["pods"]+" pods are healthy, "+facts["desired"]+" have to be", facts)
}

// ownerOf names the workload of some pods, as kubectl does: deployment/api.
func (t *telling) ownerOf(pods []object) string {
	for _, pod := range pods {
		if o := t.owner(pod); o != nil {
			return workload(o)
		}
	}
	return ""
}
