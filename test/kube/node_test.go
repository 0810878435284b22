//go:build linux

package kube

import (
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/harness"
)

// nodeScenarios are failures that a real kubelet, container runtime, scheduler and controllers make of what is in testdata/node; nobody
// plays a status.
var nodeScenarios = []scenario{
	{name: "oom", pattern: "oom-killed", entity: "Container api", severity: finding.Critical, says: []string{"api was OOM-killed", "48 MiB", "kubectl set resources deployment/api -n oom -c api --limits=memory="}},
	{name: "crash-exit", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"with exit code 3", "It said: panic: no DATABASE_URL.", "1 more of its pods"}},
	{name: "crash-signal", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"by SIGSEGV", "memory that is not its own"}},
	{name: "crash-missing", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"/app/servr is not in the image"}},
	{name: "image-tag", pattern: "image-pull-failed", entity: "Container api", severity: finding.Critical, says: []string{"image 127.0.0.1:5000/app:9 does not exist"}},
	{name: "image-network", pattern: "image-pull-failed", entity: "Container api", severity: finding.Critical, says: []string{"127.0.0.1:5001", "cannot be reached"}},
	{name: "config-missing", pattern: "container-config-error", entity: "Container api", severity: finding.Critical, says: []string{"Secret db-creds does not exist"}},
	{name: "config-key", pattern: "container-config-error", entity: "Container api", severity: finding.Critical, says: []string{"Secret db-creds has no key password", "it has pass, user."}},
	{name: "probe-ready", pattern: "probe-failing", entity: "Container api", severity: finding.Critical, says: []string{"its readiness probe fails", "GET http://:8080/ready", "connection refused", "Service api has no ready pod"}},
	{name: "probe-live", pattern: "probe-failing", entity: "Container api", severity: finding.Critical, says: []string{"its liveness probe fails", "the command /bin/busybox false"}},
	{name: "probe-start", pattern: "probe-failing", entity: "Container api", severity: finding.Critical, says: []string{"its startup probe fails", "a connection to port 9"}},
	{name: "pending-cpu", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"asks for 64 CPU, more than any node has"}},
	{name: "pending-memory", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"asks for 900 GiB", "more than any node has"}},
	{name: "pending-selector", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"no node has the labels it asks for (disk=nvme)"}},
	{name: "pending-affinity", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"its affinity or spreading rules leave no node of 1", "didn't match pod affinity rules", "kubectl describe nodes"}},
	{name: "pending-apart", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"its affinity or spreading rules leave no node of 1", "didn't match pod anti-affinity rules", "There are 2 pods with its labels."}},
	{name: "pending-spread", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"its affinity or spreading rules leave no node of 1", "didn't match pod topology spread constraints"}},
	{name: "pending-port", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning, says: []string{"port"}},
	{name: "pending-claim", pattern: "volume-unbound", entity: "Volume data", severity: finding.Warning, says: []string{"storage class fast does not exist", "api cannot be scheduled"}},
	{name: "selector", pattern: "service-without-endpoints", entity: "Service api", severity: finding.Critical, says: []string{"selects no pod (app=apii)", "their label app is api"}, later: 2 * time.Minute},
	{name: "init", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"its init container migrate crashes", "cannot connect to db:5432"}},
	{name: "init-waits", pattern: "init-stuck", entity: "Container api", severity: finding.Warning, says: []string{"its init container wait waits for service dbb, which does not exist", "There is a service db.", "-n init-waits -c wait"}, later: time.Minute},
	{name: "init-runs", pattern: "init-stuck", entity: "Container api", severity: finding.Warning, says: []string{"its init container migrate runs for", "It may wait for something.", "has 0 of 1 pods ready", "-n init-runs -c migrate"}, later: 6 * time.Minute},
	{name: "finalizer-pod", pattern: "pod-stuck-terminating", entity: "Pod worker", severity: finding.Warning, says: []string{"finalizer example.com/backup is not done"}, later: 2 * time.Minute},
	{name: "quota", pattern: "pods-refused", entity: "Deployment api", severity: finding.Critical, says: []string{"the quota small of namespace quota is used up", "pods=0"}},
	{name: "webhook", pattern: "webhook-away", entity: "ValidatingWebhookConfiguration guard", severity: finding.Critical, says: []string{"guard"}},
	{name: "rollout-broke", pattern: "crash-loop", entity: "Container api", severity: finding.Critical, says: []string{"after revision 2 of the Deployment", "kubectl rollout undo deployment/api"}},
	{name: "budget-never", pattern: "eviction-blocked", entity: "PodDisruptionBudget api", severity: finding.Warning, says: []string{"never lets a pod of deployment/api be evicted (minAvailable 2, 2 pods)", "kubectl patch pdb api -n budget-never"}, proof: evictionRefused},
	{name: "hpa-maximum", pattern: "hpa-at-maximum", entity: "HorizontalPodAutoscaler api", severity: finding.Warning, says: []string{"deployment/api needs more than 2 replicas", "cpu is at 400 %", "kubectl edit hpa api -n hpa-maximum"}},
	{name: "job", pattern: "job-failed", entity: "Job report", severity: finding.Warning, says: []string{"its pod failed", "main: exit code 2"}},
}

