package objects

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// logs are records as the k8sobjects receiver makes them when it pulls, or when it watches: then change is ADDED, ….
func logs(t testing.TB, resource, change, text string) plog.Logs {
	t.Helper()
	var o map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &o))
	ld := plog.NewLogs()
	r := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	r.Attributes().PutStr("k8s.resource.name", resource)
	if change != "" {
		o = map[string]any{"type": change, "object": o}
	}
	require.NoError(t, r.Body().SetEmptyMap().FromRaw(o))
	return ld
}

// tell returns what a cluster tells: entity, kind, seconds and facts of each signal.
func tell(c *Cluster) map[string]signal.Signal {
	all := map[string]signal.Signal{}
	c.Signals(now, func(b signal.Batch) {
		for _, s := range b.Signals {
			all[string(b.Entity.ID)+" "+s.Kind] = s
		}
	})
	return all
}

const crashing = `{metadata: {name: api-1, namespace: shop, uid: u1, labels: {app: api, pod-template-hash: 7d4},
  ownerReferences: [{kind: ReplicaSet, name: api-7d4, controller: true}]}, spec: {nodeName: n1, containers: [{name: api}]},
  status: {phase: Running, containerStatuses: [{name: api, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff}},
  lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-11-23T11:59:00Z"}}}]}}`

// What was pulled and what is watched tell the same, and what was deleted tells nothing.
func TestPulledAndWatched(t *testing.T) {
	for _, change := range []string{"", "ADDED", "MODIFIED"} {
		c := New()
		c.Observe(logs(t, "pods", change, crashing))
		s, ok := tell(c)["container:u1/api "+signal.CrashLoop]
		require.True(t, ok, change)
		assert.Equal(t, 5.0, s.Value)
		assert.Equal(t, "1", s.Attributes["exit_code"])
		assert.Equal(t, "Deployment", c.Owner(finding.Entity{Kind: "Pod", Namespace: "shop", Name: "api-1"}).Kind, "by the hash, where the ReplicaSet is not known")
		c.Observe(logs(t, "pods", "DELETED", crashing))
		assert.Empty(t, tell(c))
	}
}

// Events are tied to their object through involvedObject and regarding alike, and one that comes again is one.
func TestEventsOfBothKinds(t *testing.T) {
	const pod = `{metadata: {name: api-1, namespace: shop, uid: u1}, spec: {nodeName: n1, containers: [{name: api, readinessProbe: {tcpSocket: {port: 80}}}]},
		status: {phase: Running, containerStatuses: [{name: api, ready: false, started: true, state: {running: {startedAt: "2026-11-23T11:50:00Z"}}}]}}`
	for _, event := range []string{
		`{metadata: {name: e, uid: e1}, reason: Unhealthy, message: "Readiness probe failed: no route", lastTimestamp: "2026-11-23T11:59:00Z", count: 7,
			involvedObject: {kind: Pod, namespace: shop, name: api-1, uid: u1, fieldPath: "spec.containers{api}"}}`,
		`{metadata: {name: e, uid: e1}, reason: Unhealthy, note: "Readiness probe failed: no route", eventTime: "2026-11-23T11:50:00Z",
			series: {count: 7, lastObservedTime: "2026-11-23T11:59:00Z"}, regarding: {kind: Pod, namespace: shop, name: api-1, uid: u1}}`,
	} {
		c := New()
		c.Observe(logs(t, "pods", "", pod))
		for range 3 {
			c.Observe(logs(t, "events", "ADDED", event))
		}
		told := 0
		c.Signals(now, func(b signal.Batch) {
			for _, s := range b.Signals {
				if s.Kind == signal.ProbeFailed {
					told++
					assert.Equal(t, 7.0, s.Value)
					assert.Equal(t, now.Add(-time.Minute), s.Time)
					assert.Equal(t, "no route", s.Attributes["message"])
				}
			}
		})
		assert.Equal(t, 1, told)
	}
	// That of another pod, which had the name before, says nothing of this one.
	c := New()
	c.Observe(logs(t, "pods", "", pod))
	c.Observe(logs(t, "events", "", `{metadata: {name: e}, reason: Unhealthy, message: "Readiness probe failed: x", lastTimestamp: "2026-11-23T11:59:00Z",
		involvedObject: {kind: Pod, namespace: shop, name: api-1, uid: other}}`))
	assert.NotContains(t, tell(c), "container:u1/api "+signal.ProbeFailed)
}

func TestEventsAreBounded(t *testing.T) {
	c := New()
	for i := range maxEvents + 10 {
		c.Observe(logs(t, "events", "", fmt.Sprintf(`{metadata: {name: e, uid: e%d}, lastTimestamp: "2026-11-23T11:%02d:00Z", involvedObject: {kind: Pod, namespace: shop, name: api}}`, i, i%60)))
	}
	assert.Len(t, c.events[reference{"Pod", key{"shop", "api"}}], maxEvents)
	assert.Equal(t, 10, c.Dropped())
}

