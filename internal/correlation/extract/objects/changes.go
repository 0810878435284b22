package objects

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// revisionOf is the annotation by which a Deployment's controller numbers its ReplicaSets.
const revisionOf = "deployment.kubernetes.io/revision"

// change is what a Deployment's latest revision changed.
type change struct {
	revision, before string
	what             string
	at               time.Time
	// ready are the pods of the revision before that are ready.
	ready int
}

// change compares the newest ReplicaSet of a Deployment with the one before it.
func (t *telling) change(d object) (change, bool) {
	if known, found := t.changes[d.key()]; found {
		return known, known.revision != ""
	}
	found, is := t.compare(d)
	t.changes[d.key()] = found
	return found, is
}

func (t *telling) compare(d object) (change, bool) {
	var newest, before object
	for _, set := range t.replicaSets(d.namespace(), d.name()) {
		switch n := revision(set); {
		case n > revision(newest):
			before, newest = newest, set
		case n > revision(before):
			before = set
		}
	}
	if !newest.ok {
		return change{}, false
	}
	found := change{revision: newest.str("metadata", "annotations", revisionOf), at: newest.created()}
	if before.ok {
		found.before = before.str("metadata", "annotations", revisionOf)
		found.what = differs(before.child("spec", "template", "spec"), newest.child("spec", "template", "spec"))
		found.ready = int(before.num(0, "status", "readyReplicas"))
	}
	return found, true
}

func revision(set object) int {
	n, _ := strconv.Atoi(set.str("metadata", "annotations", revisionOf))
	return n
}

// replicaSets are those of a Deployment.
func (t *telling) replicaSets(namespace, deployment string) []object {
	if t.byOwner == nil {
		t.byOwner = map[key][]object{}
		for _, set := range t.sorted("replicasets") {
			if up := set.controller(); up.str("kind") == "Deployment" {
				k := key{set.namespace(), up.str("name")}
				t.byOwner[k] = append(t.byOwner[k], set)
			}
		}
	}
	return t.byOwner[key{namespace, deployment}]
}

// differs says what of a pod's containers changed, by names: never by values, which may be secret.
func differs(before, after object) string {
	was := map[string]object{}
	for _, list := range []string{"initContainers", "containers"} {
		before.each(func(c object) { was[c.str("name")] = c }, list)
	}
	var all []string
	for _, list := range []string{"initContainers", "containers"} {
		after.each(func(c object) {
			name := c.str("name")
			old, known := was[name]
			delete(was, name)
			if !known {
				all = append(all, "container "+name+" is new")
				return
			}
			if a, b := old.str("image"), c.str("image"); a != b {
				all = append(all, "the image of "+name+" went from "+a+" to "+b)
			}
			if names := changedEnv(old, c); names != "" {
				all = append(all, "the environment of "+name+" changed in "+names)
			}
			for _, field := range []struct{ name, words string }{{"command", "command"}, {"args", "arguments"}, {"resources", "resources"},
				{"livenessProbe", "liveness probe"}, {"readinessProbe", "readiness probe"}, {"startupProbe", "startup probe"}, {"volumeMounts", "mounts"}, {"ports", "ports"}} {
				if !old.sameAs(c, field.name) {
					all = append(all, "the "+field.words+" of "+name+" changed")
				}
			}
		}, list)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		all = append(all, "container "+name+" was taken out")
	}
	for _, field := range []struct{ name, words string }{{"serviceAccountName", "the service account"}, {"nodeSelector", "the node selector"}, {"affinity", "the affinity"},
		{"tolerations", "the tolerations"}, {"volumes", "the volumes"}, {"imagePullSecrets", "the pull secrets"}, {"securityContext", "the security context"}} {
		if !before.sameAs(after, field.name) {
			all = append(all, field.words+" changed")
		}
	}
	return brief(join(all))
}

// changedEnv names the environment variables, and what they are read from, that differ.
func changedEnv(before, after object) string {
	read := func(c object) map[string]object {
		all := map[string]object{}
		c.each(func(v object) { all[v.str("name")] = v }, "env")
		c.each(func(v object) {
			for _, from := range []string{"configMapRef", "secretRef"} {
				if name := v.str(from, "name"); name != "" {
					all[name] = object{}
				}
			}
		}, "envFrom")
		return all
	}
	was, is := read(before), read(after)
	names := map[string]bool{}
	for name, v := range is {
		if old, known := was[name]; !known || !old.sameAs(v, "value") || !old.sameAs(v, "valueFrom") {
			names[name] = true
		}
	}
	for name := range was {
		if _, known := is[name]; !known {
			names[name] = true
		}
	}
	return join(slices.Sorted(maps.Keys(names)))
}

