package objects

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

const (
	// noticed is how long a scheduler may take to say anything of a pod.
	noticed = time.Minute
	// gated is how long a pod may wait behind its gates: somebody asked for that, and it mostly is a queue.
	gated = time.Minute
	// scaling is how long a pod may wait for a new node while an autoscaler is at it.
	scaling = 2 * starting
)

// unscheduled tells why no node takes a pod.
func (t *telling) unscheduled(pod object, e entity.Entity) {
	scheduled := pod.condition("PodScheduled")
	since := cmp.Or(scheduled.time("lastTransitionTime"), pod.created())
	waited := t.now.Sub(since)
	message := scheduled.str("message")
	facts := map[string]string{"scheduler": cmp.Or(pod.str("spec", "schedulerName"), "default-scheduler"), "message": brief(message)}
	switch {
	case scheduled.str("reason") == "SchedulingGated":
		if waited < gated {
			return
		}
		var gates []string
		pod.each(func(g object) { gates = append(gates, g.str("name")) }, "spec", "schedulingGates")
		facts["problem"], facts["gates"], facts["message"] = "gated", join(gates), "it waits behind "+join(gates)
	case !scheduled.ok:
		if waited < noticed {
			return
		}
		// A scheduler says nothing while it waits for a volume on the node that it has chosen.
		if t.unbound(pod, facts); facts["chosen"] != "" {
			facts["problem"], facts["message"] = "volume", "node "+facts["chosen"]+" is chosen, and claim "+facts["claim"]+" is not bound there"
			break
		}
		facts["problem"], facts["message"] = "unnoticed", "scheduler "+facts["scheduler"]+" has said nothing of it"
	case scheduled.str("reason") != "Unschedulable" && scheduled.str("reason") != "SchedulerError" || waited < settling:
		return
	case waited < scaling && t.makingRoom(pod):
		return
	default:
		t.refusals(pod, message, facts)
		if only := onlyNode(pod); only != "" {
			facts["only"] = only
		}
		if not := t.last("Pod", pod, t.now.Add(-lately), scaled...); not.str("reason") == "NotTriggerScaleUp" {
			facts["autoscaler"] = brief(said(not))
		}
	}
	text := "the scheduler: " + facts["message"]
	if !scheduled.ok || facts["problem"] == "gated" {
		text = facts["message"]
	}
	t.state(e, signal.Unschedulable, since, text, facts)
}

// scaled are the reasons of the events by which autoscalers of nodes say whether they make one for a pod: the cluster's, and Karpenter.
var scaled = []string{"TriggeredScaleUp", "NotTriggerScaleUp", "Nominated"}

// makingRoom says whether an autoscaler makes a node for a pod, or a scheduler ends others for it on a node.
func (t *telling) makingRoom(pod object) bool {
	ev := t.last("Pod", pod, t.now.Add(-starting), scaled...)
	return ev.ok && ev.str("reason") != "NotTriggerScaleUp" || pod.str("status", "nominatedNodeName") != ""
}

// refusals adds why the nodes do not take a pod. Of the pods of one controller it is found out once.
func (t *telling) refusals(pod object, message string, facts map[string]string) {
	same := pod.controller().str("uid") + " " + message
	known, found := t.refusal[same]
	if !found || !pod.controller().ok {
		known = maps.Clone(facts)
		t.refuse(pod, message, known)
		if known["problem"] != "volume" { // each pod may have a claim of its own
			t.refusal[same] = known
		}
	}
	maps.Copy(facts, known)
}

