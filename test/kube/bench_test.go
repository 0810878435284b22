package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	look "github.com/your-org/tapio/internal/kube"
)

const (
	manyPods   = 5000
	manyEvents = 10000
)

// BenchmarkCheck looks at 5,000 pods of one owner and 10,000 events, 20 of the pods being broken in one way; BenchmarkTable asks for
// the same kinds as `kubectl get` does, as tables of 500 rows.
func BenchmarkCheck(b *testing.B) {
	fill(b)
	c, err := look.Connect(look.Options{Kubeconfig: cluster.Kubeconfig, Timeout: time.Minute, Getenv: os.Getenv})
	require.NoError(b, err)
	for b.Loop() {
		r, err := c.Check(b.Context(), look.Query{Namespace: "many"}, time.Now())
		require.NoError(b, err)
		require.Len(b, r.Findings, 1)
		require.Equal(b, manyPods, r.Watched["Pod"])
	}
}

func BenchmarkTable(b *testing.B) {
	fill(b)
	ca, err := os.ReadFile(filepath.Join(cluster.dir, "pki", "apiserver.crt"))
	require.NoError(b, err)
	client := &http.Client{Transport: transport(ca)}
	for b.Loop() {
		for _, path := range []string{"/api/v1/namespaces/many/pods", "/api/v1/namespaces/many/events", "/apis/apps/v1/namespaces/many/deployments",
			"/apis/apps/v1/namespaces/many/replicasets", "/api/v1/namespaces/many/services", "/api/v1/nodes"} {
			table(b, client, path)
		}
	}
}

// table reads all pages of a list as a table.
func table(b *testing.B, client *http.Client, path string) {
	next := ""
	for {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, cluster.address+path+"?limit=500&continue="+next, nil)
		require.NoError(b, err)
		req.Header.Set("Authorization", "Bearer "+adminToken)
		req.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
		resp, err := client.Do(req)
		require.NoError(b, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(b, err)
		resp.Body.Close()
		var list unstructured.Unstructured
		require.NoError(b, list.UnmarshalJSON(body))
		if next, _, _ = unstructured.NestedString(list.Object, "metadata", "continue"); next == "" {
			return
		}
	}
}

var filled sync.Once

// fill makes the objects, once.
func fill(b *testing.B) {
	filled.Do(func() {
		ctx := context.WithoutCancel(b.Context())
		space := unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "many"}}}
		_, err := cluster.API.Resource(namespaces).Create(ctx, &space, metav1.CreateOptions{})
		require.NoError(b, err)
		// An owner that exists, or the garbage collector would take the pods; and of a kind whose controller does not count them.
		owner := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "owner"}}}
		owner, err = cluster.API.Resource(resources["ConfigMap"].GroupVersionResource).Namespace("many").Create(ctx, owner, metav1.CreateOptions{})
		require.NoError(b, err)
		at := time.Now().UTC().Format(time.RFC3339)
		work := make(chan int)
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				for i := range work {
					if err := one(ctx, i, at, string(owner.GetUID())); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for i := range manyPods {
			work <- i
		}
		close(work)
		group.Wait()
	})
}

// one makes a pod as a kubelet reports it, and its events.
func one(ctx context.Context, i int, at, owner string) error {
	name := fmt.Sprintf("pod-%d", i)
	state, ready := map[string]any{"running": map[string]any{"startedAt": at}}, "True"
	if i < 20 {
		state, ready = map[string]any{"waiting": map[string]any{"reason": "CrashLoopBackOff"}}, "False"
	}
	p := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"app": "app"}, "ownerReferences": []any{map[string]any{"apiVersion": "v1",
			"kind": "ConfigMap", "name": "owner", "uid": owner, "controller": true}}},
		"spec": map[string]any{"nodeName": fmt.Sprintf("n%d", i%50), "containers": []any{map[string]any{"name": "app", "image": "registry.example/app:1",
			"env": []any{map[string]any{"name": "A", "value": "1"}}, "resources": map[string]any{"limits": map[string]any{"memory": "64Mi"}}}}}}}
	api := cluster.API.Resource(pods).Namespace("many")
	made, err := api.Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Object["status"] = map[string]any{"phase": "Running", "podIP": "10.0.0.1", "conditions": []any{
		map[string]any{"type": "PodScheduled", "status": "True", "lastTransitionTime": at}, map[string]any{"type": "Ready", "status": ready, "lastTransitionTime": at}},
		"containerStatuses": []any{map[string]any{"name": "app", "ready": ready == "True", "restartCount": int64(5), "image": "x", "imageID": "x", "state": state,
			"lastState": map[string]any{"terminated": map[string]any{"exitCode": int64(1), "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}}}}}
	if _, err := api.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	for n := range manyEvents / manyPods {
		ev := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"name": fmt.Sprintf("%s.%d", name, n)},
			"reason": "Pulled", "type": "Normal", "message": "Container image \"registry.example/app:1\" already present on machine", "firstTimestamp": at, "lastTimestamp": at, "count": int64(1),
			"involvedObject": map[string]any{"kind": "Pod", "namespace": "many", "name": name, "uid": string(made.GetUID()), "fieldPath": "spec.containers{app}"}}}
		if _, err := cluster.API.Resource(events).Namespace("many").Create(ctx, ev, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}
