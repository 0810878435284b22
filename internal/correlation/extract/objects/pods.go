package objects

import (
	"cmp"
	"fmt"
	"regexp"
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
	if scheduled := pod.condition("PodScheduled"); scheduled.str("status") == "False" {
		t.unscheduled(pod, e, scheduled)
		return
	}
	if pod.str("spec", "nodeName") == "" {
		return
	}
	t.setUp(pod, e)
	pod.each(func(status object) { t.container(pod, e, status, true) }, "status", "initContainerStatuses")
	pod.each(func(status object) { t.container(pod, e, status, false) }, "status", "containerStatuses")
}

// overdue is how long after the end of its grace a deleted pod may still be there.
const overdue = 5 * time.Minute

// terminating tells of a pod that was deleted and does not go.
func (t *telling) terminating(pod object, e entity.Entity) {
	since := pod.time("metadata", "deletionTimestamp") // when its grace ends
	if t.now.Sub(since) < overdue {
		return
	}
	facts := map[string]string{}
	if names := pod.texts("metadata", "finalizers"); len(names) > 0 {
		facts["finalizers"] = join(names)
	}
	if ev := t.last("Pod", pod, t.now.Add(-lately), "FailedKillPod", "FailedPreStopHook", "ExceededGracePeriod"); ev.ok {
		facts["message"] = brief(said(ev))
	}
	t.state(e, signal.Terminating, since, "it was deleted, its grace is over, and it is still there", facts)
}

// lowOn is what a node was low on when it evicted a pod (pkg/kubelet/eviction/helpers.go).
var lowOn = regexp.MustCompile(`low on resource: ([\w.-]+)`)

// failed tells of a pod that ended with an error for good. Those of jobs are the jobs' matter; an evicted one of a workload is
// made anew elsewhere, but its node is in need.
func (t *telling) failed(pod object, e entity.Entity) {
	reason, message := pod.str("status", "reason"), pod.str("status", "message")
	ref := pod.controller()
	if ref.str("kind") == "Job" || ref.ok && reason != "Evicted" {
		return
	}
	facts := map[string]string{"reason": reason, "message": brief(message)}
	var ended time.Time
	pod.each(func(s object) {
		end := s.child("state", "terminated")
		if at := end.time("finishedAt"); at.After(ended) {
			ended = at
		}
		if code := int(end.num(0, "exitCode")); end.ok && code != 0 {
			facts["exit"] = fmt.Sprintf("%s ended with exit code %d (%s)", s.str("name"), code,
				ending(code, int(end.num(0, "signal")), end.str("reason"), end.str("message"))["meaning"])
		}
	}, "status", "containerStatuses")
	if ended.IsZero() {
		ended = cmp.Or(pod.condition("DisruptionTarget").time("lastTransitionTime"), pod.condition("Ready").time("lastTransitionTime"), pod.time("status", "startTime"))
	}
	if reason == "Evicted" {
		facts["problem"] = "evicted"
		facts["resource"] = strings.TrimSuffix(group(lowOn, message), ".")
	}
	t.state(e, signal.PodFailed, ended, "the pod failed: "+cmp.Or(facts["message"], facts["exit"], reason), facts)
}

// unscheduled tells why no node takes a pod.
func (t *telling) unscheduled(pod object, e entity.Entity, scheduled object) {
	since := scheduled.time("lastTransitionTime")
	if scheduled.str("reason") != "Unschedulable" || t.now.Sub(since) < settling {
		return // it waits behind its gates, as somebody asked, or the scheduler has not looked yet
	}
	message := scheduled.str("message")
	facts := unschedulable(message)
	if facts["problem"] == "cpu" || facts["problem"] == "memory" {
		t.room(pod, facts["problem"], facts)
	}
	if facts["problem"] == "selector" {
		facts["wants"] = wanted(pod)
	}
	if facts["problem"] == "volume" {
		t.unbound(pod, facts)
	}
	t.state(e, signal.Unschedulable, since, "the scheduler: "+facts["message"], facts)
}

// setUp tells what keeps a pod's containers from being made at all: its volumes, and its network.
func (t *telling) setUp(pod object, e entity.Entity) {
	waits := false
	pod.each(func(s object) {
		reason := s.str("state", "waiting", "reason")
		waits = waits || reason == "ContainerCreating" || reason == "PodInitializing"
	}, "status", "containerStatuses")
	ran := false // an init container that ran shows that both are there
	pod.each(func(s object) {
		ran = ran || s.has("state", "running") || s.has("state", "terminated") || s.has("lastState", "terminated")
	},
		"status", "initContainerStatuses")
	since := pod.condition("PodScheduled").time("lastTransitionTime")
	if !waits || ran || t.now.Sub(since) < settling {
		return
	}
	if failed := t.last("Pod", pod, since, "FailedMount", "FailedAttachVolume"); failed.ok {
		message := said(failed)
		facts := t.missing(pod.namespace(), message)
		facts["volume"] = group(volumeRE, message)
		t.state(e, signal.MountFailed, began(failed), "the kubelet cannot mount a volume: "+brief(message), facts)
		return
	}
	if failed := t.last("Pod", pod, since, "FailedCreatePodSandBox"); failed.ok {
		t.state(e, signal.SandboxFailed, began(failed), "the runtime cannot set the pod up: "+brief(said(failed)), map[string]string{"message": brief(said(failed))})
	}
}

// room tells what a pod asks for, and what the largest node could give.
func (t *telling) room(pod object, resource string, facts map[string]string) {
	asked := 0.0
	pod.each(func(c object) { asked += quantity(c, "resources", "requests", resource) }, "spec", "containers")
	pod.each(func(c object) {
		asked = max(asked, quantity(c, "resources", "requests", resource))
	}, "spec", "initContainers")
	most := 0.0
	for _, n := range t.kinds["nodes"] {
		most = max(most, quantity(n, "status", "allocatable", resource))
	}
	facts["asks"] = amount(resource, asked)
	if most > 0 && t.listed["nodes"] {
		facts["largest"] = amount(resource, most)
		if asked > most {
			facts["never"] = "true"
		}
	}
}

// unbound names the claim that a pod waits for.
func (t *telling) unbound(pod object, facts map[string]string) {
	pod.each(func(v object) {
		name := v.str("persistentVolumeClaim", "claimName")
		if name == "" || facts["claim"] != "" {
			return
		}
		claim, known := t.kinds["persistentvolumeclaims"][key{pod.namespace(), name}]
		switch {
		case known && claim.str("status", "phase") != "Bound":
			facts["claim"] = name
		case !known && t.listed["persistentvolumeclaims"]:
			facts["claim"], facts["claim_missing"] = name, "true"
		}
	}, "spec", "volumes")
}
