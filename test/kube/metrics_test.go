package kube

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/your-org/tapio/internal/finding"
)

// metricsServer serves metrics.k8s.io as metrics-server does, in the form of k8s.io/metrics: what each container uses.
func metricsServer(t *testing.T, host, namespace string, used map[string]string) (port int64) {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasSuffix(r.URL.Path, "/pods") {
			fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[{"name":"pods","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}]}`)
			return
		}
		var items []string
		for pod, usage := range used {
			items = append(items, fmt.Sprintf(`{"metadata":{"name":%q,"namespace":%q},"timestamp":%q,"window":"15s","containers":[{"name":"app","usage":%s}]}`,
				pod, namespace, time.Now().UTC().Format(time.RFC3339), usage))
		}
		fmt.Fprintf(w, `{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[%s]}`, strings.Join(items, ","))
	}))
	server.Listener.Close()
	server.Listener = l
	server.StartTLS()
	t.Cleanup(server.Close)
	_, text, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	port, err = strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return port
}

// metricsAPI lets port 4320 of service metrics-server, in a namespace, serve metrics.k8s.io.
func metricsAPI(namespace string) unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "v1beta1.metrics.k8s.io"},
		"spec": map[string]any{"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100), "insecureSkipTLSVerify": true,
			"service": map[string]any{"namespace": namespace, "name": "metrics-server", "port": int64(4320)}}}}
}

func coverage(r finding.Report, layer finding.Layer) finding.Coverage {
	for _, c := range r.Coverage {
		if c.Layer == layer {
			return c
		}
	}
	return finding.Coverage{}
}

// What metrics.k8s.io tells is evidence: that its CPU limit holds a container back, and who fills the memory of a node. Where it is not
// served, or does not answer, that is said, and all else is told.
func TestMetrics(t *testing.T) {
	host := address(t)
	ctx := t.Context()
	cluster.space(ctx, t, "metered")
	nodes := cluster.API.Resource(resources["Node"].GroupVersionResource)
	at := time.Now().Add(-5 * time.Minute).UTC().Format(time.RFC3339)
	cluster.create(ctx, t, "", unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "full"},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"},
			map[string]any{"type": "MemoryPressure", "status": "True", "message": "kubelet has insufficient memory available", "lastTransitionTime": at}}}}})
	defer func() { require.NoError(t, nodes.Delete(ctx, "full", metav1.DeleteOptions{})) }()
	container := map[string]any{"name": "app", "image": "x", "readinessProbe": map[string]any{"httpGet": map[string]any{"path": "/ready", "port": int64(80)}},
		"resources": map[string]any{"limits": map[string]any{"cpu": "500m", "memory": "1Gi"}, "requests": map[string]any{"cpu": "10m", "memory": "64Mi"}}}
	for name, node := range map[string]string{"slow": "elsewhere", "hungry": "full", "modest": "full"} {
		ready := name != "slow"
		status := map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "PodScheduled", "status": "True", "lastTransitionTime": at},
			map[string]any{"type": "ContainersReady", "status": "False", "lastTransitionTime": at}},
			"containerStatuses": []any{map[string]any{"name": "app", "ready": ready, "started": true, "restartCount": int64(0), "image": "x", "imageID": "x", "state": map[string]any{"running": map[string]any{"startedAt": at}}}}}
		cluster.create(ctx, t, "metered", unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"nodeName": node, "containers": []any{container}}, "status": status}})
	}
	assert.Equal(t, finding.Coverage{Layer: "metrics", State: finding.CoverageAbsent, Reason: "metrics.k8s.io is not served: there is no metrics-server"},
		coverage(check(t, cluster.Kubeconfig, "-n", "metered"), "metrics"))

	extension := metricsAPI("metered")
	cluster.create(ctx, t, "", extension)
	defer func() {
		require.NoError(t, cluster.of(extension, "").Delete(ctx, extension.GetName(), metav1.DeleteOptions{}))
	}()
	var r finding.Report
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		r = check(t, cluster.Kubeconfig, "-n", "metered")
		assert.Equal(c, finding.CoverageDegraded, coverage(r, "metrics").State)
	}, settled, 200*time.Millisecond)
	assert.Contains(t, coverage(r, "metrics").Reason, "metrics.k8s.io does not answer: ")
	assert.NotEmpty(t, r.Findings)

	port := metricsServer(t, host, "metered", map[string]string{"slow": `{"cpu":"497m","memory":"20Mi"}`, "hungry": `{"cpu":"1m","memory":"900Mi"}`, "modest": `{"cpu":"1m","memory":"32Mi"}`})
	cluster.create(ctx, t, "", unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "elsewhere"},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}}})
	defer func() { require.NoError(t, nodes.Delete(ctx, "elsewhere", metav1.DeleteOptions{})) }()
	serve(t, "metered", "metrics-server", host, port, nil)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		r = check(t, cluster.Kubeconfig, "-n", "metered")
		assert.Equal(c, finding.CoverageOK, coverage(r, "metrics").State, coverage(r, "metrics").Reason)
		said := ""
		for _, f := range r.Findings {
			said += f.Pattern + ": " + f.Explanation + "\n"
		}
		assert.Contains(c, said, "It may be too slow to answer: it uses 99% of its CPU limit of 0.5 CPU.")
		assert.Contains(c, said, "Beyond what they requested, these use the most memory: metered/hungry (900 MiB, requested 64 MiB), metered/modest (32 MiB, requested 64 MiB).")
	}, settled, 500*time.Millisecond)
}