func (t *telling) refuse(pod object, message string, facts map[string]string) {
	maps.Copy(facts, unschedulable(message))
	nodes := t.sorted("nodes")
	taints(pod, nodes, facts)
	if p := facts["problem"]; t.listed["nodes"] && (p == "taint" || p == "selector") && facts["taint"] != "" && facts["selector"] != "" {
		// The scheduler looks at taints first: which of the two it is depends on whether the pod asks for a node that is tainted.
		if facts["problem"] = "selector"; slices.ContainsFunc(nodes, func(n object) bool { return asksFor(pod, n) }) {
			facts["problem"] = "taint"
		}
	}
	switch facts["problem"] {
	case "cpu", "memory":
		t.room(pod, facts["problem"], facts)
		t.preempted(pod, facts)
	case "selector":
		facts["wants"] = cmp.Or(wanted(pod), affinity(pod))
		t.nearestNode(pod, facts)
	case "cordoned":
		var names []string
		for _, n := range t.sorted("nodes") {
			if n.yes("spec", "unschedulable") {
				names = append(names, n.name())
			}
		}
		if len(names) > 0 {
			facts["which"], facts["cordoned_node"] = join(names[:min(len(names), 5)]), names[0]
		}
	case "volume":
		t.unbound(pod, facts)
	case "affinity":
		facts["replicas"] = strconv.Itoa(t.labelledAlike(pod))
	}
}

// asksFor says whether a node has the labels that a pod asks for.
func asksFor(pod, node object) bool {
	terms := []string{"spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"}
	fits := pod.count(terms...) == 0
	pod.each(func(term object) { fits = fits || labelled(selector(term), node) }, terms...)
	return fits && matches(pod.words("spec", "nodeSelector"), node)
}

// labelledAlike is how many pods of a pod's namespace have its labels.
func (t *telling) labelledAlike(pod object) int {
	of := func(p object) string { return p.namespace() + " " + labels(p.words("metadata", "labels")) }
	if t.alike == nil {
		t.alike = map[string]int{}
		for _, p := range t.kinds["pods"] {
			t.alike[of(p)]++
		}
	}
	return t.alike[of(pod)]
}

// tolerates says whether a pod tolerates a taint.
func tolerates(pod, taint object) bool {
	found := false
	pod.each(func(tol object) {
		if k := tol.str("key"); k != "" && k != taint.str("key") || k == "" && tol.str("operator") != "Exists" {
			return
		}
		if e := tol.str("effect"); e != "" && e != taint.str("effect") {
			return
		}
		found = found || tol.str("operator") == "Exists" || tol.str("value") == taint.str("value")
	}, "spec", "tolerations")
	return found
}

// taints finds out which taints a pod does not tolerate: the scheduler of 1.37 no longer names them. Those that Kubernetes itself
// puts on nodes say that the node is not ready, or cordoned.
func taints(pod object, nodes []object, facts map[string]string) {
	if facts["taint"] == "" {
		return
	}
	counts, names := map[string]int{}, map[string]bool{}
	var told []string
	for _, node := range nodes {
		worst := ""
		node.each(func(taint object) {
			if effect := taint.str("effect"); effect != "NoSchedule" && effect != "NoExecute" || tolerates(pod, taint) {
				return
			}
			k := taint.str("key")
			switch {
			case k == "node.kubernetes.io/not-ready" || k == "node.kubernetes.io/unreachable":
				worst = "unready"
			case k == "node.kubernetes.io/unschedulable":
				worst = cmp.Or(worst, "cordoned")
			default:
				worst = cmp.Or(worst, "taint")
				name := k
				if v := taint.str("value"); v != "" {
					name += "=" + v
				}
				if name += ":" + taint.str("effect"); !names[name] {
					names[name] = true
					told = append(told, name)
				}
			}
		}, "spec", "taints")
		if worst != "" {
			counts[worst]++
		}
	}
	if len(told) > 0 {
		facts["taints"] = join(told)
	}
	most := 0 // of what else keeps nodes from it
	if facts["problem"] != "taint" {
		most, _ = strconv.Atoi(facts[facts["problem"]])
	}
	for _, problem := range []string{"unready", "cordoned"} {
		if counts[problem] > max(counts["taint"], most) {
			facts["problem"] = problem
			facts[problem] = strconv.Itoa(counts[problem])
			return
		}
	}
}

