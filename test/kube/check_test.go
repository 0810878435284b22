package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/root"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

var cluster *Cluster

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run runs the tests against one control plane, or skips them all, with the reason.
func run(m *testing.M) int {
	binary := os.Getenv("TAPIO_KUBE_BINARY")
	if binary == "" {
		out, err := exec.Command("./build.sh", "-n").CombinedOutput()
		if err != nil {
			fmt.Printf("skipped: Kubernetes' control plane is not built: %s", out)
			return 0
		}
		binary = strings.TrimSpace(string(out))
	}
	dir, err := os.MkdirTemp("", "tapio-kube-")
	if err == nil {
		defer os.RemoveAll(dir)
		cluster, err = Start(context.Background(), binary, dir)
		defer func() {
			if err := cluster.Stop(); err != nil {
				fmt.Println("stop the control plane:", err)
			}
		}()
	}
	if err != nil {
		fmt.Println("FAIL: start the control plane:", err)
		return 1
	}
	return m.Run()
}

// tapio runs the command as a user does.
func tapio(t *testing.T, kubeconfig string, later time.Duration, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errOut bytes.Buffer
	env := cli.Env{In: strings.NewReader(""), Out: &out, ErrOut: &errOut, Now: func() time.Time { return time.Now().Add(later) },
		Getenv: func(name string) string { return map[string]string{"KUBECONFIG": kubeconfig}[name] }}
	status = root.Run(t.Context(), env, append([]string{"tapio"}, args...))
	return out.String(), errOut.String(), status
}

func check(t *testing.T, kubeconfig string, args ...string) finding.Report {
	t.Helper()
	stdout, stderr, status := tapio(t, kubeconfig, 0, append([]string{"check", "--kubeconfig", kubeconfig, "-o", "json", "--request-timeout", "60s"}, args...)...)
	require.NotEqual(t, cli.ExitFailed, status, stderr)
	var r finding.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	for _, f := range r.Findings {
		require.NoError(t, f.Validate())
	}
	return r
}

// checkLater is what the administrator sees in a namespace, or in all, when some time has passed since its objects were made.
func checkLater(t *testing.T, later time.Duration, namespace string) finding.Report {
	t.Helper()
	client, err := kube.Connect(kube.Options{Kubeconfig: cluster.Kubeconfig, Timeout: time.Minute, Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	r, err := client.Check(t.Context(), kube.Query{Namespace: namespace, All: namespace == ""}, time.Now().Add(later))
	require.NoError(t, err)
	for _, f := range r.Findings {
		require.NoError(t, f.Validate())
	}
	return r
}

// settled is how long the scheduler and the controllers may take, and what the checks wait for before they tell.
const settled = 90 * time.Second

// Every scenario is one failure, made through the real API, and has to be one finding, with the cause and what helps. All are
// there at the same time, each in a namespace of its own.
func TestScenarios(t *testing.T) {
	ctx := t.Context()
	for _, o := range read(t, "nodes.yaml") {
		cluster.create(ctx, t, "", o)
	}
	for _, o := range read(t, "classes.yaml") {
		cluster.create(ctx, t, "", o)
	}
	for _, s := range scenarios {
		cluster.apply(ctx, t, s.name)
	}
	cluster.apply(ctx, t, "healthy")
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			last, wrong := finding.Report{}, []string{"nothing was looked at"}
			for end := time.Now().Add(settled); len(wrong) > 0 && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
				if s.played {
					cluster.replay(ctx, t, s.name)
				}
				last = checkLater(t, s.later, s.name)
				wrong = s.judge(last)
			}
			for _, w := range wrong {
				t.Error(w)
			}
			assert.Equal(t, finding.SourceAPIServer, last.Source)
			if s.played {
				require.NoError(t, cluster.API.Resource(resources["HorizontalPodAutoscaler"].GroupVersionResource).Namespace(s.name).Delete(ctx, "api", metav1.DeleteOptions{}))
			}
		})
	}
	// What is well, or will be, raises nothing, however long all the others have been looked at.
	t.Run("healthy", func(t *testing.T) {
		r := check(t, cluster.Kubeconfig, "-n", "healthy")
		assert.Empty(t, r.Findings)
		assert.Equal(t, finding.Summary{Healthy: 6}, r.Summary)
		assert.Equal(t, finding.Ready{Available: 3, Total: 5}, r.Ready["Deployment"], "young and fresh are not there yet")
		stdout, stderr, status := tapio(t, cluster.Kubeconfig, 0, "check", "--context", "test", "-n", "healthy")
		assert.Equal(t, "HEALTHY: 6 pods running normally\n\nREADY: 3/5 deployments fully available\n", stdout, stderr)
		assert.Equal(t, cli.ExitOK, status)
	})
	t.Run("quiet", func(t *testing.T) {
		cluster.apply(ctx, t, "quiet")
		// The controllers take a while to count what is there.
		var r finding.Report
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
			if r = check(t, cluster.Kubeconfig, "-n", "quiet"); len(r.Findings) == 0 {
				break
			}
		}
		for _, f := range r.Findings {
			t.Errorf("%s %s: %s", f.Pattern, f.Entity.Display(), f.Title)
		}
	})
	t.Run("all of it", everything)
	t.Run("in no namespace", everywhere)
	t.Run("gateways", gateways)
	t.Run("one of it", func(t *testing.T) {
		of := check(t, cluster.Kubeconfig, "-A", "deploy/api").Findings
		assert.Greater(t, len(of), 30)
		assert.Less(t, len(of), len(scenarios))
		assert.Len(t, check(t, cluster.Kubeconfig, "-n", "crash-exit", "api").Findings, 1)
		_, stderr, status := tapio(t, cluster.Kubeconfig, 0, "check", "--kubeconfig", cluster.Kubeconfig, "-n", "crash-exit", "deploy/other")
		assert.Equal(t, cli.ExitFailed, status)
		assert.Contains(t, stderr, `has no "deploy/other" in namespace crash-exit`)
		assert.Len(t, check(t, cluster.Kubeconfig, "-n", "crash-exit", "-l", "app=api").Findings, 1)
		assert.Empty(t, check(t, cluster.Kubeconfig, "-n", "crash-exit", "-l", "app=other").Findings)
	})
	t.Run("a guest", guest)
	t.Run("a node is short of memory", pressed)
	t.Run("a node goes away", silent)
}