// soon is how long after a change a failure may begin to be told as its consequence.
const soon = 10 * time.Minute

// blame adds what was changed shortly before a container began to fail: the revision of its Deployment, or a ConfigMap or Secret that
// the pod reads.
func (t *telling) blame(pod object, began time.Time, facts map[string]string) {
	ref := pod.controller()
	if o := t.owner(pod); o != nil && o.Kind == "Deployment" {
		d := t.get("deployments", pod.namespace(), o.Name)
		if found, known := t.change(d); known && found.revision == t.get("replicasets", pod.namespace(), ref.str("name")).str("metadata", "annotations", revisionOf) {
			facts["revision"] = found.revision
			if facts["before"] = found.before; found.before == "" {
				facts["first"] = "true" // there is none to go back to
			}
			if found.before != "" && found.what != "" && !began.IsZero() && began.Sub(found.at) < soon {
				facts["changed"], facts["changed_before"] = found.what, elapsed(began.Sub(found.at))
				if found.ready > 0 {
					facts["before_ready"] = strconv.Itoa(found.ready)
				}
			}
		}
	}
	if t.outdated(pod) {
		facts["outdated"] = "true"
	}
	if began.IsZero() {
		return
	}
	for _, r := range reads(pod) {
		o := t.kinds[r.Resource][key{r.Namespace, r.Name}]
		at := o.time(changedAt)
		if !o.ok || at.IsZero() || !at.After(pod.created()) || at.After(began) || began.Sub(at) > soon {
			continue
		}
		facts["config"], facts["config_before"] = kindOf[r.Resource]+" "+r.Name, elapsed(began.Sub(at))
		return
	}
}

// outdated says whether a pod's StatefulSet was changed since the pod was made. One pod after the other is replaced, and none while one is
// not ready: that one has to be deleted by hand.
func (t *telling) outdated(pod object) bool {
	ref := pod.controller()
	if ref.str("kind") != "StatefulSet" {
		return false
	}
	set := t.get("statefulsets", pod.namespace(), ref.str("name"))
	latest := set.str("status", "updateRevision")
	return latest != "" && latest != pod.str("metadata", "labels", "controller-revision-hash") &&
		set.str("spec", "podManagementPolicy") != "Parallel" && set.num(0, "spec", "updateStrategy", "rollingUpdate", "partition") == 0
}

var kindOf = map[string]string{"configmaps": "ConfigMap", "secrets": "Secret"}

// elapsed writes a time for people, at least a second.
func elapsed(d time.Duration) string {
	return max(d.Round(time.Second), time.Second).String()
}

// changedAt is where a ConfigMap or Secret that was asked for has the time of its last change.
const changedAt = "changedAt"

// reads are the ConfigMaps and Secrets that a pod takes its configuration from.
func reads(pod object) []Reference {
	found := map[Reference]bool{}
	add := func(resource, name string) {
		if name != "" {
			found[Reference{resource, pod.namespace(), name}] = true
		}
	}
	for _, list := range []string{"containers", "initContainers"} {
		pod.each(func(c object) {
			c.each(func(v object) {
				add("configmaps", v.str("configMapRef", "name"))
				add("secrets", v.str("secretRef", "name"))
			}, "envFrom")
			c.each(func(v object) {
				add("configmaps", v.str("valueFrom", "configMapKeyRef", "name"))
				add("secrets", v.str("valueFrom", "secretKeyRef", "name"))
			}, "env")
		}, "spec", list)
	}
	pod.each(func(v object) {
		add("configmaps", v.str("configMap", "name"))
		add("secrets", v.str("secret", "secretName"))
		v.each(func(s object) {
			add("configmaps", s.str("configMap", "name"))
			add("secrets", s.str("secret", "name"))
		}, "projected", "sources")
	}, "spec", "volumes")
	return slices.SortedFunc(maps.Keys(found), func(a, b Reference) int {
		return cmp.Or(strings.Compare(a.Resource, b.Resource), strings.Compare(a.Name, b.Name))
	})
}
