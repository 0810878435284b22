package objects

import (
	"fmt"
	"strings"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// spread is the least number of nodes from which on people expect a cluster to outlive one.
const spread = 3

// capacity tells of a cluster whose pods request more than would be left without its largest node, as far as nodes take any pod.
func (t *telling) capacity() {
	if t.scope != "" || !t.listed["nodes"] || !t.listed["pods"] {
		return
	}
	for _, resource := range []string{"memory", "cpu"} {
		all, largest, nodes := 0.0, 0.0, map[string]bool{}
		for _, n := range t.kinds["nodes"] {
			if !readyNode(n) || n.yes("spec", "unschedulable") || apart(n) {
				continue
			}
			has := quantity(n, "status", "allocatable", resource)
			all, largest, nodes[n.name()] = all+has, max(largest, has), true
		}
		if len(nodes) < spread {
			return
		}
		asked := 0.0
		for _, pod := range t.kinds["pods"] {
			if phase := pod.str("status", "phase"); nodes[pod.str("spec", "nodeName")] && phase != "Succeeded" && phase != "Failed" && pod.controller().str("kind") != "DaemonSet" {
				asked += requested(pod, resource)
			}
		}
		if left := all - largest; left > 0 && asked > left {
			t.state(entity.Named(entity.Cluster, "", "cluster"), signal.Overcommitted, t.now, fmt.Sprintf("%.0f %% of the %s that would be left is requested", 100*asked/left, resource),
				map[string]string{"resource": resource, "asked": amount(resource, asked), "left": amount(resource, left), "percent": fmt.Sprintf("%.0f", 100*asked/left), "nodes": fmt.Sprint(len(nodes))})
			return
		}
	}
}

// apart says whether a node is kept for some pods: those of the others find no place there.
func apart(node object) bool {
	found := false
	node.each(func(taint object) { found = found || taint.str("effect") != "PreferNoSchedule" }, "spec", "taints")
	return found
}

// preempted tells of a pod of the same workload that was ended to make room for another one, of higher priority.
func (t *telling) preempted(pod object, facts map[string]string) {
	if t.displaced == nil {
		t.displaced = map[key][]object{}
		for about, all := range t.Cluster.events {
			for _, ev := range all {
				if about.kind == "Pod" && ev.str("reason") == "Preempted" && t.now.Sub(occurred(ev)) < lately {
					family := key{about.namespace, about.name[:strings.LastIndexByte(about.name, '-')+1]}
					t.displaced[family] = append(t.displaced[family], ev)
				}
			}
		}
	}
	for _, ev := range t.displaced[key{pod.namespace(), pod.str("metadata", "generateName")}] {
		facts["preempted"] = ev.str("involvedObject", "name") + ev.str("regarding", "name")
		facts["preempted_message"] = brief(said(ev))
		uid := group(preemptorRE, said(ev))
		for _, other := range t.kinds["pods"] {
			if uid != "" && other.uid() == uid {
				facts["preemptor"] = other.namespace() + "/" + other.name()
			}
		}
	}
}
