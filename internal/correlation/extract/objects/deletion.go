package objects

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

const (
	// held is how long a finalizer may hold an object that is deleted: who put it there usually takes it away within seconds.
	held = time.Minute
	// overdue is how long after the end of its grace the kubelet may take to end a pod.
	overdue = 2 * time.Minute
)

// terminating tells of a pod that was deleted and does not go.
func (t *telling) terminating(pod object, e entity.Entity) {
	since, finalizers := pod.time("metadata", "deletionTimestamp"), pod.texts("metadata", "finalizers") // when its grace ends
	runs := false
	pod.each(func(s object) { runs = runs || s.has("state", "running") }, "status", "containerStatuses")
	patience := overdue
	if len(finalizers) > 0 && !runs {
		patience = held
	}
	if t.now.Sub(since) < patience {
		return
	}
	facts := map[string]string{"finalizers": join(finalizers)}
	if runs {
		facts["runs"] = "true"
	}
	if ev := t.last("Pod", pod, t.now.Add(-lately), "FailedKillPod", "FailedPreStopHook", "ExceededGracePeriod"); ev.ok {
		facts["message"] = brief(said(ev))
	}
	t.state(e, signal.Terminating, since, "it was deleted, its grace is over, and it is still there", facts)
}

// overdue tells of any other object that was deleted and is held by a finalizer.
func (t *telling) overdue(kind entity.Kind, o object) {
	since, finalizers := o.time("metadata", "deletionTimestamp"), o.texts("metadata", "finalizers")
	patience := held
	switch kind {
	case entity.Service, entity.Ingress, entity.Gateway, entity.PersistentVolume:
		patience = starting // a cloud takes minutes to take away what it made for it
	}
	if len(finalizers) == 0 || t.now.Sub(since) < patience || t.ending(kind, o) {
		return
	}
	facts := map[string]string{"finalizers": join(finalizers)}
	switch {
	case kind == entity.Volume && slices.Contains(finalizers, "kubernetes.io/pvc-protection"):
		users := t.users(o)
		if len(users) == 0 {
			break
		}
		facts["used_by"] = join(users)
	case kind == entity.PersistentVolume && slices.Contains(finalizers, "kubernetes.io/pv-protection"):
		if claim := o.str("spec", "claimRef", "name"); claim != "" {
			facts["used_by"] = "claim " + claim
		}
	}
	t.state(entity.Named(kind, o.namespace(), o.name()), signal.DeletionStuck, since, "it was deleted, and finalizer "+facts["finalizers"]+" holds it", facts)
}

// ending says whether an object waits for pods that may use their grace: of a claim those that mount it, of a workload its own.
func (t *telling) ending(kind entity.Kind, o object) bool {
	return slices.ContainsFunc(t.pods(o.namespace()), func(pod object) bool {
		if !t.now.Before(pod.time("metadata", "deletionTimestamp")) {
			return false
		}
		of := t.owner(pod)
		return kind == entity.Volume && mounts(pod, o) || of != nil && of.Kind == string(kind) && of.Name == o.name()
	})
}

// users are the pods that mount a claim.
func (t *telling) users(claim object) []string {
	var found []string
	for _, pod := range t.pods(claim.namespace()) {
		if mounts(pod, claim) {
			found = append(found, pod.name())
		}
	}
	return found
}

// mounts says whether a pod mounts a claim.
func mounts(pod, claim object) bool {
	found := false
	pod.each(func(v object) { found = found || claimName(pod, v) == claim.name() }, "spec", "volumes")
	return found
}

// What the namespace controller says holds a namespace (pkg/controller/namespace/deletion/status_condition_utils.go).
var remainingRE = regexp.MustCompile(`(?:remaining: )(.*)$`)

// namespace tells of a namespace that was deleted and does not go.
func (t *telling) namespace(n object) {
	since := n.time("metadata", "deletionTimestamp")
	if n.str("status", "phase") != "Terminating" || t.now.Sub(since) < held || t.scope != "" && t.scope != n.name() {
		return
	}
	facts := map[string]string{}
	for _, c := range []struct{ condition, problem string }{
		{"NamespaceDeletionDiscoveryFailure", "discovery"}, {"NamespaceDeletionGroupVersionParsingFailure", "discovery"},
		{"NamespaceFinalizersRemaining", "finalizers"}, {"NamespaceDeletionContentFailure", "content"}, {"NamespaceContentRemaining", "content"},
	} {
		found := n.condition(c.condition)
		if found.str("status") != "True" || facts["problem"] != "" {
			continue
		}
		facts["problem"], facts["message"] = c.problem, brief(found.str("message"))
		facts["remaining"] = brief(strings.TrimSpace(group(remainingRE, found.str("message"))))
	}
	if facts["problem"] == "" {
		own := n.texts("spec", "finalizers")
		if len(own) == 0 || t.now.Sub(since) < starting {
			return
		}
		facts["finalizers"] = join(own)
	}
	if facts["problem"] == "content" && t.now.Sub(since) < starting {
		return // what is in it may need its grace
	}
	if c := n.condition("NamespaceContentRemaining"); c.str("status") == "True" {
		facts["content"] = brief(group(remainingRE, c.str("message")))
	}
	t.state(entity.Named(entity.Namespace, "", n.name()), signal.DeletionStuck, since, "it was deleted, and is not empty: "+facts["message"], facts)
}