// Two are looked at before all others: while the node has a taint, and while nothing serves metrics.k8s.io.
var (
	pendingTaint = scenario{name: "pending-taint", pattern: "pod-unschedulable", entity: "Pod api", severity: finding.Warning,
		says: []string{"it does not tolerate the nodes' taints (dedicated=gpu:NoSchedule)", "kubectl describe nodes"}, later: time.Minute}
	hpaMetrics = scenario{name: "hpa-metrics", pattern: "hpa-not-scaling", entity: "HorizontalPodAutoscaler api", severity: finding.Warning,
		says: []string{"nothing serves metrics.k8s.io"}}
)

// TestNode is run by node.sh, in namespaces of its own.
func TestNode(t *testing.T) {
	if os.Getenv("TAPIO_NODE_INSIDE") == "" {
		t.Skip("a real node needs namespaces of its own: make e2e")
	}
	workload := "../../bin/workload"
	require.FileExists(t, workload)
	require.NoError(t, cluster.StartNode(t.Context(), os.Getenv("TAPIO_KUBE_BINARY"), workload))
	registry(t)
	taint(t, `[{"key":"dedicated","value":"gpu","effect":"NoSchedule"}]`)
	cluster.apply(t.Context(), t, "node/"+pendingTaint.name)
	t.Run(pendingTaint.name, pendingTaint.onNode)
	taint(t, "null")
	for _, s := range append(nodeScenarios, hpaMetrics, scenario{name: "healthy"}, scenario{name: "peer"}) {
		cluster.apply(t.Context(), t, "node/"+s.name)
	}
	t.Run("rollout", breakRollout)
	t.Run(hpaMetrics.name, hpaMetrics.onNode)
	underLoad(t, "hpa-maximum")
	for _, s := range nodeScenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.onNode(t)
		})
	}
	t.Run("collectors", func(t *testing.T) {
		above, node := collectors(t)
		t.Run("one OOM", func(t *testing.T) { oneOOM(t, above, node) })
		t.Run("peer", func(t *testing.T) { peer(t, above, node) })
	})
	t.Run("healthy", func(t *testing.T) {
		t.Parallel()
		time.Sleep(time.Minute)
		r := check(t, cluster.Kubeconfig, "-n", "healthy")
		assert.Empty(t, r.Findings)
		assert.Equal(t, finding.Summary{Healthy: 3}, r.Summary)
	})
}

// onNode looks until it is told what it should be.
func (s scenario) onNode(t *testing.T) {
	wrong := []string{"nothing was looked at"}
	for end := time.Now().Add(2 * settled); len(wrong) > 0 && time.Now().Before(end); time.Sleep(2 * time.Second) {
		wrong = s.judge(checkLater(t, s.later, s.name))
	}
	for _, w := range wrong {
		t.Error(w)
	}
	if s.proof != nil {
		s.proof(t)
	}
}

// taint gives the node these taints, or none.
func taint(t *testing.T, taints string) {
	t.Helper()
	_, err := cluster.API.Resource(resources["Node"].GroupVersionResource).Patch(t.Context(), NodeName, types.MergePatchType,
		[]byte(`{"spec":{"taints":`+taints+`}}`), metav1.PatchOptions{})
	require.NoError(t, err)
}

// evictionRefused: the API does refuse to evict a pod, in the words that the finding has.
func evictionRefused(t *testing.T) {
	of := cluster.API.Resource(pods).Namespace("budget-never")
	all, err := of.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, all.Items, 2)
	eviction := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]any{"name": all.Items[0].GetName()}}}
	_, err = of.Create(t.Context(), eviction, metav1.CreateOptions{}, "eviction")
	assert.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	assert.ErrorContains(t, err, "Cannot evict pod as it would violate the pod's disruption budget.")
}

// underLoad serves metrics.k8s.io, by which the pods of a namespace use four times the CPU that they requested; what comes of that is
// up to the autoscaler's controller.
func underLoad(t *testing.T, namespace string) {
	all, err := cluster.API.Resource(pods).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, all.Items, 2)
	used := map[string]string{}
	for _, p := range all.Items {
		used[p.GetName()] = `{"cpu":"40m","memory":"1Mi"}`
	}
	port := metricsServer(t, nodeAddress, namespace, used)
	const at = metav1.NamespaceSystem
	cluster.create(t.Context(), t, at, unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "metrics-server"},
		"spec": map[string]any{"ports": []any{map[string]any{"port": int64(4320), "targetPort": port}}}}})
	cluster.create(t.Context(), t, at, unstructured.Unstructured{Object: map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
		"metadata":  map[string]any{"name": "metrics-server", "labels": map[string]any{"kubernetes.io/service-name": "metrics-server"}},
		"ports":     []any{map[string]any{"name": "", "port": port, "protocol": "TCP"}},
		"endpoints": []any{map[string]any{"addresses": []any{nodeAddress}, "conditions": map[string]any{"ready": true}}}}})
	cluster.create(t.Context(), t, "", metricsAPI(at))
}

