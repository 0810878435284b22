package correlationprocessor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findinglog"
)

// object is a record of an object, as it is listed or, with a change, watched.
func object(t testing.TB, resource, change, text string) plog.Logs {
	t.Helper()
	var o map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &o))
	if change != "" {
		o = map[string]any{"type": change, "object": o}
	}
	ld := plog.NewLogs()
	r := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	r.Attributes().PutStr("k8s.resource.name", resource)
	require.NoError(t, r.Body().SetEmptyMap().FromRaw(o))
	return ld
}

// seen is how well a resource is seen, as the kubernetes receiver tells it.
func seen(resource, state, reason string) plog.Logs {
	ld := plog.NewLogs()
	r := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	r.SetEventName("kubernetes.resource.status")
	r.Attributes().PutStr("k8s.resource.name", resource)
	r.Attributes().PutStr("kubernetes.resource.state", state)
	r.Attributes().PutStr("kubernetes.resource.reason", reason)
	r.Attributes().PutBool("kubernetes.resource.complete", state == "watched")
	return ld
}

func killedPod(ended time.Time) string {
	return fmt.Sprintf(`{metadata: {name: api-1, namespace: shop, uid: u1, ownerReferences: [{kind: StatefulSet, name: api, controller: true}]},
		spec: {nodeName: n1, containers: [{name: api, resources: {limits: {memory: 64Mi}}}]},
		status: {phase: Running, containerStatuses: [{name: api, restartCount: 1, image: x, imageID: x, ready: true, containerID: "containerd://c2", state: {running: {startedAt: %[1]q}},
		lastState: {terminated: {exitCode: 137, reason: OOMKilled, containerID: "containerd://c1", finishedAt: %[1]q}}}]}}`, ended.UTC().Format(time.RFC3339))
}

// Objects become findings, pulled or watched; and what a node has found of the same container, known to it by the runtime's id only,
// is the same finding.
func TestObjectsAndNodesAreOne(t *testing.T) {
	for _, change := range []string{"", "ADDED", "MODIFIED"} {
		r := newRig(t, nil)
		var out sink
		l := r.logs(&out)
		ended := time.Now().Add(-5 * time.Second)
		require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", change, killedPod(ended))))
		eventually(t, "the kill is told", func() bool { return out.found()["oom-killed"].ID != "" })
		first := out.found()["oom-killed"]

		v := 1.0
		w := findinglog.New()
		w.Append(finding.Finding{ID: "there", Kind: finding.Diagnosis, Pattern: "oom-killed", Severity: finding.Critical, State: finding.Active, Title: "c1 was OOM-killed",
			Explanation: "It was.", Entity: finding.Entity{Kind: "Container", Name: "c1", UID: "u1", ContainerID: "c1", Node: "n1"}, Confidence: 0.9, FirstSeen: ended, LastSeen: time.Now(),
			Evidence: []finding.Evidence{{Time: ended, Layer: finding.LayerCgroup, Signal: "cgroup.oom_kill", Text: "a kill", Value: &v}}})
		w.AppendStatus(finding.Status{Time: time.Now(), Node: "elsewhere", Coverage: []finding.Coverage{{Layer: finding.LayerCgroup, State: finding.CoverageOK}}})
		require.NoError(t, l.ConsumeLogs(ctx, w.Logs()))
		eventually(t, "the node's evidence is told with it", func() bool { return len(out.found()["oom-killed"].Evidence) > len(first.Evidence) })
		both := out.found()["oom-killed"]
		assert.Equal(t, first.ID, both.ID)
		assert.Equal(t, &finding.Owner{Kind: "StatefulSet", Name: "api"}, both.Entity.Owner)
		assert.Contains(t, both.Title, "api was OOM-killed")
		assert.Contains(t, nodes(&out), "elsewhere", "what a node says of itself goes on")

		require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", "DELETED", killedPod(ended))))
		r.stop(l)
	}
}

// nodes are the sources of the statuses so far.
func nodes(s *sink) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, ld := range s.logs {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, rec := range sl.LogRecords().All() {
					if st, err := findinglog.ParseStatus(rl.Resource(), rec); err == nil {
						all = append(all, st.Node)
					}
				}
			}
		}
	}
	return all
}

