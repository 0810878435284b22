package objects

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/entity"
)

// Links are what the objects depend on: a workload and a service on their pods, an address on who has it, a pod on its claims and on its node where that is
// not ready, an ingress and a webhook on their services, and so on. What is wrong with one of these explains the other.
func (c *Cluster) Links() causes.Links {
	l := linking{Cluster: c, links: causes.Links{}, bySpace: map[string][]object{}, nodes: c.sorted("nodes"), problems: map[string]string{}}
	pods := c.sorted("pods")
	for _, pod := range pods {
		l.bySpace[pod.namespace()] = append(l.bySpace[pod.namespace()], pod)
		l.pod(pod)
	}
	l.addresses(pods)
	labels := index(pods)
	for _, s := range c.sorted("services") {
		if wants := s.words("spec", "selector"); len(wants) > 0 {
			for _, pod := range labels.with(s.namespace(), wants) {
				l.add(ref(entity.Service, s), ref(entity.Pod, pod))
			}
		}
	}
	for _, b := range c.sorted("poddisruptionbudgets") {
		wants := selector(b.child("spec", "selector"))
		l.pods(ref(entity.Budget, b), func(pod object) bool { return labelled(wants, pod) })
	}
	for _, i := range c.sorted("ingresses") {
		l.ingress(i)
	}
	for _, h := range c.sorted("horizontalpodautoscalers") {
		from := ref(entity.Autoscaler, h)
		l.add(from, causes.Ref{Kind: h.str("spec", "scaleTargetRef", "kind"), Namespace: h.namespace(), Name: h.str("spec", "scaleTargetRef", "name")})
		for _, a := range c.sorted("apiservices") {
			if apiAway.MatchString(h.condition("ScalingActive").str("message")) && strings.HasSuffix(a.str("spec", "group"), "metrics.k8s.io") {
				l.add(from, ref(entity.APIService, a))
			}
		}
	}
	for _, g := range c.sorted("gateways") {
		l.add(ref(entity.Gateway, g), causes.Ref{Kind: string(entity.GatewayClass), Name: g.str("spec", "gatewayClassName")})
	}
	for _, r := range c.sorted("httproutes") {
		l.route(r)
	}
	l.extensions()
	for _, n := range c.sorted("namespaces") {
		if n.str("status", "phase") == "Terminating" {
			l.namespace(n)
		}
	}
	return l.links
}

// linking is one pass over a cluster's objects.
type linking struct {
	*Cluster
	links   causes.Links
	bySpace map[string][]object
	nodes   []object
	// problems are why no node takes the pods of a controller.
	problems map[string]string
}

func ref(kind entity.Kind, o object) causes.Ref {
	return causes.Ref{Kind: string(kind), Namespace: o.namespace(), Name: o.name()}
}

func (l *linking) add(from, to causes.Ref) { l.links[from] = append(l.links[from], to) }

// pods links an object to the pods of its namespace that it is about.
func (l *linking) pods(from causes.Ref, about func(object) bool) {
	for _, pod := range l.bySpace[from.Namespace] {
		if about(pod) {
			l.add(from, ref(entity.Pod, pod))
		}
	}
}

func (l *linking) pod(pod object) {
	from := ref(entity.Pod, pod)
	if o := l.owner(pod); o != nil {
		l.add(causes.Ref{Kind: o.Kind, Namespace: pod.namespace(), Name: o.Name}, from)
	}
	pod.each(func(v object) {
		if claim := claimName(pod, v); claim != "" {
			l.add(from, causes.Ref{Kind: string(entity.Volume), Namespace: pod.namespace(), Name: claim})
		}
	}, "spec", "volumes")
	if node := l.get("nodes", "", pod.str("spec", "nodeName")); node.ok && (!readyNode(node) || pod.str("status", "reason") == "Evicted" && pressed(node)) {
		l.add(from, ref(entity.Node, node))
	}
	for _, ev := range l.events[reference{"Pod", pod.key()}] { // a volume is held by pods, whose node may be away
		if ev.str("reason") == "FailedAttachVolume" {
			for name := range strings.SplitSeq(group(attachedToRE, said(ev)), ", ") {
				if l.get("pods", pod.namespace(), name).ok {
					l.add(from, causes.Ref{Kind: string(entity.Pod), Namespace: pod.namespace(), Name: name})
				}
			}
		}
	}
	l.waiting(pod, from)
	l.calling(pod, from)
}

// addresses links IP addresses to the services, pods and nodes that have them. A pod of the host's network has its node's.
func (l *linking) addresses(pods []object) {
	has := func(ip string, kind entity.Kind, o object) {
		if a, err := netip.ParseAddr(ip); err == nil { // "None" is a headless service's
			l.add(causes.At(a.Unmap().String()), ref(kind, o))
		}
	}
	for _, s := range l.sorted("services") {
		ips := append(s.texts("spec", "clusterIPs"), s.texts("spec", "externalIPs")...)
		if len(ips) == 0 {
			ips = []string{s.str("spec", "clusterIP")}
		}
		s.each(func(at object) { ips = append(ips, at.str("ip")) }, "status", "loadBalancer", "ingress")
		for _, ip := range ips {
			has(ip, entity.Service, s)
		}
	}
	for _, pod := range pods {
		if phase := pod.str("status", "phase"); pod.yes("spec", "hostNetwork") || phase == "Succeeded" || phase == "Failed" {
			continue
		}
		if !pod.has("status", "podIPs") {
			has(pod.str("status", "podIP"), entity.Pod, pod)
		}
		pod.each(func(at object) { has(at.str("ip"), entity.Pod, pod) }, "status", "podIPs")
	}
	for _, n := range l.nodes {
		n.each(func(at object) { has(at.str("address"), entity.Node, n) }, "status", "addresses")
	}
}