// collectors are the cluster's, and the node's, which tells that what it finds.
func collectors(t *testing.T) (above, node watcher) {
	cluster.deploy(t, "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
	above = newWatcher(t, cluster.as(t, "tapio", "tapio-cluster"))
	above.start(t)
	of, err := harness.NewCollectorOf("tapio:local", "../../bin", t.TempDir(), []string{"TAPIO_CLUSTER_ENDPOINT=" + above.otlp, "TAPIO_INTERVAL=1s"},
		"--config", "tapio:node", "--config", "yaml:processors::correlation::node: "+NodeName)
	require.NoError(t, err)
	node = watcher{Collector: of}
	t.Cleanup(func() { assert.NoError(t, node.Stop()) })
	node.start(t)
	return above, node
}

// peer: the node's collector sees that a container gets no answer from an address, and no more, and that another one is refused by a
// pod's, which it knows. The cluster's knows the service as well, and that its pod crashes again and again: that is the cause of both.
func peer(t *testing.T, above, node watcher) {
	service, err := cluster.API.Resource(resources["Service"].GroupVersionResource).Namespace("peer").Get(t.Context(), "checkout", metav1.GetOptions{})
	require.NoError(t, err)
	ip, _, _ := unstructured.NestedString(service.Object, "spec", "clusterIP")
	address := net.JoinHostPort(ip, "8080")
	all, err := cluster.API.Resource(pods).Namespace("peer").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, all.Items, 1)
	ip, _, _ = unstructured.NestedString(all.Items[0].Object, "status", "podIP")
	pod := "Pod peer/" + all.Items[0].GetName() + " (" + net.JoinHostPort(ip, "8080") + ")"
	for name, to := range map[string]string{"web": address, "direct": net.JoinHostPort(ip, "8080")} {
		cluster.create(t.Context(), t, "peer", unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"containers": []any{map[string]any{"name": name, "image": Image, "command": []any{"/workload", "connect", to}}}}}})
	}
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		here, err := node.All(t.Context(), "pattern=connection-timeout,connection-refused")
		require.NoError(c, err)
		assert.Regexp(c, "web gets no answer from "+regexp.QuoteMeta(address)+": ", titles(here), "the node's own")
		assert.Regexp(c, "direct cannot connect to "+regexp.QuoteMeta(pod)+": ", titles(here), "the node's own")
		all, err := above.All(t.Context(), "namespace=peer")
		require.NoError(c, err)
		all = slices.DeleteFunc(all, func(f finding.Finding) bool { return f.State != finding.Active })
		if assert.Len(c, all, 1, "%v", titles(all)) {
			assert.Equal(c, "crash-loop", all[0].Pattern)
			because := regexp.MustCompile("Because of this: .*").FindString(all[0].Explanation)
			assert.Regexp(c, "web gets no answer from "+regexp.QuoteMeta("Service peer/checkout ("+address+")"), because)
			assert.Regexp(c, "direct cannot connect to "+regexp.QuoteMeta(pod), because)
		}
	}, settled, time.Second)
}

// oneOOM: the node's collector sees the kernel kill, the cluster's what the kubelet says of it. Both are told as one finding, by the
// cluster's.
func oneOOM(t *testing.T, above, node watcher) {
	var one finding.Finding
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		here, err := node.All(t.Context(), "namespace=oom&pattern=oom-killed")
		require.NoError(c, err)
		assert.NotEmpty(c, here, "the node's own")
		all, err := above.All(t.Context(), "namespace=oom")
		require.NoError(c, err)
		all = slices.DeleteFunc(all, func(f finding.Finding) bool { return f.State != finding.Active })
		if !assert.Len(c, all, 1, "%v", titles(all)) {
			return
		}
		one = all[0]
		assert.Equal(c, "oom-killed", one.Pattern)
		layers := map[finding.Layer]bool{}
		for _, e := range one.Evidence {
			layers[e.Layer] = true
		}
		assert.True(c, layers[finding.LayerKubernetes] && layers[finding.LayerCgroup], "evidence of both: %v", layers)
	}, settled, time.Second)
	assert.Equal(t, &finding.Owner{Kind: "Deployment", Name: "api"}, one.Entity.Owner)
	assert.Equal(t, "oom", one.Entity.Namespace)
	assert.Equal(t, NodeName, one.Entity.Node)
}

func titles(all []finding.Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, f.Pattern+": "+f.Title)
	}
	return out
}

// registry is one that has no image, as any that is asked for a tag which is not there.
func registry(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:5000")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`))
	}), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
}

// breakRollout gives a deployment that is well a command which is not.
func breakRollout(t *testing.T) {
	deployments := cluster.API.Resource(resources["Deployment"].GroupVersionResource).Namespace("rollout-broke")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		d, err := deployments.Get(t.Context(), "api", metav1.GetOptions{})
		require.NoError(c, err)
		available, _, _ := unstructured.NestedInt64(d.Object, "status", "availableReplicas")
		assert.EqualValues(c, 2, available)
	}, 2*time.Minute, 500*time.Millisecond)
	_, err := deployments.Patch(t.Context(), "api", types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"api","command":["/bin/busybox","sh","-c","exit 1"]}]}}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
}
