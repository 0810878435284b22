package objects

import (
	"slices"
	"sync"

	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// resourcesOf are the resources of the kinds of entities.
var resourcesOf = map[string]string{"Pod": "pods", "Container": "pods", "Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets",
	"DaemonSet": "daemonsets", "Job": "jobs", "CronJob": "cronjobs", "Service": "services", "Node": "nodes", "Volume": "persistentvolumeclaims",
	"HorizontalPodAutoscaler": "horizontalpodautoscalers", "PodDisruptionBudget": "poddisruptionbudgets", "Ingress": "ingresses", "NetworkPolicy": "networkpolicies",
	"ValidatingWebhookConfiguration": "validatingwebhookconfigurations", "MutatingWebhookConfiguration": "mutatingwebhookconfigurations", "APIService": "apiservices",
	"Namespace": "namespaces", "PersistentVolume": "persistentvolumes", "CertificateSigningRequest": "certificatesigningrequests",
	"GatewayClass": "gatewayclasses", "Gateway": "gateways", "HTTPRoute": "httproutes"}

// Entities calls visit for every object that an entity can be, and every container of pods, until it returns false.
func (c *Cluster) Entities(visit func(finding.Entity) bool) {
	for kind, resource := range resourcesOf {
		for k, o := range c.kinds[resource] {
			e := finding.Entity{Kind: kind, Namespace: k.namespace, Name: k.name}
			names := []string{""}
			switch kind {
			case "Pod":
				e.UID = o.uid()
			case "Container":
				names = nil
				o.each(func(spec object) { names = append(names, spec.str("name")) }, "spec", "containers")
				o.each(func(spec object) { names = append(names, spec.str("name")) }, "spec", "initContainers")
			}
			for _, e.Container = range names {
				if !visit(e) {
					return
				}
			}
		}
	}
}

// Labels are those of the object that an entity is.
func (c *Cluster) Labels(e finding.Entity) map[string]string {
	return c.kinds[resourcesOf[e.Kind]][key{e.Namespace, e.Name}].words("metadata", "labels")
}

// Spaces are the namespaces that what is in none matters to: a node to those that have pods on it, a volume to that of its claim.
func (c *Cluster) Spaces() map[causes.Ref][]string {
	all := map[causes.Ref][]string{}
	add := func(kind entity.Kind, name, namespace string) {
		if of := (causes.Ref{Kind: string(kind), Name: name}); name != "" && namespace != "" && !slices.Contains(all[of], namespace) {
			all[of] = append(all[of], namespace)
		}
	}
	for k, v := range c.kinds["persistentvolumes"] {
		add(entity.PersistentVolume, k.name, v.str("spec", "claimRef", "namespace"))
	}
	for k, pod := range c.kinds["pods"] {
		add(entity.Node, pod.str("spec", "nodeName"), k.namespace)
	}
	for _, spaces := range all {
		slices.Sort(spaces)
	}
	return all
}

// Concerns returns what says, as things are now, whether something matters to the namespace that is looked at (Within), or is that.
func (c *Cluster) Concerns() func(finding.Entity) bool {
	spaces := sync.OnceValue(c.Spaces) // it goes through all pods
	return func(e finding.Entity) bool {
		return c.scope == "" || e.Namespace != "" || e.Kind == string(entity.Namespace) && e.Name == c.scope || slices.Contains(spaces()[causes.Of(e)], c.scope)
	}
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