// everything looks at all namespaces at once: as many findings as there are causes, and no secret anywhere.
func everything(t *testing.T) {
	stdout, _, status := tapio(t, cluster.Kubeconfig, 0, "check", "--kubeconfig", cluster.Kubeconfig, "-A", "-o", "json")
	assert.Equal(t, cli.ExitFindings, status)
	assert.NotContains(t, stdout, "hunter2")
	assert.NotContains(t, stdout, "aHVudGVyMg")
	var r finding.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	found := map[string]int{}
	for _, f := range r.Findings {
		found[f.Entity.Namespace]++
	}
	for _, s := range scenarios {
		switch n := found[s.name]; {
		case s.name == "webhook": // which is in no namespace
			assert.Equal(t, 1, found[""])
		case s.later == 0 && !s.played:
			assert.Equal(t, 1, n, s.name)
		default:
			assert.LessOrEqual(t, n, 1, s.name) // it may be told by now
		}
		delete(found, s.name)
	}
	delete(found, "")
	assert.Empty(t, found)
	again := check(t, cluster.Kubeconfig, "-A")
	ids := func(r finding.Report) map[string]string {
		all := map[string]string{}
		for _, f := range r.Findings {
			all[f.ID] = f.Title
		}
		return all
	}
	assert.Equal(t, ids(r), ids(again), "the same findings have the same ids")
	for _, args := range [][]string{{"check", "-A"}, {"check", "-n", "crash-exit"}, {"check", "-n", "pending-claim", "-o", "wide"}} {
		text, _, _ := tapio(t, cluster.Kubeconfig, 0, append(args, "--kubeconfig", cluster.Kubeconfig)...)
		t.Logf("tapio %s\n%s", strings.Join(args, " "), text)
	}
}