// room tells what a pod asks for, and what the largest node could give.
func (t *telling) room(pod object, resource string, facts map[string]string) {
	asked := requested(pod, resource)
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

// requested is what a pod asks its node for: its containers and sidecars together, or the init container that asks for most beside the
// sidecars before it; what the pod itself asks for counts instead. Its runtime class may ask for some more.
func requested(pod object, resource string) float64 {
	asked, sidecars, most := 0.0, 0.0, 0.0
	pod.each(func(c object) { asked += quantity(c, "resources", "requests", resource) }, "spec", "containers")
	pod.each(func(c object) {
		asks := quantity(c, "resources", "requests", resource)
		if most = max(most, sidecars+asks); c.str("restartPolicy") == "Always" {
			sidecars += asks
		}
	}, "spec", "initContainers")
	asked = max(asked+sidecars, most)
	if whole := quantity(pod, "spec", "resources", "requests", resource); whole > 0 {
		asked = whole
	}
	return asked + quantity(pod, "spec", "overhead", resource)
}

// selectedNode is the annotation by which a scheduler says on a claim where its volume is to be.
const selectedNode = "volume.kubernetes.io/selected-node"

// unbound names the claim that a pod waits for, and the node that is chosen for its volume.
func (t *telling) unbound(pod object, facts map[string]string) {
	pod.each(func(v object) {
		name := claimName(pod, v)
		if name == "" || facts["claim"] != "" {
			return
		}
		claim := t.get("persistentvolumeclaims", pod.namespace(), name)
		switch {
		case claim.ok && claim.str("status", "phase") != "Bound":
			facts["claim"], facts["chosen"] = name, claim.str("metadata", "annotations", selectedNode)
		case t.lacks("persistentvolumeclaims", pod.namespace(), name):
			facts["claim"], facts["claim_missing"] = name, "true"
		}
	}, "spec", "volumes")
}

// onlyNode is the one node that a pod is meant for: a DaemonSet makes one for each. Empty where there is no such.
func onlyNode(pod object) string {
	found := ""
	pod.each(func(term object) {
		term.each(func(f object) {
			if f.str("key") == "metadata.name" {
				found = strings.Join(f.texts("values"), ", ")
			}
		}, "matchFields")
	}, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	return found
}

// affinity is what a pod's node affinity asks for, in words.
func affinity(pod object) string {
	var terms []string
	pod.each(func(term object) {
		var all []string
		term.each(func(e object) {
			all = append(all, strings.TrimSpace(e.str("key")+" "+e.str("operator")+" "+strings.Join(e.texts("values"), "|")))
		}, "matchExpressions")
		terms = append(terms, strings.Join(all, ", "))
	}, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	return brief(strings.Join(terms, "; or "))
}

// nearestNode names what the nodes have of the label that a pod's node selector asks for, where one only is wrong.
func (t *telling) nearestNode(pod object, facts map[string]string) {
	for k, v := range pod.words("spec", "nodeSelector") {
		var have []string
		for _, n := range t.sorted("nodes") {
			if got := n.str("metadata", "labels", k); got != "" && got != v {
				have = append(have, n.name()+" has "+got)
			} else if got == v {
				have = nil
				break
			}
		}
		if len(have) > 0 {
			facts["label"], facts["label_has"] = k, join(have[:min(len(have), 3)])
		}
	}
}

// placed tells of a pod that was put by hand onto a node that does not exist; such a pod waits for ever.
func (t *telling) placed(pod object, e entity.Entity) bool {
	node := pod.str("spec", "nodeName")
	if pod.str("status", "phase") != "Pending" || !t.lacks("nodes", "", node) || len(t.kinds["nodes"]) == 0 {
		return true
	}
	if t.now.Sub(pod.created()) >= settling {
		t.state(e, signal.Unschedulable, pod.created(), "there is no node "+node, map[string]string{"problem": "node", "node": node,
			"message": "its spec names node " + node + ", which does not exist"})
	}
	return false
}