// What the scheduler says (its own words, of Kubernetes 1.22 to 1.37).
func TestUnschedulable(t *testing.T) {
	for message, want := range map[string]string{
		"0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.":     "cpu",
		"0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint {dedicated: gpu}.":                                     "memory",
		"0/5 nodes are available: 2 Insufficient cpu, 3 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.":               "cpu",
		"0/5 nodes are available: 1 Insufficient cpu, 4 node(s) didn't match Pod's node affinity/selector.":                                     "cpu",
		"0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}, 2 node(s) didn't match Pod's node affinity/selector.":       "selector",
		"0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.":                        "unready",
		"0/3 nodes are available: 3 node(s) had taint {dedicated: gpu}, that the pod didn't tolerate.":                                          "",
		"0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: not eligible due to preemptionPolicy=Never.": "selector",
		"0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.":                                                              "affinity",
		"0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints.":                                                      "affinity",
		"0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found":                                                  "volume",
		"0/2 nodes are available: 2 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.":                                            "unready",
		"0/2 nodes are available: 2 node(s) were unschedulable.":                                                                                "cordoned",
		"0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.":                                                "ports",
		"0/2 nodes are available: 2 Insufficient nvidia.com/gpu.":                                                                               "resource",
		"no nodes available to schedule pods":   "none",
		"something that nobody has said before": "",
	} {
		assert.Equal(t, want, unschedulable(message)["problem"], message)
	}
	assert.Equal(t, "dedicated: gpu", unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}.")["taints"])
}

// What the kubelet says of what is missing.
func TestMissing(t *testing.T) {
	for message, want := range map[string]string{
		`configmap "app" not found`:                                                                      "object ConfigMap app ",
		`secret "db" not found`:                                                                          "object Secret db ",
		`couldn't find key password in Secret shop/db`:                                                   "key Secret db password",
		`couldn't find key a.conf in ConfigMap shop/app`:                                                 "key ConfigMap app a.conf",
		`MountVolume.SetUp failed for volume "v" : secret "s" not found`:                                 "object Secret s ",
		`MountVolume.SetUp failed for volume "v" : references non-existent config key: x.yaml`:           "key ConfigMap  x.yaml",
		`MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: x.yaml`: "key ConfigMap  x.yaml",
		`container has runAsNonRoot and image will run as root (pod: "x", container: y)`:                 "root   ",
		`nobody knows`: "   ",
	} {
		f := New().missing("shop", message)
		assert.Equal(t, want, strings.Join([]string{f["problem"], f["object_kind"], f["object"], f["key"]}, " "), message)
	}
}

func TestImageProblem(t *testing.T) {
	for message, want := range map[string]string{
		`docker.io/library/nginx:1.99: not found`: "not_found",
		`manifest unknown: manifest unknown`:      "not_found",
		`pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`: "denied",
		`unexpected status: 401 Unauthorized`: "auth",
		`no basic auth credentials`:           "auth",
		`429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit`:  "rate_limit",
		`dial tcp: lookup reg.example on 10.96.0.10:53: no such host`:                                     "network",
		`Get "https://reg.example/v2/": dial tcp 10.0.0.1:443: i/o timeout`:                               "network",
		`tls: failed to verify certificate: x509: certificate signed by unknown authority`:                "tls",
		`http: server gave HTTP response to HTTPS client`:                                                 "tls",
		`no match for platform in manifest: not found`:                                                    "platform",
		`write /var/lib/containerd/x: no space left on device`:                                            "disk",
		`short name mode is enforcing, but image name nginx:latest returns ambiguous list`:                "short",
		`short-name "nginx" did not resolve to an alias and no unqualified-search registries are defined`: "short",
		`something else`: "",
	} {
		assert.Equal(t, want, imageProblem("ErrImagePull", message), message)
	}
	for image, want := range map[string]string{"nginx": "docker.io", "team/app:1": "docker.io", "reg.example/x": "reg.example", "localhost/x": "localhost", "host:5000/a/b": "host:5000"} {
		assert.Equal(t, want, registry(image))
	}
}