// everywhere: what is in no namespace, or is one, is told too, and what follows from it with it.
func everywhere(t *testing.T) {
	ctx := t.Context()
	before := check(t, cluster.Kubeconfig, "-A")
	known := map[string]bool{}
	for _, f := range before.Findings {
		known[f.ID] = true
	}
	cluster.apply(ctx, t, "everywhere")
	require.NoError(t, cluster.API.Resource(namespaces).Delete(ctx, "everywhere", metav1.DeleteOptions{}))
	var last finding.Report
	told := map[string]finding.Finding{}
	for end := time.Now().Add(settled); !strings.Contains(told["api-unavailable"].Explanation, "Namespace") && time.Now().Before(end); time.Sleep(time.Second) {
		last = checkLater(t, 2*time.Minute, "")
		clear(told)
		for _, f := range last.Findings {
			if f.Entity.Namespace == "" && !known[f.ID] {
				told[f.Pattern] = f
			}
		}
	}
	assert.Len(t, told, 2, "the namespace cannot go because the API cannot be asked: that is the cause")
	api := told["api-unavailable"]
	assert.Contains(t, api.Title, "API metrics.k8s.io/v1beta1 is not served: service kube-system/metrics-server does not answer")
	assert.Contains(t, api.Explanation, "Autoscaler api does not scale deployment/api")
	assert.Contains(t, api.Explanation, "Namespace everywhere was deleted and does not go")
	assert.Contains(t, told["certificate-request-waits"].Title, "admin waits for a certificate: nobody approves request n3-serving")
	assert.Len(t, checkLater(t, 2*time.Minute, "crash-exit").Findings, 1, "neither has an effect there")
	// Without the API that is away, the namespace says by itself what holds it.
	require.NoError(t, cluster.API.Resource(resources["APIService"].GroupVersionResource).Delete(ctx, "v1beta1.metrics.k8s.io", metav1.DeleteOptions{}))
	var held []finding.Finding
	for end := time.Now().Add(settled); len(held) == 0 && time.Now().Before(end); time.Sleep(time.Second) {
		held = slices.DeleteFunc(checkLater(t, 2*time.Minute, "everywhere").Findings, func(f finding.Finding) bool { return !strings.Contains(f.Title, "example.com/keep") })
	}
	require.Len(t, held, 1)
	assert.Contains(t, held[0].Title, "Namespace everywhere was deleted and does not go: example.com/keep in 1 resource instances")
	release := []byte(`{"metadata":{"finalizers":null}}`)
	_, err := cluster.API.Resource(resources["ConfigMap"].GroupVersionResource).Namespace("everywhere").Patch(ctx, "kept", types.MergePatchType, release, metav1.PatchOptions{})
	require.NoError(t, err)
}

// gateways: the Gateway API is looked at where it is installed.
func gateways(t *testing.T) {
	cluster.apply(t.Context(), t, "gateway")
	told := map[string]finding.Finding{}
	for _, f := range checkLater(t, 2*time.Minute, "gateway").Findings {
		if f.Pattern == "gateway-broken" {
			told[f.Entity.Kind+" "+f.Entity.Name] = f
		}
	}
	assert.Len(t, told, 2, "the gateway waits for its class")
	assert.Contains(t, told["GatewayClass nginx"].Explanation, "controller example.com/gateway does not run")
	assert.Contains(t, told["GatewayClass nginx"].Explanation, "Because of this: Gateway web is taken up by no controller")
	assert.Contains(t, told["HTTPRoute web"].Title, "sends to service nowhere, which does not exist")
}

