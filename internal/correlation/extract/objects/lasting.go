package objects

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/your-org/tapio/internal/correlation/entity"
)

// compact makes the struct in which an object of a resource takes a fraction of the memory that it takes as maps.
var compact = map[string]func() any{
	"pods":                   func() any { return &corev1.Pod{} },
	"events":                 func() any { return &corev1.Event{} },
	"nodes":                  func() any { return &corev1.Node{} },
	"services":               func() any { return &corev1.Service{} },
	"persistentvolumeclaims": func() any { return &corev1.PersistentVolumeClaim{} },
	"deployments":            func() any { return &appsv1.Deployment{} },
	"replicasets":            func() any { return &appsv1.ReplicaSet{} },
	"statefulsets":           func() any { return &appsv1.StatefulSet{} },
	"daemonsets":             func() any { return &appsv1.DaemonSet{} },
	"jobs":                   func() any { return &batchv1.Job{} },
	"cronjobs":               func() any { return &batchv1.CronJob{} },
	"persistentvolumes":      func() any { return &corev1.PersistentVolume{} },
	"namespaces":             func() any { return &corev1.Namespace{} },
}

// Record takes in one record, as Observe does, in the form that takes least memory: what is kept for long. It returns false for
// what is no object.
func (c *Cluster) Record(resource string, r plog.LogRecord) bool {
	if r.Body().Type() != pcommon.ValueTypeMap {
		return false
	}
	body, change := r.Body().Map(), ""
	if t, ok := body.Get("type"); ok {
		if inner, ok := body.Get("object"); ok && inner.Type() == pcommon.ValueTypeMap {
			body, change = inner.Map(), t.AsString()
		}
	}
	raw := body.AsRaw()
	o := of(raw)
	// An events.k8s.io event has other fields than one of v1.
	if make := compact[resource]; make != nil && (resource != "events" || o.has("involvedObject")) {
		typed := make()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, typed); err == nil {
			o = of(typed)
		}
	}
	c.take(resource, change, o)
	return true
}

// Expire forgets events that are too old to say anything.
func (c *Cluster) Expire(now time.Time) {
	old := now.Add(-lately)
	for ref, list := range c.events {
		kept := slices.DeleteFunc(list, func(e object) bool { return occurred(e).Before(old) })
		if len(kept) == 0 {
			delete(c.events, ref)
			continue
		}
		c.events[ref] = kept
	}
}

// Places are the containers and pods by the ids that the nodes know them by: a container by its runtime's id, that of its last life
// as well, and by the pod's uid with its name; a pod by its uid.
func (c *Cluster) Places() map[string]entity.Entity {
	all := map[string]entity.Entity{}
	for _, pod := range c.kinds["pods"] {
		e := c.podEntity(pod)
		all[pod.uid()] = e
		for _, list := range []string{"containerStatuses", "initContainerStatuses"} {
			pod.each(func(s object) {
				of := e
				of.Kind, of.Container = entity.Container, s.str("name")
				of.ID = entity.ID("container:" + pod.uid() + "/" + of.Container)
				all[pod.uid()+"/"+of.Container] = of
				for _, path := range [][]string{{"containerID"}, {"lastState", "terminated", "containerID"}} {
					if _, id, ok := strings.Cut(s.str(path...), "://"); ok && id != "" {
						all[id] = of
					}
				}
			}, "status", list)
		}
	}
	return all
}
