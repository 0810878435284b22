package objects

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// called are the services of a namespace that somebody names as a host.
func (t *telling) called(namespace string) []object {
	t.callers(key{})
	var found []object
	for k := range t.calling {
		if s := t.get("services", k.namespace, k.name); k.namespace == namespace && s.ok {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b object) int { return cmp.Compare(a.name(), b.name()) })
	return found
}

// behind is a pod that answers for a service.
func (t *telling) behind(s object) object {
	pod, known := t.answering[s.key()]
	if wants := s.words("spec", "selector"); !known && len(wants) > 0 {
		for _, p := range t.pods(s.namespace()) {
			if phase := p.str("status", "phase"); matches(wants, p) && phase != "Succeeded" && phase != "Failed" && !p.leaving() {
				pod = p
				break
			}
		}
		t.answering[s.key()] = pod
	}
	return pod
}

// policies are the network policies of a namespace that isolate a pod for a direction: Ingress or Egress.
func (t *telling) policies(pod object, direction string) []object {
	var found []object
	for _, p := range t.sorted("networkpolicies") {
		if p.namespace() != pod.namespace() || p.leaving() || !labelled(selector(p.child("spec", "podSelector")), pod) {
			continue
		}
		types := p.texts("spec", "policyTypes")
		if slices.Contains(types, direction) || len(types) == 0 && (direction == "Ingress" || p.has("spec", "egress")) {
			found = append(found, p)
		}
	}
	return found
}

// policy tells of a network policy that keeps away those who, by what is written in their own pods, connect to a service. Nothing is
// told where a policy could let them in: an address range, or a namespace that is not known; nor of pods of the host's network, which
// policies leave alone.
func (t *telling) policy(p object) {
	if !t.sees("pods", p.namespace()) || !t.sees("services", p.namespace()) || !t.listed["networkpolicies"] {
		return
	}
	wants := selector(p.child("spec", "podSelector"))
	for _, s := range t.called(p.namespace()) {
		behind := t.behind(s)
		if !behind.ok || behind.yes("spec", "hostNetwork") || !labelled(wants, behind) {
			continue
		}
		for _, client := range t.callers(s.key()) {
			all := t.policies(behind, "Ingress")
			if client.name() == behind.name() || client.yes("spec", "hostNetwork") || t.admits(all, client, s, behind) {
				continue
			}
			if len(all) == 0 || all[0].name() != p.name() {
				return // another one of them tells it
			}
			who := workloadOf(t, client)
			t.state(entity.Named(entity.NetworkPolicy, p.namespace(), p.name()), signal.TrafficDenied, p.created(), who+" names service "+s.name()+" as its host, and the policy does not let it in",
				map[string]string{"client": who, "service": s.name(), "admits": admitted(p), "labels": labels(own(client))})
			return
		}
	}
}

// own are the labels of a pod that were not put there by a controller.
func own(pod object) map[string]string {
	all := maps.Clone(pod.words("metadata", "labels"))
	for _, k := range []string{"pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"} {
		delete(all, k)
	}
	return all
}

func workloadOf(t *telling, pod object) string {
	if o := t.owner(pod); o != nil {
		return workload(o)
	}
	return "pod/" + pod.name()
}

// callers are the pods that name a service as a host, one of each workload.
func (t *telling) callers(service key) []object {
	if t.calling == nil {
		t.calling = map[key][]object{}
		seen := map[string]bool{}
		for _, pod := range t.sorted("pods") {
			who := pod.namespace() + "/" + workloadOf(t, pod)
			if phase := pod.str("status", "phase"); seen[who] || phase == "Succeeded" || phase == "Failed" || pod.leaving() {
				continue
			}
			seen[who] = true
			named := map[key]bool{}
			pod.each(func(c object) {
				for _, k := range t.calls(c, pod.namespace()) {
					if !named[k] {
						named[k] = true
						t.calling[k] = append(t.calling[k], pod)
					}
				}
			}, "spec", "containers")
		}
	}
	return t.calling[service]
}

// callerNames names the workloads that call a service.
func (t *telling) callerNames(service object) []string {
	var names []string
	for _, pod := range t.callers(service.key()) {
		names = append(names, workloadOf(t, pod))
	}
	return names[:min(len(names), 3)]
}

// admits says whether any of some policies lets a client in to a service's pods, or may do so.
func (t *telling) admits(all []object, client, service, pod object) bool {
	for _, p := range all {
		open := false
		p.each(func(rule object) {
			if open || !t.fromAny(rule, client, p.namespace()) {
				return
			}
			open = portsFit(rule, service, pod)
		}, "spec", "ingress")
		if open {
			return true
		}
	}
	return len(all) == 0
}

// fromAny says whether a rule is for a client, or may be.
func (t *telling) fromAny(rule, client object, namespace string) bool {
	if rule.count("from") == 0 {
		return true
	}
	fits := false
	rule.each(func(peer object) {
		switch {
		case peer.has("ipBlock"):
			fits = true // where the client has its address from is not known
		case peer.has("namespaceSelector"):
			space := t.get("namespaces", "", client.namespace())
			fits = fits || !space.ok || labelled(selector(peer.child("namespaceSelector")), space) &&
				(!peer.has("podSelector") || labelled(selector(peer.child("podSelector")), client))
		default:
			fits = fits || client.namespace() == namespace && labelled(selector(peer.child("podSelector")), client)
		}
	}, "from")
	return fits
}

// portsFit says whether a rule is for one of the ports that a service sends to.
func portsFit(rule, service, pod object) bool {
	if rule.count("ports") == 0 {
		return true
	}
	targets := map[string]bool{}
	service.each(func(p object) {
		target := p.text("targetPort")
		if target == "" {
			target = p.text("port")
		}
		targets[target] = true
		pod.each(func(c object) {
			c.each(func(port object) {
				if port.str("name") == target || port.text("containerPort") == target {
					targets[port.text("containerPort")], targets[port.str("name")] = true, true
				}
			}, "ports")
		}, "spec", "containers")
	}, "spec", "ports")
	delete(targets, "")
	fits := false
	rule.each(func(p object) {
		port := p.text("port")
		fits = fits || port == "" || targets[port]
		if end := p.num(0, "endPort"); end > 0 {
			for target := range targets {
				n, err := strconv.Atoi(target)
				fits = fits || err == nil && float64(n) >= p.num(0, "port") && float64(n) <= end
			}
		}
	}, "ports")
	return fits
}

// admitted says in words whom a policy lets in.
func admitted(p object) string {
	var who []string
	p.each(func(rule object) {
		rule.each(func(peer object) {
			text := "pods"
			if l := peer.words("podSelector", "matchLabels"); len(l) > 0 {
				text += " with " + labels(l)
			}
			if l := peer.words("namespaceSelector", "matchLabels"); len(l) > 0 {
				text += " in namespaces with " + labels(l)
			}
			who = append(who, text)
		}, "from")
		var ports []string
		rule.each(func(port object) { ports = append(ports, port.text("port")) }, "ports")
		if len(ports) > 0 {
			who = append(who, "on port "+join(ports))
		}
	}, "spec", "ingress")
	return brief(strings.Join(who, ", "))
}
