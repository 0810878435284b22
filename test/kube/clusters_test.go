package kube

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
)

// space makes a namespace, once that of an earlier test is gone.
func (c *Cluster) space(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	o := unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		_, err := c.API.Resource(namespaces).Create(ctx, &o, metav1.CreateOptions{})
		require.NoError(collect, err)
	}, settled, 200*time.Millisecond)
}

// pod makes a pod on a node that nobody watches, and reports as its kubelet that it runs or, with a reason, that it waits.
func (c *Cluster) pod(ctx context.Context, t *testing.T, namespace, name, reason string) {
	t.Helper()
	p := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "labels": map[string]any{"app": name}},
		"spec": map[string]any{"nodeName": "elsewhere", "containers": []any{map[string]any{"name": "app", "image": "registry.example/app:1"}}}}}
	_, err := c.API.Resource(pods).Namespace(namespace).Create(ctx, p, metav1.CreateOptions{})
	require.NoError(t, err)
	c.report(ctx, t, namespace, name, reason)
}

// report reports the status of a pod anew.
func (c *Cluster) report(ctx context.Context, t *testing.T, namespace, name, reason string) {
	t.Helper()
	api := c.API.Resource(pods).Namespace(namespace)
	at := time.Now().UTC().Format(time.RFC3339)
	state, ready := map[string]any{"running": map[string]any{"startedAt": at}}, "True"
	if reason != "" {
		state, ready = map[string]any{"waiting": map[string]any{"reason": reason}}, "False"
	}
	last := map[string]any{"terminated": map[string]any{"exitCode": int64(1), "reason": "Error", "startedAt": at, "finishedAt": at}}
	for {
		p, err := api.Get(ctx, name, metav1.GetOptions{})
		require.NoError(t, err)
		p.Object["status"] = map[string]any{"phase": "Running", "conditions": []any{
			map[string]any{"type": "PodScheduled", "status": "True", "lastTransitionTime": at}, map[string]any{"type": "Ready", "status": ready, "lastTransitionTime": at}},
			"containerStatuses": []any{map[string]any{"name": "app", "ready": reason == "", "restartCount": int64(2), "image": "x", "imageID": "x", "state": state, "lastState": last}}}
		if _, err = api.UpdateStatus(ctx, p, metav1.UpdateOptions{}); err == nil {
			return
		}
		require.ErrorContains(t, err, "the object has been modified")
	}
}

