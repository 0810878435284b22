package kube

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	manyWorkloads = 1000
	manyPods      = 5 * manyWorkloads
	manyNodes     = 50
)

// ill are workloads of which each pod is broken, in one way each.
var ill = []struct {
	name, pattern string
	pods          int
	status        func(at string) map[string]any
}{
	{"crash", "crash-loop", 20, func(at string) map[string]any {
		return container(map[string]any{"waiting": map[string]any{"reason": "CrashLoopBackOff"}}, map[string]any{"exitCode": int64(1), "reason": "Error", "startedAt": at, "finishedAt": at})
	}},
	{"image", "image-pull-failed", 2, func(string) map[string]any {
		return container(map[string]any{"waiting": map[string]any{"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"}}, nil)
	}},
	{"config", "container-config-error", 1, func(string) map[string]any {
		return container(map[string]any{"waiting": map[string]any{"reason": "CreateContainerConfigError", "message": `configmap "app" not found`}}, nil)
	}},
	{"oom", "oom-killed", 2, func(at string) map[string]any {
		return container(map[string]any{"running": map[string]any{"startedAt": at}}, map[string]any{"exitCode": int64(137), "reason": "OOMKilled", "startedAt": at, "finishedAt": at})
	}},
	{"pending", "pod-unschedulable", 2, nil},
}

func illPods() int {
	n := 0
	for _, d := range ill {
		n += d.pods
	}
	return n
}

func container(state, last map[string]any) map[string]any {
	c := map[string]any{"name": "app", "ready": false, "restartCount": int64(5), "image": "registry.example/app:1", "imageID": "x", "state": state}
	if last != nil {
		c["lastState"] = map[string]any{"terminated": last}
	}
	return c
}

var filled sync.Once

// fill makes the objects of a large cluster, once. Its controllers are ended first: the load is written, not lived.
func (c *Cluster) fill(b *testing.B) {
	filled.Do(func() {
		for _, part := range []string{"kube-scheduler", "kube-controller-manager"} {
			require.NoError(b, c.Kill(part))
		}
		l := loading{c, context.WithoutCancel(b.Context()), time.Now().Add(-5 * time.Minute).UTC().Format(time.RFC3339)}
		require.NoError(b, l.create(namespaces, "", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "many"}}))
		work := make(chan func() error)
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				for do := range work {
					if err := do(); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for i := range manyNodes {
			work <- func() error { return l.node(fmt.Sprintf("n%d", i)) }
		}
		for i := range manyWorkloads {
			work <- func() error { return l.workload(fmt.Sprintf("app-%d", i), 5, true, nil) }
		}
		for _, d := range ill {
			work <- func() error { return l.workload(d.name, d.pods, false, d.status) }
		}
		close(work)
		group.Wait()
	})
}

// loading writes objects as the parts of a cluster would have written them at a time.
type loading struct {
	*Cluster
	ctx context.Context
	at  string
}

// create makes an object, with its status.
func (l loading) create(r schema.GroupVersionResource, namespace string, o map[string]any) error {
	made, err := l.API.Resource(r).Namespace(namespace).Create(l.ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
	if err != nil || o["status"] == nil {
		return err
	}
	made.Object["status"] = o["status"]
	_, err = l.API.Resource(r).Namespace(namespace).UpdateStatus(l.ctx, made, metav1.UpdateOptions{})
	return err
}

func (l loading) node(name string) error {
	return l.create(resources["Node"].GroupVersionResource, "", map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": name, "labels": map[string]any{"kubernetes.io/hostname": name}},
		"status": map[string]any{"allocatable": map[string]any{"cpu": "32", "memory": "64Gi", "pods": "250"}, "capacity": map[string]any{"cpu": "32", "memory": "64Gi", "pods": "250"},
			"conditions": []any{map[string]any{"type": "Ready", "status": "True", "lastTransitionTime": l.at, "lastHeartbeatTime": l.at}}}})
}

