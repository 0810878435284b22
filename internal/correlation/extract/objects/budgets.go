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
	if !t.sees("pods", b.namespace()) || t.now.Sub(b.created()) < reconciled {
		return
	}
	pods := t.selected(b.namespace(), b.child("spec", "selector"))
	if t.budgetedTwice(b, pods) || allowed.str("status") != "False" || t.now.Sub(since) < reconciled {
		return
	}
	healthy, desired, expected := b.num(0, "status", "currentHealthy"), b.num(0, "status", "desiredHealthy"), b.num(0, "status", "expectedPods")
	facts := map[string]string{"message": brief(allowed.str("message")), "pods": b.text("status", "expectedPods"), "healthy": b.text("status", "currentHealthy"),
		"desired": b.text("status", "desiredHealthy"), "rule": "minAvailable " + b.text("spec", "minAvailable")}
	if b.has("spec", "maxUnavailable") {
		facts["rule"] = "maxUnavailable " + b.text("spec", "maxUnavailable")
	}
	stay := 0
	for _, pod := range pods {
		// The API server lets a pod go that waits for its node, or that is not ready where enough others are or the budget allows it.
		if pod.str("status", "phase") == "Pending" || !readyPod(pod) && (healthy >= desired && desired > 0 || b.str("spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow") {
			continue
		}
		stay++
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
	case stay == 0:
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

// budgetedTwice tells of a budget whose pods have another one: the API server evicts no pod that has two.
func (t *telling) budgetedTwice(b object, pods []object) bool {
	other := ""
	for _, pod := range pods {
		if known := t.budgets[pod.key()]; known != "" && pod.str("status", "phase") != "Pending" {
			other = known
		}
		t.budgets[pod.key()] = b.name()
	}
	if other == "" {
		return false
	}
	t.state(entity.Named(entity.Budget, b.namespace(), b.name()), signal.EvictionBlocked, b.created(), "budget "+other+" has the same pods",
		map[string]string{"problem": "twice", "other": other, "of": t.ownerOf(pods)})
	return true
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
