package causes

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/patterns"
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
	known, err := pattern.Load(patterns.Files)
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
