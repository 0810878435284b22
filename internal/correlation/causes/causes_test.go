package causes

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

func made(pattern, kind, name, owner string) finding.Finding {
	f := finding.Finding{ID: pattern + " " + name, Pattern: pattern, Severity: finding.Warning, State: finding.Active, Title: name + " " + pattern,
		Entity: finding.Entity{Kind: kind, Namespace: "shop", Name: name}, FirstSeen: time.Unix(1000, 0)}
	if owner != "" {
		f.Entity.Owner = &finding.Owner{Kind: "Deployment", Name: owner}
	}
	return f
}

func fold(t *testing.T, links Links, fs ...finding.Finding) []finding.Finding {
	known, err := pattern.Builtin()
	require.NoError(t, err)
	return Fold(fs, links, known)
}

func TestReplicasAreOne(t *testing.T) {
	var fs []finding.Finding
	for i := range 20 {
		f := made("crash-loop", "Container", fmt.Sprintf("api-%02d", i), "api")
		f.Entity.Container = "api"
		fs = append(fs, f)
	}
	other := made("crash-loop", "Container", "web-1", "web")
	got := fold(t, nil, append(fs, other)...)
	require.Len(t, got, 2)
	assert.Len(t, got[0].Effects, 19)
	assert.Contains(t, got[0].Explanation, "The same holds for 19 more of its pods: api-01; api-02; api-03 and 16 more.")
	assert.Empty(t, got[1].Effects)
	// In whatever order they come.
	assert.Equal(t, got, fold(t, nil, append([]finding.Finding{other}, fs...)...))
}

// Who asks about what is only an effect is told the cause, so that names what it affects: in bounds, each workload before more of the same.
func TestAffected(t *testing.T) {
	ref := func(kind, name string) Ref { return Ref{kind, "shop", name} }
	links := Links{ref("Service", "api"): {ref("Pod", "api-1")}, ref("Pod", "api-1"): {ref("Volume", "data")}}
	claim, pod, service := made("volume-unbound", "Volume", "data", ""), made("pod-unschedulable", "Pod", "api-1", "api"), made("service-without-endpoints", "Service", "api", "")
	pod.Entity.UID, pod.Entity.Node, pod.Entity.Cluster = "u1", "n1", "east"
	got := fold(t, links, claim, pod, service)
	require.Len(t, got, 1)
	assert.ElementsMatch(t, []finding.Entity{{Kind: "Pod", Namespace: "shop", Name: "api-1", UID: "u1", Owner: pod.Entity.Owner}, {Kind: "Service", Namespace: "shop", Name: "api"}}, got[0].Affected)
	assert.Equal(t, 2, got[0].AffectedTotal)

	// Many pods of one workload, and one of another that fails of the same.
	var fs []finding.Finding
	for i := range 2000 {
		f := made("image-pull-failed", "Container", fmt.Sprintf("api-%04d", i), "api")
		f.Entity.Container, f.Shared = "api", "registry"
		fs = append(fs, f)
	}
	last := made("image-pull-failed", "Container", "web-1", "web")
	last.Entity.Container, last.Shared = "web", "registry"
	got = fold(t, nil, append(fs, last)...)
	require.Len(t, got, 1)
	assert.Equal(t, 2000, got[0].AffectedTotal)
	assert.Len(t, got[0].Affected, maxAffected)
	assert.Equal(t, "web-1", got[0].Affected[1].Name)
	require.NoError(t, got[0].Entity.Validate())

	// The same entity is named once; long names count.
	again := made("probe-failing", "Container", "api-0000", "api")
	again.Entity.Container = "api"
	f := fs[0]
	affect(&f, []*finding.Finding{&again})
	assert.Empty(t, f.Affected)
	assert.Zero(t, f.AffectedTotal)
	var long []*finding.Finding
	for i := range 200 {
		l := made("probe-failing", "Pod", fmt.Sprintf("%0253d", i), "")
		long = append(long, &l)
	}
	affect(&f, long)
	assert.Len(t, f.Affected, maxNames/(len("Pod")+len("shop")+253))
	assert.Equal(t, 200, f.AffectedTotal)

	// What is in no namespace names those that it matters to; again, and it is the same.
	node := made("node-not-ready", "Node", "n1", "")
	for range 2 {
		Concern(&node, []string{"blog", "shop"})
		assert.Equal(t, []finding.Entity{{Kind: "Namespace", Name: "blog"}, {Kind: "Namespace", Name: "shop"}}, node.Affected)
		assert.Equal(t, 2, node.AffectedTotal)
	}
	for i := range 1000 {
		Concern(&f, []string{fmt.Sprint(i)})
	}
	assert.LessOrEqual(t, len(f.Affected), maxAffected+maxSpaces)
	assert.Equal(t, 1200, f.AffectedTotal)
}

// What has one cause that is no finding of its own is one, whichever workloads fail of it; what is said of another cause is not.
func TestSharedCause(t *testing.T) {
	var fs []finding.Finding
	for i := range 5 {
		f := made("pods-refused", "Deployment", fmt.Sprintf("app-%d", i), "")
		f.Shared = "shop quota small"
		fs = append(fs, f)
	}
	other := made("pods-refused", "Deployment", "other", "")
	other.Shared = "shop quota large"
	got := fold(t, nil, append(fs, other, made("pods-refused", "Deployment", "third", ""))...)
	require.Len(t, got, 3)
	assert.Len(t, got[0].Effects, 4)
	assert.Contains(t, got[0].Explanation, "The same cause holds for 4 more: shop/app-1; shop/app-2; shop/app-3 and 1 more.")
}

