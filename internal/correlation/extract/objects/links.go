package objects

import (
	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/finding"
)

// Links are what the objects depend on: a workload and a service on their pods, a pod on its claims, and on its node where
// that is not ready.
func (c *Cluster) Links() causes.Links {
	links := causes.Links{}
	bySpace := map[string][]object{}
	for _, pod := range c.sorted("pods") {
		bySpace[pod.namespace()] = append(bySpace[pod.namespace()], pod)
		ref := causes.Ref{Kind: "Pod", Namespace: pod.namespace(), Name: pod.name()}
		if o := c.owner(pod); o != nil {
			up := causes.Ref{Kind: o.Kind, Namespace: pod.namespace(), Name: o.Name}
			links[up] = append(links[up], ref)
		}
		pod.each(func(v object) {
			if claim := v.str("persistentVolumeClaim", "claimName"); claim != "" {
				links[ref] = append(links[ref], causes.Ref{Kind: "Volume", Namespace: pod.namespace(), Name: claim})
			}
		}, "spec", "volumes")
		if node, known := c.kinds["nodes"][key{"", pod.str("spec", "nodeName")}]; known && node.condition("Ready").str("status") != "True" {
			links[ref] = append(links[ref], causes.Ref{Kind: "Node", Name: node.name()})
		}
	}
	var away []causes.Ref
	for _, node := range c.sorted("nodes") {
		if node.condition("Ready").str("status") != "True" {
			away = append(away, causes.Ref{Kind: "Node", Name: node.name()})
		}
	}
	for _, pod := range c.kinds["pods"] {
		scheduled := pod.condition("PodScheduled")
		if len(away) > 0 && scheduled.str("status") == "False" && unschedulable(scheduled.str("message"))["problem"] == "unready" {
			ref := causes.Ref{Kind: "Pod", Namespace: pod.namespace(), Name: pod.name()}
			links[ref] = append(links[ref], away...)
		}
	}
	for _, s := range c.kinds["services"] {
		selector := s.words("spec", "selector")
		if len(selector) == 0 {
			continue
		}
		ref := causes.Ref{Kind: "Service", Namespace: s.namespace(), Name: s.name()}
		for _, pod := range bySpace[s.namespace()] {
			if matches(selector, pod) {
				links[ref] = append(links[ref], causes.Ref{Kind: "Pod", Namespace: pod.namespace(), Name: pod.name()})
			}
		}
	}
	return links
}

// resourcesOf are the resources of the kinds of entities.
var resourcesOf = map[string]string{"Pod": "pods", "Container": "pods", "Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets",
	"DaemonSet": "daemonsets", "Job": "jobs", "CronJob": "cronjobs", "Service": "services", "Node": "nodes", "Volume": "persistentvolumeclaims"}

// Labels are those of the object that an entity is.
func (c *Cluster) Labels(e finding.Entity) map[string]string {
	return c.kinds[resourcesOf[e.Kind]][key{e.Namespace, e.Name}].words("metadata", "labels")
}

// Owner is the workload that an entity belongs to; nil where there is none.
func (c *Cluster) Owner(e finding.Entity) *finding.Owner {
	if e.Owner != nil || resourcesOf[e.Kind] != "pods" {
		return e.Owner
	}
	return c.owner(c.kinds["pods"][key{e.Namespace, e.Name}])
}

// Counts are how many there are.
type Counts struct{ Pods, Deployments, Available int }

// Alive says whether a pod is there that is not over.
func (c *Cluster) Alive(namespace, name string) bool {
	pod, known := c.kinds["pods"][key{namespace, name}]
	phase := pod.str("status", "phase")
	return known && phase != "Succeeded" && phase != "Failed"
}

// Counts counts the pods that are not over, and the deployments that have all the replicas they want. is says of an object by
// kind, namespace and name whether it counts.
func (c *Cluster) Counts(is func(kind, namespace, name string) bool) Counts {
	var n Counts
	for k := range c.kinds["pods"] {
		if c.Alive(k.namespace, k.name) && is("Pod", k.namespace, k.name) {
			n.Pods++
		}
	}
	for k, d := range c.kinds["deployments"] {
		if !is("Deployment", k.namespace, k.name) {
			continue
		}
		n.Deployments++
		if d.num(0, "status", "availableReplicas") >= d.num(1, "spec", "replicas") {
			n.Available++
		}
	}
	return n
}
