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

// reconciled is how long a new service may take to get its endpoints.
const reconciled = 15 * time.Second

// service tells of a service that nothing answers for, and why: by its selector, its ports, or the state of its pods.
func (t *telling) service(s object) {
	selector := s.words("spec", "selector")
	switch {
	case s.leaving():
		t.overdue(entity.Service, s)
		return
	case t.now.Sub(s.created()) < reconciled:
		return
	case s.str("spec", "type") == "ExternalName":
		t.alias(s)
		return
	case len(selector) == 0 || !t.sees("pods", s.namespace()):
		return // others keep its endpoints, or not all pods are known
	}
	t.address(s)
	e := entity.Named(entity.Service, s.namespace(), s.name())
	facts := map[string]string{"selector": labels(selector)}
	var selected []object
	ready, replaced := 0, false
	for _, pod := range t.with(s.namespace(), selector) {
		if over(pod) {
			continue
		}
		if pod.leaving() {
			replaced = replaced || t.now.Sub(pod.time("metadata", "deletionTimestamp")) < patient
			continue
		}
		selected = append(selected, pod)
		if pod.condition("Ready").str("status") == "True" {
			ready++
		}
	}
	facts["pods"] = strconv.Itoa(len(selected))
	last, had := t.selecting[s.key()]
	if len(selected) > 0 {
		last, had = t.now, true
	}
	if had {
		t.stillSelecting[s.key()] = last
	}
	switch {
	case len(selected) == 0:
		if t.idle(s.namespace(), selector) {
			return // scaled to zero
		}
		since := s.created()
		if last.After(since) {
			since = last
		}
		if replaced || had && t.now.Sub(since) < patient {
			return // the next one may be on its way, or made another the first of them
		}
		facts["problem"] = "selector"
		facts["called_by"] = join(t.callerNames(s))
		t.nearest(s.namespace(), selector, facts)
		if !had && facts["called_by"] == "" && (s.controller().ok || s.str("spec", "clusterIP") == "None" && facts["nearest"] == "") {
			// An operator's for replicas of which there is none, or one by which the parts of a control plane would be scraped that a cloud keeps.
			facts["spare"] = "true"
		}
		t.dead[s.key()] = true
		t.state(e, signal.NoEndpoints, since, "no pod has the labels "+facts["selector"], facts)
	case ready == 0 && !s.yes("spec", "publishNotReadyAddresses"):
		since := time.Time{}
		for _, pod := range selected {
			at := pod.condition("Ready").time("lastTransitionTime")
			if at.IsZero() {
				at = pod.created()
			}
			if at.After(since) {
				since = at
			}
		}
		if t.now.Sub(since) < patient || slices.ContainsFunc(selected, t.startsUp) {
			return // they are starting
		}
		facts["problem"] = "not_ready"
		t.dead[s.key()] = true
		t.state(e, signal.NoEndpoints, since, "none of its "+facts["pods"]+" pods is ready", facts)
	case s.str("spec", "clusterIP") != "None": // whoever asks a headless service connects to the pods themselves
		t.ports(e, s, selected, facts)
	}
}

// startsUp says whether a container of a pod is at its first start, for which its startup probe gives it time.
func (t *telling) startsUp(pod object) bool {
	found := false
	pod.each(func(s object) {
		probe, since := specOf(pod, s.str("name")).child("startupProbe"), s.time("state", "running", "startedAt")
		found = found || probe.ok && !since.IsZero() && !s.yes("started") && s.num(0, "restartCount") == 0 && t.now.Sub(since) < allowed(probe)
	}, "status", "containerStatuses")
	return found
}

// alias tells of a service that stands for another one of the cluster, which is not there.
func (t *telling) alias(s object) {
	host := s.str("spec", "externalName")
	parts := strings.Split(host, ".")
	if len(parts) < 3 || parts[2] != "svc" || !t.lacks("services", parts[1], parts[0]) {
		return
	}
	t.state(entity.Named(entity.Service, s.namespace(), s.name()), signal.NoEndpoints, s.created(), "there is no service "+parts[1]+"/"+parts[0],
		map[string]string{"problem": "alias", "alias": host, "nearest": t.nearestService(parts[1], parts[0])})
}

// address tells of a load balancer that nobody provides.
func (t *telling) address(s object) {
	if s.str("spec", "type") != "LoadBalancer" || s.child("status", "loadBalancer").has("ingress") {
		return
	}
	ev := t.last("Service", s, t.now.Add(-lately), "SyncLoadBalancerFailed", "CreatingLoadBalancerFailed", "AllocationFailed")
	if !ev.ok && t.now.Sub(s.created()) < starting {
		return
	}
	facts, since, text := map[string]string{"class": s.str("spec", "loadBalancerClass"), "taken": join(s.texts("metadata", "finalizers"))}, s.created(), "it has no address"
	if ev.ok {
		facts["message"], since = brief(said(ev)), began(ev)
		text = "the service controller: " + facts["message"]
	}
	t.state(entity.Named(entity.Service, s.namespace(), s.name()), signal.NoAddress, since, text, facts)
}