// What has a cause of its own is told, whatever else is wrong with what it depends on; and what explains each other is not lost.
func TestOwnCause(t *testing.T) {
	ref := func(kind, name string) Ref { return Ref{kind, "shop", name} }
	links := Links{ref("Ingress", "web"): {ref("Service", "api")}}
	ingress, service := made("ingress-broken", "Ingress", "web", ""), made("service-without-endpoints", "Service", "api", "")
	assert.Len(t, fold(t, links, ingress, service), 1)
	ingress.OwnCause = true
	assert.Len(t, fold(t, links, ingress, service), 2)

	a, b := made("crash-loop", "Container", "a-1", "a"), made("crash-loop", "Container", "b-1", "b")
	as, bs := made("service-without-endpoints", "Service", "a", ""), made("service-without-endpoints", "Service", "b", "")
	circle := Links{ref("Pod", "a-1"): {ref("Service", "b")}, ref("Service", "b"): {ref("Pod", "b-1")}, ref("Pod", "b-1"): {ref("Service", "a")}, ref("Service", "a"): {ref("Pod", "a-1")}}
	got := fold(t, circle, a, b, as, bs)
	require.Len(t, got, 1, "of a circle one is told")
	assert.Len(t, got[0].Effects, 3)
}

func TestCauseBeforeSymptom(t *testing.T) {
	ref := func(kind, name string) Ref { return Ref{kind, "shop", name} }
	links := Links{ref("Service", "api"): {ref("Pod", "api-1")}, ref("Deployment", "api"): {ref("Pod", "api-1")}, ref("Pod", "api-1"): {ref("Volume", "data")}}
	claim, pod := made("volume-unbound", "Volume", "data", ""), made("pod-unschedulable", "Pod", "api-1", "api")
	stuck, service := made("rollout-stuck", "Deployment", "api", ""), made("service-without-endpoints", "Service", "api", "")
	service.Severity = finding.Critical
	got := fold(t, links, service, stuck, pod, claim)
	require.Len(t, got, 1)
	assert.Equal(t, "volume-unbound", got[0].Pattern)
	assert.Equal(t, finding.Critical, got[0].Severity, "a cause is as bad as what it leads to")
	assert.ElementsMatch(t, []string{pod.ID, stuck.ID, service.ID}, got[0].Effects)
	// Without the links there is no reason to think so.
	assert.Len(t, fold(t, nil, service, stuck, pod, claim), 4)
	// And what explains nothing leaves it alone: a crash is not explained by a claim.
	crash := made("crash-loop", "Container", "api-1", "api")
	assert.Len(t, fold(t, links, crash, claim), 2)
}

// Whom somebody cannot reach is told by name; what is wrong there is the cause, and not what is wrong here, nor what will be.
func TestPeers(t *testing.T) {
	service, pod := Ref{"Service", "shop", "checkout"}, Ref{"Pod", "shop", "checkout-1"}
	links := Links{At("10.96.0.7"): {service}, service: {pod}, At("10.244.0.9"): {pod}, At("fd00::7"): {service}}
	refused := func(address string) finding.Finding {
		f := made("connection-refused", "Container", "web-1", "")
		f.Title, f.Explanation, f.Peer = "web cannot connect to "+address, "5 of 5 attempts to connect to "+address+" were refused.", &finding.Peer{Address: address}
		return f
	}
	down := made("crash-loop", "Container", "checkout-1", "")
	own := made("oom-killed", "Container", "web-1", "")
	later := made("memory-exhaustion", "Container", "checkout-1", "")
	later.Kind = finding.Prediction
	for name, c := range map[string]struct {
		with    finding.Finding
		address string
		want    int
	}{
		"the service's pod is down":             {down, "10.96.0.7:8080", 1},
		"the pod is down":                       {down, "10.244.0.9:8080", 1},
		"by IPv6":                               {down, "[fd00::7]:8080", 1},
		"another one is down":                   {down, "10.96.0.8:8080", 2},
		"the one that asks has its own trouble": {own, "10.96.0.7:8080", 2},
		"the pod will be killed":                {later, "10.96.0.7:8080", 2},
	} {
		got := fold(t, links, c.with, refused(c.address))
		assert.Len(t, got, c.want, name)
	}

	f := refused("10.96.0.7:8080")
	NamePeer(&f, links)
	assert.Equal(t, "web cannot connect to Service shop/checkout (10.96.0.7:8080)", f.Title)
	assert.Equal(t, "5 of 5 attempts to connect to Service shop/checkout (10.96.0.7:8080) were refused.", f.Explanation)
	assert.Equal(t, &finding.Peer{Address: "10.96.0.7:8080", Kind: "Service", Namespace: "shop", Name: "checkout"}, f.Peer)
	again := f
	NamePeer(&again, links)
	assert.Equal(t, f, again)
	for _, nobody := range []string{"192.0.2.1:80", "nonsense", ""} {
		f := refused(nobody)
		before := f
		NamePeer(&f, links)
		assert.Equal(t, before, f)
	}
}