// pressed says whether a node is short of something.
func pressed(node object) bool {
	for kind := range pressures {
		if node.condition(kind).str("status") == "True" {
			return true
		}
	}
	return false
}

// waiting links a pod that no node takes because the nodes are not ready to these.
func (l *linking) waiting(pod object, from causes.Ref) {
	scheduled := pod.condition("PodScheduled")
	if scheduled.str("status") != "False" {
		return
	}
	same := pod.controller().str("uid") + " " + scheduled.str("message")
	problem, known := l.problems[same]
	if !known || !pod.controller().ok {
		facts := unschedulable(scheduled.str("message"))
		taints(pod, l.nodes, facts)
		problem = facts["problem"]
		l.problems[same] = problem
	}
	if problem != "unready" {
		return
	}
	for _, node := range l.nodes {
		if !readyNode(node) {
			l.add(from, ref(entity.Node, node))
		}
	}
}

func readyNode(node object) bool { return node.condition("Ready").str("status") == "True" }

// calling links a pod to the services that its containers ended over, by their last words, or that an init container waits for.
func (l *linking) calling(pod object, from causes.Ref) {
	for _, list := range []string{"containerStatuses", "initContainerStatuses"} {
		pod.each(func(s object) {
			said := s.str("lastState", "terminated", "message") + " " + s.str("state", "terminated", "message")
			if list == "initContainerStatuses" && s.has("state", "running") {
				spec := specOf(pod, s.str("name"))
				said = strings.Join(append(spec.texts("command"), spec.texts("args")...), " ")
			}
			if len(said) <= 1 {
				return
			}
			for _, k := range called(said, pod.namespace()) {
				if l.get("services", k.namespace, k.name).ok {
					l.add(from, causes.Ref{Kind: string(entity.Service), Namespace: k.namespace, Name: k.name})
				}
			}
		}, "status", list)
	}
}

func (l *linking) ingress(i object) {
	add := func(backend object) {
		if name := backend.str("service", "name"); name != "" {
			l.add(ref(entity.Ingress, i), causes.Ref{Kind: string(entity.Service), Namespace: i.namespace(), Name: name})
		}
	}
	add(i.child("spec", "defaultBackend"))
	i.each(func(r object) {
		r.each(func(p object) { add(p.child("backend")) }, "http", "paths")
	}, "spec", "rules")
}

func (l *linking) route(r object) {
	from := ref(entity.HTTPRoute, r)
	add := func(kind entity.Kind, o object) {
		l.add(from, causes.Ref{Kind: string(kind), Namespace: cmp.Or(o.str("namespace"), r.namespace()), Name: o.str("name")})
	}
	r.each(func(p object) { add(entity.Gateway, p) }, "spec", "parentRefs")
	r.each(func(rule object) {
		rule.each(func(b object) { add(entity.Service, b) }, "backendRefs")
	}, "spec", "rules")
}

// extensions link webhooks and extensions of the API to their services, and the workloads that a webhook keeps from their pods to
// the webhook.
func (l *linking) extensions() {
	configs := map[string][]causes.Ref{} // by the webhook's name
	for _, k := range []entity.Kind{entity.ValidatingWebhook, entity.MutatingWebhook} {
		for _, w := range l.sorted(resourcesOf[string(k)]) {
			from := ref(k, w)
			w.each(func(hook object) {
				configs[hook.str("name")] = append(configs[hook.str("name")], from)
				l.service(from, hook.child("clientConfig", "service"))
			}, "webhooks")
		}
	}
	for _, a := range l.sorted("apiservices") {
		l.service(ref(entity.APIService, a), a.child("spec", "service"))
	}
	for _, kind := range []entity.Kind{entity.Deployment, entity.ReplicaSet, entity.StatefulSet, entity.DaemonSet, entity.Job, entity.CronJob} {
		for _, o := range l.sorted(resourcesOf[string(kind)]) {
			message := o.condition("ReplicaFailure").str("message")
			if message == "" {
				for _, ev := range l.events[reference{string(kind), o.key()}] {
					if ev.str("reason") == "FailedCreate" {
						message = said(ev)
					}
				}
			}
			for _, to := range configs[group(webhookRE, message)] {
				l.add(ref(kind, o), to)
			}
		}
	}
}

func (l *linking) service(from causes.Ref, s object) {
	if s.ok {
		l.add(from, causes.Ref{Kind: string(entity.Service), Namespace: s.str("namespace"), Name: s.str("name")})
	}
}

// namespace links a namespace that is being deleted to what in it does not go, and to the parts of the API that cannot say whether
// there is anything in it.
func (l *linking) namespace(n object) {
	from := ref(entity.Namespace, n)
	for _, kind := range slices.Sorted(maps.Keys(resourcesOf)) {
		if kind == string(entity.Container) {
			continue
		}
		for _, o := range l.sorted(resourcesOf[kind]) {
			if o.namespace() == n.name() && o.leaving() {
				l.add(from, ref(entity.Kind(kind), o))
			}
		}
	}
	for _, a := range l.sorted("apiservices") {
		if a.condition("Available").str("status") == "False" {
			l.add(from, ref(entity.APIService, a))
		}
	}
}
