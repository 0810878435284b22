package objects

import (
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// lately is how long ago an event may be to explain a present state. Events are kept for an hour by default.
	lately = time.Hour
	// settling is how long a pod may take to be scheduled, or its volumes and network to be set up, before anybody is told.
	settling = 15 * time.Second
)

// owners is the workload that a pod belongs to, the outermost that is known: container ⊂ pod ⊂ ReplicaSet ⊂ Deployment.
func (c *Cluster) owner(pod object) *finding.Owner {
	ref := pod.controller()
	if !ref.ok || ref.str("kind") == "Node" { // a static pod is its node's own
		return nil
	}
	o := finding.Owner{Kind: ref.str("kind"), Name: ref.str("name")}
	k := key{pod.namespace(), o.Name}
	switch o.Kind {
	case "ReplicaSet":
		if set, known := c.kinds["replicasets"][k]; known {
			if up := set.controller(); up.ok {
				o = finding.Owner{Kind: up.str("kind"), Name: up.str("name")}
			}
		} else if hash := pod.str("metadata", "labels", "pod-template-hash"); hash != "" && strings.HasSuffix(o.Name, "-"+hash) {
			// Where ReplicaSets may not be listed: only a Deployment's pods have the label.
			o = finding.Owner{Kind: "Deployment", Name: strings.TrimSuffix(o.Name, "-"+hash)}
		}
	case "Job":
		if job, known := c.kinds["jobs"][k]; known {
			if up := job.controller(); up.ok {
				o = finding.Owner{Kind: up.str("kind"), Name: up.str("name")}
			}
		}
	}
	return &o
}

// workload names a workload as kubectl does: deployment/api.
func workload(o *finding.Owner) string { return strings.ToLower(o.Kind) + "/" + o.Name }

func (c *Cluster) podEntity(pod object) entity.Entity {
	return entity.Entity{ID: entity.ID("pod:" + pod.uid()), Kind: entity.Pod, Name: pod.name(), Namespace: pod.namespace(),
		UID: pod.uid(), Node: pod.str("spec", "nodeName"), Owner: c.owner(pod)}
}

// pod tells what is wrong with a pod and its containers.
func (t *telling) pod(pod object) {
	phase := pod.str("status", "phase")
	e := t.podEntity(pod)
	switch {
	case pod.leaving():
		t.terminating(pod, e)
		return
	case phase == "Failed":
		t.failed(pod, e)
		return
	case phase == "Succeeded":
		return
	}
	if pod.str("spec", "nodeName") == "" {
		t.unscheduled(pod, e)
		return
	}
	if !t.placed(pod, e) {
		return
	}
	t.setUp(pod, e)
	t.resizing(pod, e)
	t.gates(pod, e)
	pod.each(func(status object) { t.container(pod, e, status, true) }, "status", "initContainerStatuses")
	pod.each(func(status object) { t.container(pod, e, status, false) }, "status", "containerStatuses")
}

// gates tells of a pod whose containers are ready, and that is not, because a condition that its spec asks for is not met: whoever sets
// it, a load balancer's controller for example, does not.
func (t *telling) gates(pod object, e entity.Entity) {
	all := pod.condition("ContainersReady")
	if readyPod(pod) || all.str("status") != "True" || t.now.Sub(all.time("lastTransitionTime")) < starting {
		return
	}
	pod.each(func(g object) {
		kind := g.str("conditionType")
		if c := pod.condition(kind); c.str("status") != "True" {
			t.state(e, signal.GateWaits, all.time("lastTransitionTime"), "readiness gate "+kind+" is not met",
				map[string]string{"gate": kind, "message": brief(c.str("message"))})
		}
	}, "spec", "readinessGates")
}