func TestEnding(t *testing.T) {
	for _, c := range []struct {
		code            int
		reason, message string
		problem, says   string
	}{
		{1, "Error", "", "exit", "it ended with an error"},
		{0, "Completed", "", "completed", ""},
		{139, "Error", "", "signal", "SIGSEGV"},
		{134, "Error", "", "signal", "SIGABRT"},
		{143, "Error", "", "signal", "SIGTERM"},
		{127, "Error", "", "missing", ""},
		{126, "Error", "", "not_executable", ""},
		{255, "Error", "", "exit", ""},
		{128, "StartError", `exec: "/app": stat /app: no such file or directory: unknown`, "missing", ""},
		{128, "StartError", `exec: "serve": executable file not found in $PATH: unknown`, "missing", ""},
		{127, "ContainerCannotRun", "executable file `serve` not found in $PATH: No such file or directory", "missing", ""},
		{128, "StartError", `exec: "/app": permission denied: unknown`, "not_executable", ""},
		{128, "StartError", `exec /app: exec format error`, "not_executable", "another CPU"},
	} {
		f := ending(c.code, 0, c.reason, c.message)
		assert.Equal(t, c.problem, f["problem"], "%d %s", c.code, c.message)
		assert.Contains(t, f["meaning"], c.says)
	}
}

// A pod that was deleted is nobody's matter until its grace is long over.
func TestTerminating(t *testing.T) {
	for deleted, want := range map[string]bool{"2026-11-23T11:59:30Z": false, "2026-11-23T12:00:30Z": false, "2026-11-23T11:50:00Z": true} {
		c := New()
		c.Observe(logs(t, "pods", "", strings.Replace(crashing, "uid: u1,", `uid: u1, deletionTimestamp: "`+deleted+`", finalizers: [example.com/backup],`, 1)))
		got := tell(c)
		assert.Equal(t, want, len(got) == 1, deleted)
		if want {
			assert.Equal(t, "example.com/backup", got["pod:u1 "+signal.Terminating].Attributes["finalizers"])
			assert.Equal(t, 600.0, got["pod:u1 "+signal.Terminating].Value)
		}
	}
}

// A pod that no node takes because none is ready is the nodes' effect.
func TestLinksToNodesThatAreAway(t *testing.T) {
	c := New()
	c.Observe(logs(t, "nodes", "", `{metadata: {name: n1}, status: {conditions: [{type: Ready, status: Unknown}]}}`))
	c.Observe(logs(t, "pods", "", `{metadata: {name: api, namespace: shop}, status: {conditions: [{type: PodScheduled, status: "False", reason: Unschedulable,
		message: "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }."}]}}`))
	assert.Equal(t, []causes.Ref{{Kind: "Node", Name: "n1"}}, c.Links()[causes.Ref{Kind: "Pod", Namespace: "shop", Name: "api"}])
}

// A volume that is attached elsewhere is held by the pod there, and that by its node, where it is away.
func TestLinksToWhoHoldsAVolume(t *testing.T) {
	c := New()
	c.Observe(logs(t, "nodes", "", `{metadata: {name: n1}, status: {conditions: [{type: Ready, status: Unknown}]}}`))
	c.Observe(logs(t, "pods", "", `{metadata: {name: api-old, namespace: shop}, spec: {nodeName: n1}}`))
	c.Observe(logs(t, "pods", "", `{metadata: {name: api-new, namespace: shop}, spec: {nodeName: n2}}`))
	c.Observe(logs(t, "events", "", `{metadata: {name: e}, reason: FailedAttachVolume, message: 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) api-old', lastTimestamp: "2026-11-23T11:59:00Z",
		involvedObject: {kind: Pod, namespace: shop, name: api-new}}`))
	links := c.Links()
	assert.Equal(t, []causes.Ref{{Kind: "Pod", Namespace: "shop", Name: "api-old"}}, links[causes.Ref{Kind: "Pod", Namespace: "shop", Name: "api-new"}])
	assert.Equal(t, []causes.Ref{{Kind: "Node", Name: "n1"}}, links[causes.Ref{Kind: "Pod", Namespace: "shop", Name: "api-old"}])
}

// An ingress depends on its default backend as on the others.
func TestLinksOfIngresses(t *testing.T) {
	c := New()
	c.Observe(logs(t, "ingresses", "", `{metadata: {name: web, namespace: shop}, spec: {defaultBackend: {service: {name: api}}, rules: [{http: {paths: [{backend: {service: {name: cart}}}]}}]}}`))
	assert.Equal(t, []causes.Ref{{Kind: "Service", Namespace: "shop", Name: "api"}, {Kind: "Service", Namespace: "shop", Name: "cart"}}, c.Links()[causes.Ref{Kind: "Ingress", Namespace: "shop", Name: "web"}])
}