// ports tells of a port that the service sends to and that no container has: by its name, or by its number where all its pods
// declare others.
func (t *telling) ports(e entity.Entity, s object, pods []object, facts map[string]string) {
	s.each(func(p object) {
		target := p.str("targetPort")
		if facts["problem"] != "" {
			return
		}
		if target == "" {
			t.number(e, s, p, pods, facts)
			return
		}
		names := map[string]bool{}
		for _, pod := range pods {
			for _, list := range []string{"containers", "initContainers"} {
				pod.each(func(c object) {
					c.each(func(port object) { names[port.str("name")] = true }, "ports")
				}, "spec", list)
			}
		}
		delete(names, "")
		if !names[target] {
			facts["problem"], facts["port"], facts["has"] = "port", target, join(slices.Sorted(maps.Keys(names)))
			t.state(e, signal.NoEndpoints, s.created(), "no container has a port named "+target, facts)
		}
	}, "spec", "ports")
}

// number tells of a port that the service sends to by a number that no container declares. Containers need not declare theirs:
// so it is told only where each container declares some of that protocol (a mesh's proxy does), and no probe asks at this one.
func (t *telling) number(e entity.Entity, s, port object, pods []object, facts map[string]string) {
	want, protocol := port.text("targetPort"), cmp.Or(port.str("protocol"), "TCP")
	if want == "" || want == "0" {
		want = port.text("port")
	}
	declared := map[string]bool{}
	for _, pod := range pods {
		silent := false
		for _, list := range []string{"containers", "initContainers"} {
			pod.each(func(c object) {
				some := false
				c.each(func(p object) {
					if cmp.Or(p.str("protocol"), "TCP") == protocol {
						some = true
						declared[p.text("containerPort")] = true
					}
				}, "ports")
				silent = silent || list == "containers" && !some
				for _, probe := range []string{"readinessProbe", "livenessProbe", "startupProbe"} {
					for _, kind := range []string{"httpGet", "tcpSocket", "grpc"} {
						if at := c.text(probe, kind, "port"); at == want {
							declared[want] = true
						}
					}
				}
			}, "spec", list)
		}
		if silent || pod.yes("spec", "hostNetwork") {
			return
		}
	}
	if !declared[want] {
		facts["problem"], facts["port"], facts["has"] = "number", want, join(slices.Sorted(maps.Keys(declared)))
		t.state(e, signal.NoEndpoints, s.created(), "no container declares port "+want, facts)
	}
}

// pods are those of a namespace, in order of name.
func (t *telling) pods(namespace string) []object {
	if t.bySpace == nil {
		t.bySpace = map[string][]object{}
		for _, pod := range t.sorted("pods") {
			t.bySpace[pod.namespace()] = append(t.bySpace[pod.namespace()], pod)
		}
	}
	return t.bySpace[namespace]
}

// idle says whether a workload whose pods a selector means has no pods because it wants none.
func (t *telling) idle(namespace string, selector map[string]string) bool {
	for _, resource := range []string{"deployments", "statefulsets", "replicasets", "daemonsets", "jobs", "cronjobs"} {
		for _, o := range t.kinds[resource] {
			template := o.child("spec", "template")
			if resource == "cronjobs" {
				template = o.child("spec", "jobTemplate", "spec", "template")
			}
			// A workload whose pods are refused or not there yet tells that itself.
			if o.namespace() == namespace && matches(selector, template) {
				return true
			}
		}
	}
	return false
}

// nearest names the pods that have all but one of the labels, and the label that differs: where a typing error is likely.
func (t *telling) nearest(namespace string, selector map[string]string, facts map[string]string) {
	for _, pod := range t.pods(namespace) {
		has, wrong, fits := pod.words("metadata", "labels"), "", 0
		for k, v := range selector {
			if has[k] == v {
				fits++
			} else {
				wrong = k
			}
		}
		other, there := has[wrong]
		near := fits > 0 || there && resembles(other, selector[wrong])
		if fits != len(selector)-1 || wrong == "" || !near {
			continue
		}
		facts["nearest"] = pod.name()
		if o := t.owner(pod); o != nil {
			facts["nearest"] = workload(o)
		}
		facts["differs"] = wrong
		if facts["actual"] = other; !there {
			facts["actual"] = "no such label"
		}
		return
	}
}

// resembles says whether two names are alike enough to be mistaken: one begins with the other, or few letters differ.
func resembles(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) || distance(a, b) <= max(1, min(len(a), len(b))/4)
}

// distance is how many letters have to be put in, left out or changed (Levenshtein). Labels have 63 letters at most.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// matches says whether an object has all labels of a selector.
func matches(selector map[string]string, o object) bool {
	for k, v := range selector {
		got, ok := o.value("metadata", "labels", k)
		if !ok || got.AsString() != v {
			return false
		}
	}
	return true
}
