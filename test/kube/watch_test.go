package kube

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/clitest"
	"github.com/your-org/tapio/internal/cli/root"
)

// Whoever watches a cluster is told what changes: by the objects, by time alone, and after the API server was away.
func TestWatch(t *testing.T) {
	cluster.space(t.Context(), t, "watch")
	cluster.pod(t.Context(), t, "watch", "first", "")
	var later atomic.Int64
	var out, errOut clitest.Screen
	env := cli.Env{In: strings.NewReader(""), Out: &out, ErrOut: &errOut, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
		Getenv: func(string) string { return "" }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- root.Run(ctx, env, []string{"tapio", "check", "--watch", "--kubeconfig", cluster.Kubeconfig, "-n", "watch", "--request-timeout", "60s"})
	}()
	defer func() {
		cancel()
		assert.Equal(t, 0, <-ended, errOut.String())
		assert.Empty(t, errOut.String())
	}()
	sees := func(what string) {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Contains(out.String(), what) }, settled, 50*time.Millisecond, "%s is not told, but:\n%s\n%s", what, &out, &errOut)
	}
	cluster.pod(t.Context(), t, "watch", "ill", "CrashLoopBackOff")
	sees("CRITICAL: ill/app: 2 restarts, crashes again and again with exit code 1")
	cluster.report(t.Context(), t, "watch", "ill", "")
	sees("RESOLVED: ill/app: crashes again and again")
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), "nothing is told twice:\n%s", &out)

	// No object changes, but time goes by.
	service := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "lonely"},
		"spec": map[string]any{"selector": map[string]any{"app": "nobody"}, "ports": []any{map[string]any{"port": int64(80)}}}}}
	services := cluster.API.Resource(resources["Service"].GroupVersionResource).Namespace("watch")
	_, err := services.Create(t.Context(), service, metav1.CreateOptions{})
	require.NoError(t, err)
	time.Sleep(3 * time.Second)
	assert.NotContains(t, out.String(), "lonely", "it is given its time")
	later.Store(int64(time.Minute))
	sees(" service lonely: selects no pod")
	require.NoError(t, services.Delete(t.Context(), "lonely", metav1.DeleteOptions{}))
	sees("RESOLVED: service lonely")

	// The API server goes away and comes back, which is told, and no longer knows the past that was watched.
	require.NoError(t, cluster.Kill("kube-apiserver"))
	sees("NOT SEEN: kubernetes: cannot ")
	require.NoError(t, cluster.Resume(t.Context(), "kube-apiserver"))
	sees("SEEN AGAIN: kubernetes\n")
	cluster.pod(t.Context(), t, "watch", "late", "CrashLoopBackOff")
	sees("CRITICAL: late/app: 2 restarts")
	require.NoError(t, cluster.API.Resource(pods).Namespace("watch").Delete(t.Context(), "late", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	sees("RESOLVED: late/app")
}

// On a terminal it is a page that is drawn anew, and counts as the watch does.
func TestWatchPage(t *testing.T) {
	cluster.space(t.Context(), t, "page")
	cluster.pod(t.Context(), t, "page", "first", "")
	var out, errOut clitest.Screen
	env := cli.Env{In: strings.NewReader(""), Out: &out, ErrOut: &errOut, Terminal: true, Width: 100, Now: time.Now, Getenv: func(string) string { return "" }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- root.Run(ctx, env, []string{"tapio", "check", "--watch", "--kubeconfig", cluster.Kubeconfig, "-n", "page", "--request-timeout", "60s"})
	}()
	shows := func(what ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			pages := strings.Split(out.String(), "\x1b[H\x1b[2J")
			for _, w := range what {
				if len(pages) < 3 || !strings.Contains(pages[len(pages)-2], w) { // the last one may be half drawn
					return false
				}
			}
			return true
		}, settled, 50*time.Millisecond, "%v is not shown, but:\n%s\n%s", what, &out, &errOut)
	}
	shows("HEALTHY: 1 pod running normally\n")
	cluster.pod(t.Context(), t, "page", "ill", "CrashLoopBackOff")
	shows("HEALTHY: 1 pod running normally\n", "  - ill/app: 2 restarts, crashes again and again with exit code 1 (first seen ")
	cluster.report(t.Context(), t, "page", "ill", "")
	shows("HEALTHY: 2 pods running normally\n")
	cancel()
	assert.Equal(t, 0, <-ended, errOut.String())
}
