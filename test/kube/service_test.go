package kube

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/your-org/tapio/exporter/findingsexporter"
	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/clitest"
	"github.com/your-org/tapio/internal/cli/root"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// address is one of this machine's own that is not loopback: the API server passes nothing on to loopback.
func address(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// serve makes a service of a name, and behind it a pod that runs at an address: the API server passes on to nothing else.
func serve(t *testing.T, namespace, name, host string, port int64, labels map[string]any) {
	t.Helper()
	cluster.pod(t.Context(), t, namespace, name, "")
	at := fmt.Sprintf(`{"status":{"podIP":%q,"podIPs":[{"ip":%q}]}}`, host, host)
	_, err := cluster.API.Resource(pods).Namespace(namespace).Patch(t.Context(), name, types.MergePatchType, []byte(at), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	s := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "labels": labels},
		"spec": map[string]any{"selector": map[string]any{"app": name}, "ports": []any{map[string]any{"name": "findings", "port": int64(4320), "targetPort": port}}}}}
	_, err = cluster.API.Resource(resources["Service"].GroupVersionResource).Namespace(namespace).Create(t.Context(), s, metav1.CreateOptions{})
	require.NoError(t, err)
}

// collector serves findings as one does, at an address of this machine. It returns the port.
func collector(t *testing.T, host string, fs ...finding.Finding) (port int64, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	require.NoError(t, err)
	at := l.Addr().String()
	require.NoError(t, l.Close())
	factory := findingsexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*findingsexporter.Config)
	cfg.NetAddr.Endpoint = at
	e, err := factory.CreateLogs(t.Context(), exportertest.NewNopSettings(factory.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	w := findinglog.New()
	for _, f := range fs {
		w.Append(f)
	}
	w.AppendStatus(findingtest.Status())
	require.NoError(t, e.ConsumeLogs(t.Context(), w.Logs()))
	_, text, err := net.SplitHostPort(at)
	require.NoError(t, err)
	port, err = strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return port, func() { require.NoError(t, e.Shutdown(t.Context())) }
}

// watching is a watch of the cluster's collector, or of the cluster.
type watching struct {
	out, errOut clitest.Screen
	cancel      context.CancelFunc
	ended       chan int
}

func watch(t *testing.T, args ...string) *watching {
	t.Helper()
	w := &watching{ended: make(chan int, 1)}
	env := cli.Env{In: strings.NewReader(""), Out: &w.out, ErrOut: &w.errOut, Now: time.Now, Getenv: func(string) string { return "" }}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(t.Context())
	go func() {
		w.ended <- root.Run(ctx, env, append([]string{"tapio", "check", "--watch", "--kubeconfig", cluster.Kubeconfig, "--request-timeout", "30s"}, args...))
	}()
	return w
}

func (w *watching) sees(t *testing.T, what string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(w.out.String(), what) }, settled, 50*time.Millisecond, "%s is not told, but:\n%s\n%s", what, &w.out, &w.errOut)
}

func (w *watching) end(t *testing.T) {
	t.Helper()
	w.cancel()
	assert.Equal(t, cli.ExitOK, <-w.ended, w.errOut.String())
}

// A collector in the cluster is asked through the API server, with the user's own rights; one that does not answer is said to, and
// the API server is asked alone.
func TestCollectorOfTheCluster(t *testing.T) {
	host := address(t)
	node := unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "elsewhere"}, // or its pods are no endpoints
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}}}
	cluster.create(t.Context(), t, "", node)
	defer func() {
		require.NoError(t, cluster.API.Resource(resources["Node"].GroupVersionResource).Delete(t.Context(), "elsewhere", metav1.DeleteOptions{}))
	}()
	cluster.space(t.Context(), t, "watched")
	cluster.pod(t.Context(), t, "watched", "ill", "CrashLoopBackOff")
	cluster.space(t.Context(), t, "monitoring")
	f := findingtest.Diagnosis()
	f.FirstSeen, f.LastSeen, f.Title = time.Now().Add(-time.Minute), time.Now(), "told by a collector"
	port, stop := collector(t, host, f)
	// Under another name, by its label.
	serve(t, "monitoring", "agent", host, port, map[string]any{"app.kubernetes.io/name": "tapio"})
	env := []string{"--kubeconfig", cluster.Kubeconfig, "-A", "-o", "json", "--request-timeout", "30s"}
	var r finding.Report
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		r = check(t, cluster.Kubeconfig, "-A")
		assert.Equal(c, finding.SourceCollector, r.Source, "%v", r.Coverage)
	}, 30*time.Second, 200*time.Millisecond)
	require.Len(t, r.Findings, 1)
	assert.Equal(t, "told by a collector", r.Findings[0].Title)
	story, _, status := tapio(t, cluster.Kubeconfig, 0, "why", f.ID, "--kubeconfig", cluster.Kubeconfig)
	assert.Equal(t, cli.ExitOK, status)
	assert.Contains(t, story, "told by a collector")
	assert.Equal(t, finding.SourceAPIServer, check(t, cluster.Kubeconfig, "-A", "-l", "app=ill").Source, "a collector knows no labels")

	stop()
	text, stderr, _ := tapio(t, cluster.Kubeconfig, 0, append([]string{"check"}, env...)...)
	assert.Empty(t, stderr)
	assert.Contains(t, text, `"source": "api-server"`)
	assert.Contains(t, text, "the collector monitoring/agent of cluster test")
	assert.Contains(t, text, "; the API server was asked in its place")
	text, _, _ = tapio(t, cluster.Kubeconfig, 0, "check", "--kubeconfig", cluster.Kubeconfig, "-n", "watched")
	assert.Contains(t, text, "  - ill/app: 2 restarts, crashes again and again")
	assert.Contains(t, text, "NOT SEEN: collector: the collector monitoring/agent of cluster test")
	watched := watch(t, "-A")
	watched.sees(t, "NOT SEEN: collector: the collector monitoring/agent of cluster test")
	watched.end(t)

	// One that is watched and goes away is not heard any more, and no other is asked in its place.
	port, stop = collector(t, host, f)
	patch := fmt.Sprintf(`{"spec":{"ports":[{"name":"findings","port":4320,"targetPort":%d}]}}`, port)
	_, err := cluster.API.Resource(resources["Service"].GroupVersionResource).Namespace("monitoring").Patch(t.Context(), "agent", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, finding.SourceCollector, check(t, cluster.Kubeconfig, "-A").Source)
	}, 30*time.Second, 200*time.Millisecond)
	watched = watch(t, "-A")
	watched.sees(t, "told by a collector")
	stop()
	watched.sees(t, "NOT SEEN: collector: not heard since ")
	watched.end(t)

	// By its name, it goes first.
	f.Title = "told by another"
	port, stop = collector(t, host, f)
	defer stop()
	cluster.space(t.Context(), t, "tapio")
	serve(t, "tapio", "tapio", host, port, nil)
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		r = check(t, cluster.Kubeconfig, "-A")
		require.NotEmpty(c, r.Findings)
		assert.Equal(c, "told by another", r.Findings[0].Title)
	}, 30*time.Second, 200*time.Millisecond)
	for _, s := range [][2]string{{"monitoring", "agent"}, {"tapio", "tapio"}} { // other tests want the API server
		require.NoError(t, cluster.API.Resource(resources["Service"].GroupVersionResource).Namespace(s[0]).Delete(t.Context(), s[1], metav1.DeleteOptions{}))
	}
}