// contexts writes a kubeconfig with two names of the cluster, and that of one which does not answer.
func contexts(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: east
clusters: [{name: here, cluster: {server: %q, certificate-authority: %q}}, {name: away, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: admin, user: {token: %q}}]
contexts:
- {name: east, context: {cluster: here, user: admin, namespace: two}}
- {name: west, context: {cluster: here, user: admin}}
- {name: away, context: {cluster: away, user: admin}}
`, cluster.address, filepath.Join(cluster.dir, "pki", "apiserver.crt"), adminToken)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// Several clusters are one report, that says of each finding where it is.
func TestSeveralClusters(t *testing.T) {
	cluster.space(t.Context(), t, "two")
	cluster.pod(t.Context(), t, "two", "ill", "CrashLoopBackOff")
	cluster.pod(t.Context(), t, "two", "well", "")
	config := contexts(t)
	r := check(t, config, "--context", "east", "--context", "west", "-n", "two")
	require.Len(t, r.Findings, 2)
	of := map[string]finding.Finding{}
	for _, f := range r.Findings {
		of[f.Entity.Cluster] = f
	}
	require.Len(t, of, 2)
	assert.NotEqual(t, of["east"].ID, of["west"].ID)
	assert.Equal(t, finding.Summary{Healthy: 2, Critical: 2}, r.Summary)

	text, _, status := tapio(t, config, 0, "check", "--context", "east", "--context", "west", "-n", "two")
	assert.Equal(t, cli.ExitFindings, status)
	assert.Contains(t, text, "CRITICAL: 2 containers need help now\n")
	assert.Regexp(t, `\nCause and fix: tapio why ill/app --context (east|west) -n two\n`, text)
	assert.Contains(t, text, "  - [east] ill/app: 2 restarts, crashes again and again with exit code 1")
	assert.Contains(t, text, "  - [west] ill/app: 2 restarts, ")
	story, _, status := tapio(t, config, 0, "why", of["west"].ID, "--context", "east", "--context", "west")
	assert.Equal(t, cli.ExitOK, status)
	assert.Contains(t, story, "cluster west, ")

	// The namespace of the context is meant where none is named; in the other context that is all of them.
	assert.Len(t, check(t, config, "--context", "east").Findings, 1)
	assert.Equal(t, "east", check(t, config, "--context", "east").Findings[0].Entity.Cluster)

	// One that does not answer is named, and makes the check fail where nothing else does.
	text, _, status = tapio(t, config, 0, "check", "--context", "east", "--context", "away")
	assert.Equal(t, cli.ExitFindings, status)
	assert.Contains(t, text, "NOT SEEN: [away] kubernetes: cannot reach cluster away (127.0.0.1:1): ")
	_, stderr, status := tapio(t, config, 0, "check", "--context", "east", "--context", "away", "--exclude", "crash-loop")
	assert.Equal(t, cli.ExitFailed, status)
	assert.Contains(t, stderr, "not all clusters could be looked at: cannot reach cluster away")
}

// What is well and what is not there are told apart, and what is left out is left out.
func TestOneThing(t *testing.T) {
	cluster.space(t.Context(), t, "one")
	cluster.pod(t.Context(), t, "one", "ill", "CrashLoopBackOff")
	cluster.pod(t.Context(), t, "one", "well", "")
	config := cluster.Kubeconfig
	for _, name := range []string{"well", "pod/well", "po/well", "pods/well"} {
		text, stderr, status := tapio(t, config, 0, "check", name, "--kubeconfig", config, "-n", "one")
		assert.Equal(t, cli.ExitOK, status, stderr)
		assert.Equal(t, "HEALTHY: nothing is known to be wrong with "+name+" in namespace one\n", text)
	}
	_, stderr, status := tapio(t, config, 0, "check", "deploy/well", "--kubeconfig", config, "-n", "one")
	assert.Equal(t, cli.ExitFailed, status)
	assert.Contains(t, stderr, `not found: cluster test (`)
	assert.Contains(t, stderr, `) has no "deploy/well" in namespace one`)
	_, stderr, _ = tapio(t, config, 0, "why", "wel", "--kubeconfig", config, "-n", "one")
	assert.Contains(t, stderr, `has no "wel" in namespace one`)
	_, stderr, _ = tapio(t, config, 0, "why", "well", "--kubeconfig", config, "-n", "one")
	assert.Contains(t, stderr, `there is no finding about "well"`)
	story, _, status := tapio(t, config, 0, "why", "ill", "--kubeconfig", config, "-n", "one", "-l", "app=ill")
	assert.Equal(t, cli.ExitOK, status)
	assert.Contains(t, story, "CRITICAL: ill/app crashes again and again")

	assert.Empty(t, check(t, config, "-n", "one", "--exclude", "crash-loop").Findings)
	assert.Equal(t, finding.Summary{Healthy: 2}, check(t, config, "-n", "one", "--exclude", "crash-loop").Summary)
	_, stderr, status = tapio(t, config, 0, "check", "--kubeconfig", config, "--exclude", "crash-lop")
	assert.Equal(t, cli.ExitFailed, status)
	assert.Contains(t, stderr, `--exclude is "crash-lop": there is no such pattern`)
	assert.Len(t, check(t, config, "-n", "one", "--since", "1h").Findings, 1)
	text, _, _ := tapio(t, config, 2*time.Hour, "check", "--kubeconfig", config, "-n", "one", "--since", "30m")
	assert.Equal(t, "HEALTHY: 1 pod running normally\n", text, "what began before is not told, but not well either")
	text, _, _ = tapio(t, config, 2*time.Hour, "check", "ill", "--kubeconfig", config, "-n", "one", "--since", "30m")
	assert.Regexp(t, "^QUIET: nothing that began since .* is known to be wrong with ill in namespace one\n$", text)

	text, _, status = tapio(t, config, 0, "check", "--kubeconfig", config, "-n", "one", "-o", "junit")
	assert.Equal(t, cli.ExitFindings, status)
	var suites struct {
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name string `xml:"name,attr"`
		} `xml:"testsuite>testcase"`
	}
	require.NoError(t, xml.NewDecoder(strings.NewReader(text)).Decode(&suites))
	assert.Equal(t, 1, suites.Failures)
	assert.Len(t, suites.Cases, 2)
}
