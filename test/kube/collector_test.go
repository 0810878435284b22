//go:build linux

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/harness"
)

// watcher is a real tapio-collector of the cluster.
type watcher struct {
	*harness.Collector
	// otlp is where it takes in what nodes have found.
	otlp string
}

// newCollector prepares one that has the rights of the service account in deploy.
func newWatcher(t testing.TB, kubeconfig string) watcher {
	t.Helper()
	const bin = "../../bin"
	if _, err := os.Stat(bin + "/tapio-collector"); err != nil {
		t.Skip("there is no bin/tapio-collector: make build")
	}
	ports, err := freePorts(2)
	require.NoError(t, err)
	c, err := harness.NewCollectorOf("tapio:cluster", bin, t.TempDir(), []string{"KUBECONFIG=" + kubeconfig, "TAPIO_KUBE_AUTH=kubeConfig",
		"TAPIO_OTLP_ENDPOINT=127.0.0.1:" + ports[0], "TAPIO_HEALTH_ENDPOINT=127.0.0.1:" + ports[1]},
		// Faster than the defaults, so that an outage can be short.
		"--config", "yaml:extensions::k8s_leader_elector: {lease_duration: 5s, renew_deadline: 3s, retry_period: 500ms}")
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, c.Stop())
		if t.Failed() {
			log, _ := os.ReadFile(c.LogFile)
			t.Logf("the collector:\n%s", tail(string(log), 40))
		}
	})
	return watcher{c, "127.0.0.1:" + ports[0]}
}

func (c watcher) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, c.Start(ctx))
}

func (c watcher) report(t require.TestingT) finding.Report { return c.ask(t, nil) }

// ask is what it tells of what is asked for.
func (c watcher) ask(t require.TestingT, query url.Values) finding.Report {
	resp, err := http.Get("http://" + c.Findings + "/v1/findings?" + query.Encode())
	require.NoError(t, err)
	defer resp.Body.Close()
	var r finding.Report
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&r))
	return r
}

// told are what findings are about, and of what kind, without what differs from one look to the next.
func told(r finding.Report) []string {
	var all []string
	for _, f := range r.Findings {
		if f.State == finding.Active {
			all = append(all, fmt.Sprintf("%s %s %s %s", f.Entity.Namespace, f.Entity.Kind, f.Entity.Display(), f.Pattern))
		}
	}
	slices.Sort(all)
	return all
}

func kubernetes(r finding.Report) finding.Coverage {
	for _, c := range r.Coverage {
		if c.Layer == finding.LayerKubernetes {
			return c
		}
	}
	return finding.Coverage{}
}