// A node knows only the address of whom a container cannot connect to. Here it gets a name, and when that one's own trouble is known,
// it is told as that one's effect.
func TestPeersAreNamed(t *testing.T) {
	r := newRig(t, nil)
	var out sink
	l := r.logs(&out)
	pod := func(name, uid, container, state string) string {
		return fmt.Sprintf(`{metadata: {name: %[1]s, namespace: shop, uid: %[2]s, labels: {app: %[1]s}, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {nodeName: n1, containers: [{name: %[1]s}]},
			status: {phase: Running, podIP: 10.244.0.9, containerStatuses: [{name: %[1]s, restartCount: 9, containerID: "containerd://%[3]s", %[4]s}]}}`, name, uid, container, state)
	}
	require.NoError(t, l.ConsumeLogs(ctx, object(t, "services", "", `{metadata: {name: checkout, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"},
		spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], selector: {app: checkout}, ports: [{port: 8080}]}}`)))
	require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", "", pod("web", "u1", "c1", "ready: true, state: {running: {}}"))))
	require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", "", pod("checkout", "u2", "c2", "ready: true, state: {running: {}}"))))
	tell := func() {
		w := findinglog.New()
		w.Append(finding.Finding{ID: "there", Kind: finding.Diagnosis, Pattern: "connection-refused", Severity: finding.Warning, State: finding.Active,
			Title: "c1 cannot connect to 10.96.0.7:8080: 20 attempts were refused in 2 minutes", Explanation: "5 of 5 attempts to connect to 10.96.0.7:8080 were refused.",
			Entity: finding.Entity{Kind: "Container", Name: "c1", UID: "u1", ContainerID: "c1", Node: "n1"}, Peer: &finding.Peer{Address: "10.96.0.7:8080"},
			Confidence: 0.9, FirstSeen: time.Now(), LastSeen: time.Now()})
		require.NoError(t, l.ConsumeLogs(ctx, w.Logs()))
	}
	eventually(t, "it is told by name", func() bool {
		tell()
		return out.found()["connection-refused"].Title == "web/web cannot connect to Service shop/checkout (10.96.0.7:8080): 20 attempts were refused in 2 minutes"
	})
	told := out.found()["connection-refused"]
	assert.Equal(t, &finding.Peer{Address: "10.96.0.7:8080", Kind: "Service", Namespace: "shop", Name: "checkout"}, told.Peer)
	assert.Equal(t, finding.Active, told.State)

	require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", "", pod("checkout", "u2", "c2", `ready: false, state: {waiting: {reason: CrashLoopBackOff}},
		lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-01-01T00:00:00Z"}}`))))
	eventually(t, "it is the effect of its peer's trouble", func() bool {
		tell()
		return out.found()["connection-refused"].State == finding.Resolved
	})
	cause := out.found()["crash-loop"]
	assert.Equal(t, "checkout", cause.Entity.Name)
	assert.Equal(t, []string{cause.ID}, out.found()["connection-refused"].Causes)
	assert.Contains(t, cause.Explanation, "Because of this: web/web cannot connect to Service shop/checkout (10.96.0.7:8080)")
	r.stop(l)
}

// What is missing is told while all that is there is known, and not when a part of it may be new: then for a while nothing is told,
// as most often it is soon known again, and after that not what is missing.
func TestMissingIsToldWhileKnown(t *testing.T) {
	begin := time.Now()
	pod := func(name string) string {
		return fmt.Sprintf(`{metadata: {name: %s, namespace: shop, uid: %[1]s}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: %[1]s-data}}]},
			status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, lastTransitionTime: %q,
			message: "0/1 nodes are available: persistentvolumeclaim \"%[1]s-data\" not found."}]}}`, name, begin.Add(-time.Hour).UTC().Format(time.RFC3339))
	}
	var c cluster
	// missing are the pods of which a claim is told to be missing; nil: nothing was looked at.
	missing := func(after time.Duration) map[string]bool {
		_, all := c.tell(begin.Add(after))
		if all == nil {
			return nil
		}
		found := map[string]bool{}
		for _, b := range all {
			for _, s := range b.Signals {
				if s.Shape == signal.Gauge && s.Kind == signal.Unschedulable {
					found[b.Entity.Name] = s.Attributes["claim_missing"] == "true"
				}
			}
		}
		return found
	}
	c.take(object(t, "pods", "", pod("api")), begin)
	c.take(seen("persistentvolumeclaims", "watched", ""), begin)
	assert.Equal(t, map[string]bool{"api": true}, missing(0))

	for range 2 { // it lags behind for a moment only
		c.take(seen("persistentvolumeclaims", "blind", "the service account may not watch persistentvolumeclaims"), begin)
		c.take(object(t, "pods", "ADDED", pod("web")), begin)
		assert.Nil(t, missing(lookLeast))
		c.take(seen("persistentvolumeclaims", "watched", ""), begin)
	}
	assert.Equal(t, map[string]bool{"api": true, "web": true}, missing(lookLeast))

	c.take(seen("persistentvolumeclaims", "blind", "the service account may not watch persistentvolumeclaims"), begin)
	c.take(object(t, "pods", "ADDED", pod("late")), begin)
	assert.Nil(t, missing(2*lookLeast))
	assert.Equal(t, map[string]bool{"api": false, "web": false, "late": false}, missing(lookLeast+patience))
	c.take(object(t, "pods", "MODIFIED", pod("late")), begin)
	assert.NotNil(t, missing(lookLeast+patience+lookEvery), "and from there on as often as ever")
}