// workload makes a Deployment, its ReplicaSet, service and pods, and two events for each pod.
func (l loading) workload(name string, pods int, well bool, status func(at string) map[string]any) error {
	labels := map[string]any{"app": name, "pod-template-hash": "7d4f9c"}
	set := name + "-7d4f9c"
	spec := func() map[string]any {
		return map[string]any{"containers": []any{map[string]any{"name": "app", "image": "registry.example/team/app:1.2.3", "ports": []any{map[string]any{"containerPort": int64(8080)}},
			"env":            []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "LOG_LEVEL", "value": "info"}},
			"readinessProbe": map[string]any{"httpGet": map[string]any{"path": "/ready", "port": int64(8080)}},
			"resources":      map[string]any{"limits": map[string]any{"memory": "64Mi"}, "requests": map[string]any{"cpu": "10m", "memory": "64Mi"}}}}}
	}
	owned := func(kind, of string) []any {
		return []any{map[string]any{"apiVersion": "apps/v1", "kind": kind, "name": of, "uid": "00000000-0000-0000-0000-000000000001", "controller": true}}
	}
	template := map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec()}
	ready := int64(0)
	if well {
		ready = int64(pods)
	}
	counts := map[string]any{"replicas": int64(pods), "readyReplicas": ready, "availableReplicas": ready}
	for _, o := range []struct {
		kind string
		o    map[string]any
	}{
		{"Deployment", map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name, "labels": labels},
			"spec": map[string]any{"replicas": int64(pods), "selector": map[string]any{"matchLabels": labels}, "template": template}, "status": counts}},
		{"ReplicaSet", map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": map[string]any{"name": set, "labels": labels, "ownerReferences": owned("Deployment", name)},
			"spec": map[string]any{"replicas": int64(pods), "selector": map[string]any{"matchLabels": labels}, "template": template}, "status": counts}},
	} {
		r := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: map[string]string{"Deployment": "deployments", "ReplicaSet": "replicasets"}[o.kind]}
		if err := l.create(r, "many", o.o); err != nil {
			return err
		}
	}
	if well {
		if err := l.create(resources["Service"].GroupVersionResource, "many", map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"selector": map[string]any{"app": name}, "ports": []any{map[string]any{"port": int64(80), "targetPort": int64(8080)}}}}); err != nil {
			return err
		}
	}
	for i := range pods {
		p := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": fmt.Sprintf("%s-%d", set, i), "labels": labels, "ownerReferences": owned("ReplicaSet", set)},
			"spec": spec(), "status": l.status(well, status)}
		if well || status != nil {
			p["spec"].(map[string]any)["nodeName"] = fmt.Sprintf("n%d", (len(name)*7+i)%manyNodes)
		}
		if err := l.create(resources["Pod"].GroupVersionResource, "many", p); err != nil {
			return err
		}
		if err := l.events(fmt.Sprintf("%s-%d", set, i)); err != nil {
			return err
		}
	}
	return nil
}

func (l loading) status(well bool, broken func(at string) map[string]any) map[string]any {
	yes := map[bool]string{true: "True", false: "False"}
	condition := func(kind string, is bool) map[string]any {
		return map[string]any{"type": kind, "status": yes[is], "lastTransitionTime": l.at}
	}
	if !well && broken == nil {
		c := condition("PodScheduled", false)
		c["reason"], c["message"] = "Unschedulable", "0/50 nodes are available: 50 node(s) didn't match Pod's node affinity/selector."
		return map[string]any{"phase": "Pending", "conditions": []any{c}}
	}
	c := map[string]any{"name": "app", "ready": true, "started": true, "restartCount": int64(0), "image": "registry.example/team/app:1.2.3", "imageID": "sha256:0123456789abcdef",
		"containerID": "containerd://0123456789abcdef", "state": map[string]any{"running": map[string]any{"startedAt": l.at}}}
	if !well {
		c = broken(l.at)
	}
	return map[string]any{"phase": "Running", "podIP": "10.0.0.1", "podIPs": []any{map[string]any{"ip": "10.0.0.1"}}, "hostIP": "10.1.0.1", "startTime": l.at, "qosClass": "Burstable",
		"conditions": []any{condition("PodScheduled", true), condition("Initialized", true), condition("ContainersReady", well), condition("Ready", well)}, "containerStatuses": []any{c}}
}

// events makes two events of a pod: of ten, nine tell of what went as it should, and one that a probe failed when it started.
func (l loading) events(pod string) error {
	for n := range 2 {
		kind, reason, message := "Normal", "Pulled", `Container image "registry.example/team/app:1.2.3" already present on machine`
		if pod[len(pod)-1] == '0' && n == 0 {
			kind, reason, message = "Warning", "Unhealthy", "Readiness probe failed: Get \"http://10.0.0.1:8080/ready\": dial tcp 10.0.0.1:8080: connect: connection refused"
		}
		if err := l.create(events, "many", map[string]any{"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"name": fmt.Sprintf("%s.%d", pod, n)}, "reason": reason, "type": kind,
			"message": message, "firstTimestamp": l.at, "lastTimestamp": l.at, "count": int64(1), "source": map[string]any{"component": "kubelet"},
			"involvedObject": map[string]any{"kind": "Pod", "namespace": "many", "name": pod, "fieldPath": "spec.containers{app}"}}); err != nil {
			return err
		}
	}
	return nil
}