// The collector of the cluster, with the rights that the manifests give it: it starts while the API server is away, tells what the
// command tells, goes on through an outage and a kill, and of two of them one tells.
func TestCollector(t *testing.T) {
	dir, err := os.MkdirTemp("", "tapio-kube-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := os.Getenv("TAPIO_KUBE_BINARY")
	if binary == "" {
		out, err := exec.Command("./build.sh", "-n").Output()
		require.NoError(t, err)
		binary = strings.TrimSpace(string(out))
	}
	own, err := Start(t.Context(), binary, dir)
	t.Cleanup(func() { assert.NoError(t, own.Stop()) })
	require.NoError(t, err)
	own.deploy(t, "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
	account := own.as(t, "tapio", "tapio-cluster")
	for _, o := range read(t, "nodes.yaml") {
		own.create(t.Context(), t, "", o)
	}
	scenarios := []string{"crash-exit", "probe-ready", "image-tag", "selector", "pending-claim", "config-key", "healthy"}
	for _, s := range scenarios {
		own.apply(t.Context(), t, s)
	}

	require.NoError(t, own.Kill("kube-apiserver"))
	c := newWatcher(t, account)
	c.start(t)
	assert.EventuallyWithT(t, func(t *assert.CollectT) {
		state := kubernetes(c.report(t))
		assert.NotEqual(t, finding.CoverageOK, state.State)
		assert.NotEmpty(t, state.Reason)
	}, 20*time.Second, 200*time.Millisecond)

	require.NoError(t, own.Resume(t.Context(), "kube-apiserver"))
	same := func(t *testing.T) finding.Report {
		t.Helper()
		var r finding.Report
		assert.EventuallyWithT(t, func(ct *assert.CollectT) {
			r = c.report(ct)
			want := told(check(t, own.Kubeconfig, "-A"))
			assert.Len(ct, want, len(scenarios)-1, "all but healthy")
			assert.Equal(ct, want, told(r))
			assert.Equal(ct, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageOK}, kubernetes(r))
		}, settled, time.Second)
		return r
	}
	before := same(t)
	if t.Failed() {
		return
	}
	assert.Equal(t, check(t, own.Kubeconfig, "-A").Ready, before.Ready)

	t.Run("asked for by name", func(t *testing.T) {
		// A replica that another one stands for is as ill as that one.
		replicas, err := own.API.Resource(pods).Namespace("crash-exit").List(t.Context(), metav1.ListOptions{LabelSelector: "app=api"})
		require.NoError(t, err)
		require.Len(t, replicas.Items, 3)
		names := []string{"api", "deploy/api", "deployments.apps/api"}
		for _, p := range replicas.Items {
			names = append(names, p.GetName(), "pod/"+p.GetName(), p.GetName()+"/api", string(p.GetUID()))
		}
		want := []string{"crash-exit Container api crash-loop"}
		for _, name := range names {
			assert.Equal(t, want, told(check(t, own.Kubeconfig, "-n", "crash-exit", name)), name)
			assert.Equal(t, want, told(c.ask(t, url.Values{"namespace": {"crash-exit"}, "entity": {name}})), name)
		}
	})
	t.Run("asked for by namespace", func(t *testing.T) {
		// The pods that are not ready are effects of their nodes then, which are in no namespace.
		defer own.away(t)()
		assert.EventuallyWithT(t, func(ct *assert.CollectT) {
			for _, s := range scenarios {
				want := told(check(t, own.Kubeconfig, "-n", s))
				assert.Equal(ct, want, told(c.ask(ct, url.Values{"namespace": {s}})), s)
				assert.NotEmpty(ct, want, s)
			}
			assert.Contains(ct, strings.Join(told(c.ask(ct, url.Values{"namespace": {"probe-ready"}})), "\n"), "node-not-ready")
			assert.Empty(ct, told(c.ask(ct, url.Values{"namespace": {"default"}})))
		}, settled, time.Second)
	})
	before = same(t) // the nodes are back
	t.Run("after a kill", func(t *testing.T) {
		require.NoError(t, c.Kill())
		c.start(t)
		after := same(t)
		// Events are listed anew, and count no more than before; the findings are the same ones.
		for _, f := range before.Findings {
			i := slices.IndexFunc(after.Findings, func(g finding.Finding) bool { return g.ID == f.ID })
			if assert.GreaterOrEqual(t, i, 0, f.Title) {
				assert.Equal(t, counted(f), counted(after.Findings[i]), f.Title)
				assert.WithinDuration(t, f.FirstSeen, after.Findings[i].FirstSeen, time.Second, f.Title)
			}
		}
	})
	t.Run("an outage", func(t *testing.T) {
		require.NoError(t, own.Kill("kube-apiserver"))
		assert.EventuallyWithT(t, func(ct *assert.CollectT) {
			r := c.report(ct)
			assert.Equal(ct, told(before), told(r), "what was known is known")
			assert.NotEqual(ct, finding.CoverageOK, kubernetes(r).State)
		}, 20*time.Second, 200*time.Millisecond)
		require.NoError(t, own.Resume(t.Context(), "kube-apiserver"))
		// What happens afterwards is seen again: one thing is mended, another breaks.
		services := own.API.Resource(resources["Service"].GroupVersionResource).Namespace("selector")
		require.NoError(t, services.Delete(t.Context(), "api", metav1.DeleteOptions{}))
		for _, o := range read(t, "selector.yaml") {
			if o.GetKind() == "Service" {
				o.SetName("late")
				own.create(t.Context(), t, "selector", o)
			}
		}
		r := same(t)
		assert.NotContains(t, told(r), "selector Service api service-without-endpoints")
		assert.Contains(t, told(r), "selector Service late service-without-endpoints")
	})
	t.Run("two of them", func(t *testing.T) {
		second := newWatcher(t, account)
		second.start(t)
		assert.EventuallyWithT(t, func(ct *assert.CollectT) {
			r := second.report(ct)
			assert.Equal(ct, finding.CoverageAbsent, kubernetes(r).State)
			assert.Contains(ct, kubernetes(r).Reason, "this replica is not the leader")
			assert.Empty(ct, told(r))
		}, 20*time.Second, 200*time.Millisecond)
		want := told(same(t))
		require.NoError(t, c.Stop())
		assert.EventuallyWithT(t, func(ct *assert.CollectT) { assert.Equal(ct, want, told(second.report(ct))) }, settled, time.Second)
	})
}

// counted are the values of a finding's evidence that count something.
func counted(f finding.Finding) []string {
	var all []string
	for _, e := range f.Evidence {
		if e.Value != nil && e.Unit != "s" {
			all = append(all, fmt.Sprintf("%s %g %s", e.Signal, *e.Value, e.Unit))
		}
	}
	slices.Sort(all)
	return all
}