// guest may do little: what may not be looked at is said, and the rest is looked at.
func guest(t *testing.T) {
	_, stderr, status := tapio(t, cluster.GuestKubeconfig, 0, "check", "--kubeconfig", cluster.GuestKubeconfig)
	assert.Equal(t, cli.ExitFailed, status)
	assert.Contains(t, stderr, "lets you list nothing")

	rbac := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: resource}
	}
	role := unstructured.Unstructured{Object: map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": map[string]any{"name": "look"},
		"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"list"}}}}}
	_, err := cluster.API.Resource(rbac("roles")).Namespace("crash-exit").Create(t.Context(), &role, metav1.CreateOptions{})
	require.NoError(t, err)
	binding := unstructured.Unstructured{Object: map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": map[string]any{"name": "look"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "look"},
		"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": Guest}}}}
	_, err = cluster.API.Resource(rbac("rolebindings")).Namespace("crash-exit").Create(t.Context(), &binding, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, _, status := tapio(t, cluster.GuestKubeconfig, 0, "check", "--kubeconfig", cluster.GuestKubeconfig, "-n", "crash-exit")
		return status == cli.ExitFindings
	}, time.Minute, 100*time.Millisecond)
	r := check(t, cluster.GuestKubeconfig, "-n", "crash-exit")
	require.Len(t, r.Findings, 1)
	assert.Equal(t, "Deployment", r.Findings[0].Entity.Owner.Kind, "the owner is known without the ReplicaSets")
	story, stderr, status := tapio(t, cluster.GuestKubeconfig, 0, "why", r.Findings[0].ID, "--kubeconfig", cluster.GuestKubeconfig, "-n", "crash-exit")
	assert.Equal(t, cli.ExitOK, status, stderr)
	assert.Contains(t, story, r.Findings[0].Title)
	var reasons []string
	for _, c := range r.Coverage {
		reasons = append(reasons, string(c.Layer)+" "+string(c.State)+" "+c.Reason)
	}
	said := strings.Join(reasons, "\n")
	assert.Contains(t, said, "kubernetes degraded you may not list events, replicasets, deployments, ")
	assert.Contains(t, said, "kubernetes degraded you may not list nodes, ")
}

// pressed: the pods that a node evicts because it is short of something are its effect.
func pressed(t *testing.T) {
	status := fmt.Sprintf(`{"status":{"conditions":[{"type":"MemoryPressure","status":"True","reason":"KubeletHasInsufficientMemory","message":"kubelet has insufficient memory available","lastTransitionTime":%q}]}}`,
		time.Now().Add(-3*time.Minute).UTC().Format(time.RFC3339))
	patch := func(status string) {
		_, err := cluster.API.Resource(resources["Node"].GroupVersionResource).Patch(t.Context(), "n1", types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status")
		require.NoError(t, err)
	}
	patch(status)
	defer patch(strings.Replace(status, "True", "False", 1))
	r := check(t, cluster.Kubeconfig, "-n", "evicted")
	require.Len(t, r.Findings, 1)
	assert.Equal(t, "node-pressure", r.Findings[0].Pattern)
	assert.Contains(t, r.Findings[0].Title, "Node n1 is short of memory")
	assert.Contains(t, r.Findings[0].Explanation, "Because of this: worker was evicted: its node was low on memory.")
	// What went beyond a limit of its own is not the node's fault.
	assert.Len(t, check(t, cluster.Kubeconfig, "-n", "evicted-dir").Findings, 2)
}

// away has the nodes not be heard of, until back is called.
func (c *Cluster) away(t *testing.T) (back func()) {
	nodes := c.API.Resource(resources["Node"].GroupVersionResource)
	patch := func(status string) {
		for _, n := range []string{"n1", "n2"} {
			_, err := nodes.Patch(context.WithoutCancel(t.Context()), n, types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status")
			require.NoError(t, err)
		}
	}
	patch(fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown","message":"Kubelet stopped posting node status.",
		"lastTransitionTime":%q,"lastHeartbeatTime":%q}]}}`, time.Now().Add(-3*time.Minute).UTC().Format(time.RFC3339), time.Now().Add(-4*time.Minute).UTC().Format(time.RFC3339)))
	return func() { patch(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`) }
}

// silent: a node that went away is one finding, not one for each of its pods.
func silent(t *testing.T) {
	defer cluster.away(t)()
	r := check(t, cluster.Kubeconfig, "-n", "probe-ready")
	require.Len(t, r.Findings, 1, "the node that its pod is on, and nothing of what is on it")
	assert.Equal(t, "node-not-ready", r.Findings[0].Pattern)
	assert.Contains(t, r.Findings[0].Title, "is not heard of")
	r = check(t, cluster.Kubeconfig, "-n", "quota")
	require.Len(t, r.Findings, 1, "no pod of the namespace is on the nodes")
	assert.Equal(t, "pods-refused", r.Findings[0].Pattern)
	r = check(t, cluster.Kubeconfig, "-n", "quota", "node/n1")
	require.Len(t, r.Findings, 1, "asked for by name")
	assert.Equal(t, "node-not-ready", r.Findings[0].Pattern)
}