// Addresses are those of services, of pods that have one of their own and are not over, and of nodes.
func TestLinksOfAddresses(t *testing.T) {
	c := New()
	for _, s := range []string{
		`{metadata: {name: checkout, namespace: shop}, spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, "fd00::7"], externalIPs: [203.0.113.5]},
			status: {loadBalancer: {ingress: [{ip: 203.0.113.9}, {hostname: lb.example.com}]}}}`,
		`{metadata: {name: headless, namespace: shop}, spec: {clusterIP: None, clusterIPs: [None]}}`,
	} {
		c.Observe(logs(t, "services", "", s))
	}
	for _, s := range []string{
		`{metadata: {name: api, namespace: shop}, status: {phase: Running, podIP: 10.244.0.9, podIPs: [{ip: 10.244.0.9}, {ip: "fd01::9"}]}}`,
		`{metadata: {name: old, namespace: shop}, status: {phase: Failed, podIP: 10.244.0.9, podIPs: [{ip: 10.244.0.9}]}}`,
		`{metadata: {name: proxy, namespace: kube-system}, spec: {hostNetwork: true}, status: {phase: Running, podIP: 10.1.0.3, podIPs: [{ip: 10.1.0.3}]}}`,
	} {
		c.Observe(logs(t, "pods", "", s))
	}
	c.Observe(logs(t, "nodes", "", `{metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 10.1.0.3}, {type: Hostname, address: n1}]}}`))
	links := c.Links()
	service, pod := causes.Ref{Kind: "Service", Namespace: "shop", Name: "checkout"}, causes.Ref{Kind: "Pod", Namespace: "shop", Name: "api"}
	for ip, want := range map[string]causes.Ref{"10.96.0.7": service, "fd00::7": service, "203.0.113.5": service, "203.0.113.9": service,
		"10.244.0.9": pod, "fd01::9": pod, "10.1.0.3": {Kind: "Node", Name: "n1"}} {
		assert.Equal(t, []causes.Ref{want}, links[causes.At(ip)], ip)
	}
	for _, none := range []string{"None", "lb.example.com", "n1", ""} {
		assert.Empty(t, links[causes.At(none)], none)
	}
}

// Whatever an object holds, reading it ends, and tells only finite numbers.
func FuzzSignals(f *testing.F) {
	f.Add("pods", crashing)
	f.Add("services", `{metadata: {name: s, namespace: shop}, spec: {selector: {app: api}, ports: [{targetPort: http}]}}`)
	f.Add("nodes", `{metadata: {name: n}, status: {conditions: [{type: Ready, status: "False", message: x}]}}`)
	f.Add("jobs", `{metadata: {name: j}, status: {conditions: [{type: Failed, status: "True"}]}}`)
	f.Add("deployments", `{metadata: {name: d}, status: {conditions: [{type: ReplicaFailure, status: "True", message: exceeded quota}]}}`)
	f.Add("persistentvolumeclaims", `{metadata: {name: p}, status: {phase: Pending}}`)
	f.Add("events", `{metadata: {name: e}, reason: Killing, involvedObject: {kind: Pod, name: api-1, namespace: shop}}`)
	f.Add("horizontalpodautoscalers", `{metadata: {name: h}, spec: {metrics: [{resource: {name: cpu}}]}, status: {conditions: [{type: ScalingActive, status: "False", message: missing request for cpu in container a of Pod b}]}}`)
	f.Add("networkpolicies", `{metadata: {name: p, namespace: shop}, spec: {podSelector: {matchExpressions: [{key: a, operator: In}]}, ingress: [{from: [{ipBlock: {}}], ports: [{port: a, endPort: 3}]}]}}`)
	f.Add("validatingwebhookconfigurations", `{metadata: {name: w}, webhooks: [{name: x, clientConfig: {caBundle: "LS0tLS0=", service: {name: s, namespace: shop}}}]}`)
	f.Add("ingresses", `{metadata: {name: i, namespace: shop}, spec: {tls: [{secretName: s}], rules: [{http: {paths: [{backend: {service: {name: s, port: {number: 1}}}}]}}]}}`)
	f.Add("replicasets", `{metadata: {name: api-7d4, namespace: shop, annotations: {deployment.kubernetes.io/revision: x}, ownerReferences: [{kind: Deployment, name: api, controller: true}]}}`)
	f.Add("namespaces", `{metadata: {name: n, deletionTimestamp: "2026-11-23T11:00:00Z"}, status: {phase: Terminating, conditions: [{type: NamespaceFinalizersRemaining, status: "True", message: "remaining: x"}]}}`)
	f.Add("secrets", `{metadata: {name: s}, certificateExpires: "2026-11-23T11:00:00Z"}`)
	f.Add("pods", `{metadata: {name: [1]}, status: {containerStatuses: {name: 3}}}`)
	f.Fuzz(func(t *testing.T, resource, text string) {
		var o map[string]any
		if len(text) > 1<<14 || yaml.Unmarshal([]byte(text), &o) != nil {
			t.Skip()
		}
		c := New()
		for _, part := range tellers {
			c.Listed(part.resource)
		}
		c.Observe(logs(t, "pods", "", crashing))
		c.Observe(logs(t, resource, "", text))
		for _, s := range tell(c) {
			if s.Value != s.Value || s.Value > 1e18 {
				t.Errorf("%s is %v", s.Kind, s.Value)
			}
		}
		c.Links()
		c.Wanted()
		c.Counts(func(string, string, string) bool { return true })
	})
}