// A finding that cannot be read is counted, and nothing else suffers.
func TestInvalidFindings(t *testing.T) {
	r := newRig(t, nil)
	var out sink
	l := r.logs(&out)
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetEventName(findinglog.EventDiagnosis)
	require.NoError(t, l.ConsumeLogs(ctx, ld))
	m, err := r.tel.GetMetric("otelcol_processor_correlation_findings_invalid")
	require.NoError(t, err)
	assert.EqualValues(t, 1, sum(m))
	r.stop(l)
}

// Who asks about a replica that another one stands for, or about a namespace whose pods were on a node that is away, finds the cause by
// what that affects.
func TestCausesNameWhatTheyAffect(t *testing.T) {
	r := newRig(t, nil)
	var out sink
	l := r.logs(&out)
	looping := func(name string) string {
		return fmt.Sprintf(`{metadata: {name: %[1]s, namespace: shop, uid: %[1]s, ownerReferences: [{kind: StatefulSet, name: api, controller: true}], creationTimestamp: "2026-01-01T00:00:00Z"},
			spec: {nodeName: n1, containers: [{name: app}]}, status: {phase: Running, containerStatuses: [{name: app, restartCount: 9, ready: false, state: {waiting: {reason: CrashLoopBackOff}},
			lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-01-01T00:00:00Z"}}}]}}`, name)
	}
	require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", "", looping("api-0"))))
	require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", "", looping("api-1"))))
	require.NoError(t, l.ConsumeLogs(ctx, object(t, "pods", "", `{metadata: {name: post, namespace: blog, uid: u3}, spec: {nodeName: n2, containers: [{name: post}]}, status: {phase: Running}}`)))
	require.NoError(t, l.ConsumeLogs(ctx, object(t, "nodes", "", `{metadata: {name: n2}, status: {conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown,
		message: "Kubelet stopped posting node status.", lastTransitionTime: "2026-01-01T00:00:00Z", lastHeartbeatTime: "2026-01-01T00:00:00Z"}]}}`)))
	eventually(t, "both are told", func() bool {
		return out.found()["crash-loop"].AffectedTotal > 0 && out.found()["node-not-ready"].ID != ""
	})
	loop := out.found()["crash-loop"]
	require.Len(t, loop.Affected, 1)
	assert.ElementsMatch(t, []string{"api-0", "api-1"}, []string{loop.Entity.Name, loop.Affected[0].Name})
	assert.Equal(t, &finding.Owner{Kind: "StatefulSet", Name: "api"}, loop.Affected[0].Owner)
	assert.Equal(t, []finding.Entity{{Kind: "Namespace", Name: "blog"}}, out.found()["node-not-ready"].Affected)
	r.stop(l)
}

// Coverage says of the cluster's objects what is not seen, and why.
func TestClusterCoverage(t *testing.T) {
	now := time.Now()
	known, err := createDefaultConfig().(*Config).load()
	require.NoError(t, err)
	e, err := correlation.New(correlation.Settings{Patterns: known, MaxEntities: 10, MaxFindings: 10, EntityTTL: time.Hour, Retention: time.Hour, Refresh: time.Hour})
	require.NoError(t, err)
	state := func(c *cluster, at time.Time) finding.Coverage {
		st := e.Status(at)
		c.describe(&st, nil, at)
		for _, l := range st.Coverage {
			if l.Layer == finding.LayerKubernetes {
				return l
			}
		}
		return finding.Coverage{}
	}
	var c cluster
	assert.Equal(t, finding.CoverageAbsent, state(&c, now).State, "no record has come")
	c.take(seen("pods", "watched", ""), now)
	c.take(seen("jobs", "unserved", "the API server does not serve jobs"), now)
	assert.Equal(t, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageOK}, state(&c, now))
	c.take(seen("nodes", "blind", "the service account may not list nodes"), now)
	assert.Equal(t, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageDegraded, Reason: "the service account may not list nodes"}, state(&c, now))
	for _, resource := range []string{"a", "b", "c", "d"} {
		c.take(seen(resource, "blind", resource), now)
	}
	assert.Equal(t, "a; b; c; and 2 more reasons", state(&c, now).Reason)
	assert.Contains(t, state(&c, now.Add(time.Hour)).Reason, "the Kubernetes receiver has been silent since")
	for _, resource := range []string{"a", "b", "c", "d", "pods", "jobs", "nodes"} {
		c.take(seen(resource, "standby", "this replica is not the leader"), now)
	}
	assert.Equal(t, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageAbsent, Reason: "this replica is not the leader"}, state(&c, now))
	for i := range 2 * maxResources {
		c.take(seen(fmt.Sprint(i), "watched", ""), now)
	}
	assert.Len(t, c.states, maxResources)
}
