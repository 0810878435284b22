package objects

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// seen is a cluster of which all kinds are known, with some objects: resource and YAML in turn.
func seen(t testing.TB, objects ...string) *Cluster {
	t.Helper()
	c := New()
	for _, part := range tellers {
		c.Listed(part.resource)
	}
	for _, r := range []string{"storageclasses", "ingressclasses"} {
		c.Listed(r)
	}
	for i := 0; i < len(objects); i += 2 {
		c.Observe(logs(t, objects[i], "", objects[i+1]))
	}
	return c
}

const (
	shopAPI = `{metadata: {name: api, namespace: shop}, spec: {selector: {app: api}, ports: [{name: web, port: 80, targetPort: 8080}]}}`
	apiPod  = `{metadata: {name: api-1, namespace: shop, uid: u1, creationTimestamp: "2026-11-23T11:00:00Z", labels: {app: api}}, spec: {nodeName: n1, containers: [{name: api}]},
		status: {phase: Running, conditions: [{type: Ready, status: "%s", lastTransitionTime: "2026-11-23T11:30:00Z"}]}}`
	readyN1 = `{metadata: {name: n1}, status: {conditions: [{type: Ready, status: "True"}]}}`
)

// What the objects of a cluster tell: kinds of signals with their problem. Each case has a near miss beside it, which tells nothing.
func TestTellings(t *testing.T) {
	well, ill := fmt.Sprintf(apiPod, "True"), fmt.Sprintf(apiPod, "False")
	webhook := func(policy, bundle string) string {
		return `{metadata: {name: guard}, webhooks: [{name: g.example, failurePolicy: ` + policy + `, clientConfig: {caBundle: "` + bundle + `", service: {name: api, namespace: shop}}}]}`
	}
	budget := `{metadata: {name: api, namespace: shop}, spec: {minAvailable: 2, selector: {matchLabels: {app: api}}}, status: {currentHealthy: %d, desiredHealthy: %d, expectedPods: %d,
		conditions: [{type: DisruptionAllowed, status: "False", reason: %s, message: m, lastTransitionTime: "2026-11-23T%s:00Z"}]}}`
	cordoned := `{metadata: {name: n1}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: "True"}]}}`
	hpa := `{metadata: {name: api, namespace: shop}, spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: api}}, status: {conditions: [{type: %s, status: "%s", reason: %s, message: "%s", lastTransitionTime: "2026-11-23T%s:00Z"}]}}`
	deployment := `{metadata: {name: api, namespace: shop%s}, spec: {replicas: 2%s}, status: {observedGeneration: 1, readyReplicas: 1%s}}`
	event := func(kind, name, reason, message string) string {
		namespace := "shop"
		if kind == "Node" {
			namespace = `""`
		}
		return `{metadata: {name: e, uid: ` + reason + `}, reason: ` + reason + `, message: '` + message + `', lastTimestamp: "2026-11-23T11:59:00Z", firstTimestamp: "2026-11-23T11:50:00Z", count: 4, involvedObject: {kind: ` + kind + `, name: ` + name + `, namespace: ` + namespace + `}}`
	}
	creating := `{metadata: {name: api, namespace: shop, uid: u1}, spec: {nodeName: n1, containers: [{name: api}]}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "True",
		lastTransitionTime: "2026-11-23T11:30:00Z"}, {type: PodReadyToStartContainers, status: "%s"}], containerStatuses: [{name: api, state: {waiting: {reason: ContainerCreating}}}]}}`
	// Its status is written all the time, its spec was at the time.
	unseen := func(at string) string {
		return `, generation: 2, managedFields: [{time: "2026-11-23T11:00:00Z"}, {time: "2026-11-23T` + at + `Z"}, {time: "2026-11-23T11:59:00Z", subresource: status}]`
	}
	initialised := `{metadata: {name: a, namespace: shop, uid: u1}, spec: {nodeName: n1, initContainers: [{name: i%s}], containers: [{name: a}]}, status: {phase: Pending,
		initContainerStatuses: [{name: i, restartCount: 3, state: %s, lastState: {terminated: {exitCode: 1, reason: OOMKilled, finishedAt: "2026-11-23T11:57:00Z"}}}]}}`
	done := `{terminated: {exitCode: 0, reason: Completed, finishedAt: "2026-11-23T11:58:00Z"}}`
	worked := `{metadata: {name: a, namespace: shop, uid: u1}, spec: {nodeName: n1, restartPolicy: %s, containers: [{name: a}]}, status: {phase: Running,
		containerStatuses: [{name: a, restartCount: 3, state: ` + done + `}]}}`
	ended := func(at, since string) []string {
		return []string{"pods", `{metadata: {name: a, namespace: shop, uid: u1}, spec: {nodeName: n1, containers: [{name: a}]}, status: {phase: Running, containerStatuses: [{name: a, ready: true,
			restartCount: 3, state: {running: {startedAt: "2026-11-23T` + at + `Z"}}, lastState: {terminated: {exitCode: 1, startedAt: "` + since + `", finishedAt: "2026-11-23T` + at + `Z"}}}]}}`}
	}
	claiming := `{metadata: {name: a, namespace: shop, uid: u1, creationTimestamp: "2026-11-23T11:58:00Z"}, spec: {volumes: [{persistentVolumeClaim: {claimName: a}}]}, status: {phase: Pending}}`
	chosen := `{metadata: {namespace: shop, name: %s, creationTimestamp: "2026-11-23T%s:50Z"}, spec: {storageClassName: fast}, status: {phase: Pending}}`
	csi := `{metadata: {name: fast}, provisioner: ebs.csi.aws.com, volumeBindingMode: WaitForFirstConsumer}`
	crowded := `{metadata: {name: a, namespace: shop, uid: u1}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, lastTransitionTime: "2026-11-23T11:58:00Z", message: "0/2 nodes are available: 2 Insufficient cpu."}]}}`
	ingress := `{metadata: {name: web, namespace: shop}, spec: {ingressClassName: web, rules: [{http: {paths: [{backend: {service: {name: %s, port: {%s}}}}]}}]}}`
	declared := strings.Replace(well, "containers: [{name: api}]", "containers: [{name: api, ports: [{containerPort: 9090}]}]", 1)
	migrating := `{metadata: {name: a, namespace: shop, uid: u1}, spec: {nodeName: n1, initContainers: [{name: i}], containers: [{name: a}]}, status: {phase: Pending,
		conditions: [{type: Ready, status: "False", lastTransitionTime: "2026-11-23T%s:00Z"}],
		initContainerStatuses: [{name: i, state: {running: {startedAt: "2026-11-23T11:57:00Z"}}}]}}`
	beside := `{metadata: {name: a, namespace: shop, uid: u1}, spec: {nodeName: n1, initContainers: [{name: proxy, restartPolicy: Always, readinessProbe: {tcpSocket: {port: 80}}}], containers: [{name: a}]}, status: {phase: Running,
		initContainerStatuses: [{name: proxy, ready: %s, started: true, state: {running: {startedAt: "2026-11-23T10:00:00Z"}}}], containerStatuses: [{name: a, ready: true, state: {running: {startedAt: "2026-11-23T10:00:00Z"}}}]}}`
	nightly := `{metadata: {name: nightly-%s, namespace: shop, creationTimestamp: "2026-11-23T%s:00Z", ownerReferences: [{kind: CronJob, name: nightly, controller: true}]}, status: {active: 1, conditions: [{type: %s, status: "True"}]}}`
	leavingSet := `{metadata: {name: api, namespace: shop, deletionTimestamp: "2026-11-23T11:57:00Z", finalizers: [foregroundDeletion]}}`
	leaves := `{metadata: {name: api-7d4-x, namespace: shop, uid: u1, labels: {pod-template-hash: 7d4}, deletionTimestamp: "2026-11-23T%s:00Z", ownerReferences: [{kind: ReplicaSet, name: api-7d4, controller: true}]},
		spec: {nodeName: n1, volumes: [{name: data, persistentVolumeClaim: {claimName: a}}]}, status: {phase: Running}}`
	starts := `{metadata: {name: api-1, namespace: shop, uid: u1, labels: {app: api}}, spec: {nodeName: n1, containers: [{name: api, startupProbe: {periodSeconds: 10, failureThreshold: 30, tcpSocket: {port: 80}}}]},
		status: {phase: Running, conditions: [{type: Ready, status: "False", lastTransitionTime: "2026-11-23T11:58:00Z"}], containerStatuses: [{name: api, started: false, state: {running: {startedAt: "2026-11-23T%s:00Z"}}, restartCount: %d}]}}`
	routeless := `{metadata: {name: n1, creationTimestamp: "2026-11-23T%s:00Z"}, status: {conditions: [{type: Ready, status: "True"}, {type: NetworkUnavailable, status: "True"}]}}`
	grows := `{metadata: {name: a, namespace: shop}, spec: {resources: {requests: {storage: 2Gi}}}, status: {phase: Bound, capacity: {storage: 1Gi}}}`
	made := `{metadata: {name: n1, creationTimestamp: "2026-11-23T%s:00Z"}, status: {conditions: [{type: Ready, status: "True"}]}}`
	classless := `{metadata: {name: web, namespace: shop, creationTimestamp: "2026-11-23T%s:00Z"}}`
	away := `{metadata: {name: n1}, spec: {taints: [{key: %s, effect: NoSchedule}]}, status: {conditions: [{type: Ready, status: Unknown, lastTransitionTime: "2026-11-23T%s:00Z"}]}}`
	probed := func(ready, killed, started string) []string {
		return []string{"pods", `{metadata: {name: a, namespace: shop, uid: u1}, spec: {nodeName: n1, containers: [{name: a}]}, status: {phase: Running,
			containerStatuses: [{name: a, ready: ` + ready + `, restartCount: 1, state: {running: {startedAt: "2026-11-23T` + started + `Z"}}, lastState: {terminated: {exitCode: 137}}}]}}`,
			"events", `{metadata: {name: e, uid: e}, reason: Killing, message: "Container a failed liveness probe, will be restarted", lastTimestamp: "2026-11-23T` + killed + `Z",
			involvedObject: {kind: Pod, name: a, namespace: shop, fieldPath: "spec.containers{a}"}}`}
	}
	for _, tt := range []struct {
		name    string
		objects []string
		want    []string // entity, kind and problem
	}{
		{"a webhook whose pods are not ready", []string{"validatingwebhookconfigurations", webhook("Fail", ""), "services", shopAPI, "pods", ill},
			[]string{"service:shop/api k8s.service.no_endpoints not_ready", "validatingwebhookconfiguration:/guard k8s.webhook.away endpoints"}},
		{"a service of pods that nobody replaces", []string{"services", shopAPI, "pods", strings.Replace(well, "uid: u1,", `uid: u1, deletionTimestamp: "2026-11-23T11:50:00Z",`, 1)},
			[]string{"pod:u1 k8s.pod.terminating ", "service:shop/api k8s.service.no_endpoints selector"}},
		{"a service whose one pod is being replaced", []string{"services", shopAPI, "pods", strings.Replace(well, "uid: u1,", `uid: u1, deletionTimestamp: "2026-11-23T12:00:20Z",`, 1)}, nil},
		{"a webhook that is answered", []string{"validatingwebhookconfigurations", webhook("Fail", ""), "services", shopAPI, "pods", well}, nil},
		{"a webhook that an expired authority vouches for", []string{"mutatingwebhookconfigurations", webhook("Fail", bundle(t, -time.Hour)), "services", shopAPI, "pods", well},
			[]string{"mutatingwebhookconfiguration:/guard k8s.webhook.away certificate"}},
		{"one that a valid authority vouches for", []string{"mutatingwebhookconfigurations", webhook("Fail", bundle(t, time.Hour)), "services", shopAPI, "pods", well}, nil},
		{"a budget that waits for a pod, and the node of another is to be drained", []string{"poddisruptionbudgets", fmt.Sprintf(budget, 1, 1, 2, "InsufficientPods", "11:59"), "pods", well, "nodes", cordoned},
			[]string{"poddisruptionbudget:shop/api k8s.budget.blocks unhealthy"}},
		{"a budget that waits for a pod, which may go from its node", []string{"poddisruptionbudgets", fmt.Sprintf(budget, 1, 1, 2, "InsufficientPods", "11:59"), "pods", ill, "nodes", cordoned}, nil},
		{"a budget that lets pods go that are not ready", []string{"poddisruptionbudgets", strings.Replace(fmt.Sprintf(budget, 0, 1, 2, "InsufficientPods", "11:30"), "spec: {", "spec: {unhealthyPodEvictionPolicy: AlwaysAllow, ", 1), "pods", ill, "nodes", cordoned}, nil},
		{"two budgets of the same pods", []string{"poddisruptionbudgets", `{metadata: {name: api, namespace: shop}, spec: {selector: {matchLabels: {app: api}}}, status: {}}`,
			"poddisruptionbudgets", `{metadata: {name: web, namespace: shop}, spec: {selector: {matchExpressions: [{key: app, operator: Exists}]}}, status: {}}`, "pods", well}, []string{"poddisruptionbudget:shop/web k8s.budget.blocks twice"}},
		{"two budgets of other pods", []string{"poddisruptionbudgets", `{metadata: {name: api, namespace: shop}, spec: {selector: {matchLabels: {app: api}}}, status: {}}`,
			"poddisruptionbudgets", `{metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}}, status: {}}`, "pods", well}, nil},
		{"a budget that waits for a pod", []string{"poddisruptionbudgets", fmt.Sprintf(budget, 1, 1, 2, "InsufficientPods", "11:30"), "pods", ill, "nodes", readyN1}, nil},
		{"a budget that has waited for long", []string{"poddisruptionbudgets", fmt.Sprintf(budget, 0, 1, 2, "InsufficientPods", "11:30"), "pods", ill},
			[]string{"poddisruptionbudget:shop/api k8s.budget.blocks unhealthy"}},
		{"a budget that waits since just now", []string{"poddisruptionbudgets", fmt.Sprintf(budget, 0, 1, 2, "InsufficientPods", "11:59"), "pods", ill}, nil},
		{"a budget that cannot be worked out", []string{"poddisruptionbudgets", fmt.Sprintf(budget, 0, 0, 0, "SyncFailed", "11:30"), "pods", well},
			[]string{"poddisruptionbudget:shop/api k8s.budget.blocks sync"}},
		{"a budget of nothing", []string{"poddisruptionbudgets", fmt.Sprintf(budget, 0, 0, 0, "InsufficientPods", "11:30")}, nil},
		{"an autoscaler that cannot set the size", []string{"horizontalpodautoscalers", fmt.Sprintf(hpa, "AbleToScale", "False", "FailedUpdateScale", "is forbidden", "11:50"), "deployments", fmt.Sprintf(deployment, "", "", "")},
			[]string{"horizontalpodautoscaler:shop/api k8s.autoscaler.stuck scale"}},
		{"one that scales something of its user's own", []string{"horizontalpodautoscalers", strings.Replace(fmt.Sprintf(hpa, "AbleToScale", "False", "FailedGetScale", "x", "11:50"), "kind: Deployment", "kind: Rollout", 1)},
			[]string{"horizontalpodautoscaler:shop/api k8s.autoscaler.stuck scale"}},
		{"an autoscaler without metrics for long", []string{"horizontalpodautoscalers", fmt.Sprintf(hpa, "ScalingActive", "False", "FailedGetResourceMetric", "no metrics returned from resource metrics API", "11:50")},
			[]string{"horizontalpodautoscaler:shop/api k8s.autoscaler.stuck metrics"}},
		{"an autoscaler whose pods are new", []string{"horizontalpodautoscalers", fmt.Sprintf(hpa, "ScalingActive", "False", "FailedGetResourceMetric", "no metrics returned from resource metrics API", "11:59")}, nil},
		{"an autoscaler whose metrics server is being replaced", []string{"horizontalpodautoscalers", strings.Replace(fmt.Sprintf(hpa, "ScalingActive", "False", "FailedGetResourceMetric", "the server is currently unable to handle the request", "11:59"), "11:59:00", "11:59:30", 1)}, nil},
		{"one whose metrics nobody serves", []string{"horizontalpodautoscalers", fmt.Sprintf(hpa, "ScalingActive", "False", "FailedGetResourceMetric", "the server is currently unable to handle the request", "11:58")}, []string{"horizontalpodautoscaler:shop/api k8s.autoscaler.stuck api"}},
		{"an autoscaler beside whom somebody else has set the size", []string{"horizontalpodautoscalers", strings.Replace(fmt.Sprintf(hpa, "AbleToScale", "False", "FailedUpdateScale", "the object has been modified", "11:59"), "11:59:00", "11:59:50", 1)}, nil},
		{"an autoscaler of what is scaled to zero", []string{"horizontalpodautoscalers", fmt.Sprintf(hpa, "ScalingActive", "False", "ScalingDisabled", "x", "11:30")}, nil},
		{"an autoscaler at its minimum", []string{"horizontalpodautoscalers", fmt.Sprintf(hpa, "ScalingLimited", "True", "TooFewReplicas", "x", "11:30")}, nil},
		{"a change that nobody takes up", []string{"deployments", fmt.Sprintf(deployment, unseen("11:58:30"), "", "")}, []string{"deployment:shop/api k8s.workload.short unseen"}},
		{"a change that was made just now", []string{"deployments", fmt.Sprintf(deployment, unseen("11:59:59"), "", "")}, nil},
		{"a change of which nobody knows when it was made", []string{"deployments", fmt.Sprintf(deployment, ", generation: 2", "", "")}, nil},
		{"a deployment that is short for long", []string{"deployments", fmt.Sprintf(deployment, "", "", `, conditions: [{type: Available, status: "False", lastTransitionTime: "2026-11-23T11:50:00Z"}]`)},
			[]string{"deployment:shop/api k8s.workload.short unavailable"}},
		{"one that is short since just now", []string{"deployments", fmt.Sprintf(deployment, "", "", `, conditions: [{type: Available, status: "False", lastTransitionTime: "2026-11-23T11:57:00Z"}]`)}, nil},
		{"one whose pods may take as long", []string{"deployments", fmt.Sprintf(deployment, "", `, template: {spec: {containers: [{name: a, startupProbe: {periodSeconds: 10, failureThreshold: 90}}]}}`,
			`, conditions: [{type: Available, status: "False", lastTransitionTime: "2026-11-23T11:50:00Z"}]`)}, nil},
		{"a paused deployment", []string{"deployments", fmt.Sprintf(deployment, "", ", paused: true", ", updatedReplicas: 0")}, []string{"deployment:shop/api k8s.workload.paused "}},
		{"a paused deployment that has nothing to roll out", []string{"deployments", fmt.Sprintf(deployment, "", ", paused: true", ", updatedReplicas: 2")}, nil},
		{"a daemon set beside its nodes", []string{"daemonsets", `{metadata: {name: a, namespace: shop}, status: {desiredNumberScheduled: 1, currentNumberScheduled: 1, numberReady: 1, numberMisscheduled: 1}}`},
			[]string{"daemonset:shop/a k8s.workload.misscheduled "}},
		{"a daemon set that is refused", []string{"daemonsets", `{metadata: {name: a, namespace: shop}, status: {desiredNumberScheduled: 2, currentNumberScheduled: 1, numberReady: 1}}`,
			"events", event("DaemonSet", "a", "FailedCreate", `Error creating: pods "a-" is forbidden: error looking up service account shop/agent: serviceaccount "agent" not found`)},
			[]string{"daemonset:shop/a k8s.workload.pods_refused service_account"}},
		{"a stateful set that was refused, and is updated since", []string{"statefulsets", `{metadata: {name: a, namespace: shop}, spec: {replicas: 2}, status: {replicas: 1, readyReplicas: 1}}`,
			"events", event("StatefulSet", "a", "FailedCreate", "create Pod a-1 in StatefulSet a failed error: pods \"a-1\" is forbidden: exceeded quota: small"),
			"pods", `{metadata: {name: a-0, namespace: shop, uid: u1, creationTimestamp: "2026-11-23T11:59:30Z", ownerReferences: [{name: a, controller: true}]}, status: {phase: Running}}`}, nil},
		{"a cron job that missed its time", []string{"cronjobs", `{metadata: {name: a, namespace: shop}, spec: {schedule: "* * * * *"}}`, "events", event("CronJob", "a", "MissSchedule", "Missed scheduled time to start a job: x")},
			[]string{"cronjob:shop/a k8s.cronjob.missed missed"}},
		{"one that started a job since", []string{"cronjobs", `{metadata: {name: a, namespace: shop}, spec: {schedule: "* * * * *"}, status: {lastScheduleTime: "2026-11-23T12:00:00Z"}}`,
			"events", event("CronJob", "a", "MissSchedule", "Missed scheduled time to start a job: x")}, nil},
		{"one that is suspended", []string{"cronjobs", `{metadata: {name: a, namespace: shop}, spec: {suspend: true}}`, "events", event("CronJob", "a", "TooManyMissedTimes", "too many")}, nil},
		{"a lost claim", []string{"persistentvolumeclaims", `{metadata: {name: a, namespace: shop}, spec: {volumeName: v}, status: {phase: Lost}}`}, []string{"volume:shop/a k8s.volume.lost lost"}},
		{"a volume that cannot be deleted", []string{"persistentvolumes", `{metadata: {name: v}, status: {phase: Failed, message: "no deleter"}}`}, []string{"persistentvolume:/v k8s.volume.lost failed"}},
		{"a volume that waits to be used again", []string{"persistentvolumes", `{metadata: {name: v}, status: {phase: Released}}`}, nil},
		{"a claim that does not grow", []string{"persistentvolumeclaims", `{metadata: {name: a, namespace: shop}, spec: {resources: {requests: {storage: 2Gi}}}, status: {phase: Bound, capacity: {storage: 1Gi},
			conditions: [{type: FileSystemResizePending, status: "True", lastTransitionTime: "2026-11-23T11:30:00Z"}]}}`}, []string{"volume:shop/a k8s.volume.resize_stuck restart"}},
		{"a driver that does not run yet on a new node", []string{"nodes", fmt.Sprintf(made, "11:57"), "pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "FailedMount", "driver name x not found in the list of registered CSI drivers")}, nil},
		{"a driver that does not run", []string{"nodes", fmt.Sprintf(made, "11:50"), "pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "FailedMount", "driver name x not found in the list of registered CSI drivers")}, []string{"pod:u1 k8s.pod.mount_failed driver"}},
		{"a network that does not run yet on a new node", []string{"nodes", fmt.Sprintf(made, "11:57"), "pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "FailedCreatePodSandBox", `plugin type="aws-cni" failed (add): connection refused`)}, nil},
		{"a node that has run out of addresses already", []string{"nodes", fmt.Sprintf(made, "11:57"), "pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "FailedCreatePodSandBox", `plugin type="aws-cni" failed (add): failed to assign an IP address to container`)}, []string{"pod:u1 k8s.pod.sandbox_failed addresses"}},
		{"a claim that is growing, for which a resizer is waited", []string{"persistentvolumeclaims", grows, "events", strings.NewReplacer("11:50:00", "11:58:00", "count: 4", "type: Warning, count: 4").Replace(event("PersistentVolumeClaim", "a", "ExternalExpanding", "waiting"))}, nil},
		{"a claim that nobody grows", []string{"persistentvolumeclaims", grows, "events", event("PersistentVolumeClaim", "a", "ExternalExpanding", "waiting")}, []string{"volume:shop/a k8s.volume.resize_stuck waits"}},
		{"a claim that is growing", []string{"persistentvolumeclaims", `{metadata: {name: a, namespace: shop}, spec: {resources: {requests: {storage: 2Gi}}}, status: {phase: Bound, capacity: {storage: 1Gi}}}`}, nil},
		{"a node that has restarted now and then, in one event that has gone on for months", []string{"nodes", readyN1, "events",
			strings.Replace(event("Node", "n1", "NodeNotReady", "Node n1 status is now: NodeNotReady"), "firstTimestamp: \"2026-11-23", "firstTimestamp: \"2026-08-23", 1)}, nil},
		{"a node that has come and gone all day", []string{"nodes", readyN1, "events", strings.NewReplacer("firstTimestamp: \"2026-11-23T11:50", "firstTimestamp: \"2026-11-23T00:00", "count: 4", "count: 36").
			Replace(event("Node", "n1", "NodeNotReady", "Node n1 status is now: NodeNotReady"))}, []string{"node:n1 k8s.node.flaps "}},
		{"a node that comes and goes", []string{"nodes", readyN1, "events", event("Node", "n1", "NodeNotReady", "Node n1 status is now: NodeNotReady")}, []string{"node:n1 k8s.node.flaps "}},
		{"a node that is not well", []string{"nodes", `{metadata: {name: n1}, status: {conditions: [{type: Ready, status: "True"}, {type: KernelDeadlock, status: "True"}, {type: ReadonlyFilesystem, status: "False"}]}}`},
			[]string{"node:n1 k8s.node.problem its kernel is stuck"}},
		{"a node that ran out of memory", []string{"nodes", readyN1, "events", event("Node", "n1", "SystemOOM", "System OOM encountered, victim process: java, pid: 4711")}, []string{"node:n1 node.oom_kill "}},
		{"a sandbox that is not made, without a word", []string{"pods", fmt.Sprintf(creating, "False")}, []string{"pod:u1 k8s.pod.sandbox_failed silent"}},
		{"an image that takes long", []string{"pods", fmt.Sprintf(creating, "True")}, nil},
		{"a pod that waits for a volume on the node that is chosen", []string{"pods", claiming, "persistentvolumeclaims", fmt.Sprintf(chosen, "a, annotations: {volume.kubernetes.io/selected-node: n1}", "11:59"),
			"storageclasses", csi}, []string{"pod:u1 k8s.pod.unschedulable volume"}},
		{"a pod that no scheduler has seen", []string{"pods", claiming, "persistentvolumeclaims", fmt.Sprintf(chosen, "a", "11:59"), "storageclasses", csi},
			[]string{"pod:u1 k8s.pod.unschedulable unnoticed"}},
		{"a volume of its own that the scheduler could not get", []string{"pods", strings.NewReplacer("persistentVolumeClaim: {claimName: a}", "name: data, ephemeral: {}", "status: {phase: Pending}",
			`status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: SchedulerError, lastTransitionTime: "2026-11-23T11:50:00Z", message: 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'}]}`).Replace(claiming),
			"persistentvolumeclaims", fmt.Sprintf(chosen, "a-data, annotations: {volume.kubernetes.io/selected-node: n1}", "11:59"), "storageclasses", csi}, []string{"pod:u1 k8s.pod.unschedulable volume"}},
		{"a claim whose provisioner has failed, and is waited for", []string{"pods", claiming, "persistentvolumeclaims", fmt.Sprintf(chosen, "a, annotations: {volume.kubernetes.io/selected-node: n1}", "11:50"), "storageclasses", csi, "events", event("PersistentVolumeClaim", "a", "ProvisioningFailed", "UnauthorizedOperation"),
			"events", strings.Replace(event("PersistentVolumeClaim", "a", "ExternalProvisioning", "Waiting for a volume to be created"), "11:59:00", "11:59:50", 1)}, []string{"pod:u1 k8s.pod.unschedulable volume", "volume:shop/a k8s.volume.unbound provisioner"}},
		{"a claim of a class whose volumes are made by hand", []string{"persistentvolumeclaims", fmt.Sprintf(chosen, "a", "11:50"), "storageclasses", `{metadata: {name: fast}, provisioner: kubernetes.io/no-provisioner}`,
			"events", event("PersistentVolumeClaim", "a", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner")}, []string{"volume:shop/a k8s.volume.unbound manual"}},
		{"a pod that a node is being made for", []string{"pods", crowded, "events", event("Pod", "a", "TriggeredScaleUp", "pod triggered scale-up")}, nil},
		{"a pod that Karpenter makes a node for", []string{"pods", crowded, "events", event("Pod", "a", "Nominated", "Pod should schedule on: nodeclaim/default-x")}, nil},
		{"a pod for which others are being ended", []string{"pods", strings.Replace(crowded, "phase: Pending", "phase: Pending, nominatedNodeName: n1", 1)}, nil},
		{"a pod that no node is made for", []string{"pods", crowded, "events", event("Pod", "a", "NotTriggerScaleUp", "max node group size reached")}, []string{"pod:u1 k8s.pod.unschedulable cpu"}},
		{"a pod for which a node has been made for too long", []string{"pods", strings.Replace(crowded, "11:58", "11:40", 1), "events", event("Pod", "a", "TriggeredScaleUp", "x")}, []string{"pod:u1 k8s.pod.unschedulable cpu"}},
		{"a redirect of AWS's load balancer", []string{"ingresses", fmt.Sprintf(ingress, "ssl-redirect", "name: use-annotation"), "ingressclasses", `{metadata: {name: web}}`}, nil},
		{"an ingress to what is not there", []string{"ingresses", fmt.Sprintf(ingress, "ssl-redirect", "number: 80"), "ingressclasses", `{metadata: {name: web}}`}, []string{"ingress:shop/web k8s.ingress.broken service"}},
		{"a headless service with a port of its own", []string{"services", strings.Replace(shopAPI, "spec: {", "spec: {clusterIP: None, ", 1), "pods", declared}, nil},
		{"a service with a port that its pods do not declare", []string{"services", shopAPI, "pods", declared}, []string{"service:shop/api k8s.service.no_endpoints number"}},
		{"a sandbox that fails after a volume that came late", []string{"pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "FailedMount", `MountVolume.SetUp failed for volume "kube-api-access-x" : failed to sync configmap cache: timed out waiting for the condition`),
			"events", strings.Replace(event("Pod", "api", "FailedCreatePodSandBox", `plugin type="calico" failed (add): connection refused`), "11:59:00", "11:59:50", 1)}, []string{"pod:u1 k8s.pod.sandbox_failed plugin_away"}},
		{"a sidecar that is not ready", []string{"pods", fmt.Sprintf(beside, "false")}, []string{"container:u1/proxy k8s.container.not_ready "}},
		{"one that is", []string{"pods", fmt.Sprintf(beside, "true")}, nil},
		{"a job whose successor runs", []string{"jobs", fmt.Sprintf(nightly, "1", "10:00", "Failed"), "jobs", fmt.Sprintf(nightly, "2", "11:00", "Suspended")}, []string{"cronjob:shop/nightly k8s.job.failed "}},
		{"a job whose successor did the work", []string{"jobs", fmt.Sprintf(nightly, "1", "10:00", "Failed"), "jobs", fmt.Sprintf(nightly, "2", "11:00", "Complete")}, nil},
		{"a job that is suspended since it was refused", []string{"jobs", `{metadata: {name: a, namespace: shop}, spec: {suspend: true}}`, "events", event("Job", "a", "FailedCreate", "exceeded quota: small")}, nil},
		{"a gateway whose listener has no certificate", []string{"gatewayclasses", `{metadata: {name: nginx}}`, "gateways", `{metadata: {name: web, namespace: shop}, spec: {gatewayClassName: nginx}, status: {conditions: [{type: Accepted, status: "True"}, {type: Programmed, status: "True"}],
			listeners: [{name: http, conditions: [{type: ResolvedRefs, status: "True"}]}, {name: https, conditions: [{type: ResolvedRefs, status: "False", reason: InvalidCertificateRef}]}]}}`}, []string{"gateway:shop/web k8s.gateway.broken refused"}},
		{"a route that is held", []string{"httproutes", `{metadata: {name: web, namespace: shop, deletionTimestamp: "2026-11-23T11:00:00Z", finalizers: [example.com/x]}}`}, []string{"httproute:shop/web k8s.object.deletion_stuck "}},
		{"a load balancer that is being taken away", []string{"services", `{metadata: {name: web, namespace: shop, deletionTimestamp: "2026-11-23T11:57:00Z", finalizers: [service.kubernetes.io/load-balancer-cleanup]}}`}, nil},
		{"a deployment that goes when its pods have gone", []string{"deployments", leavingSet, "pods", fmt.Sprintf(leaves, "12:02")}, nil},
		{"one whose pods should have gone", []string{"deployments", leavingSet, "pods", fmt.Sprintf(leaves, "11:59")}, []string{"deployment:shop/api k8s.object.deletion_stuck "}},
		{"a claim that goes when its pod has gone", []string{"persistentvolumeclaims", `{metadata: {name: a, namespace: shop, deletionTimestamp: "2026-11-23T11:57:00Z", finalizers: [kubernetes.io/pvc-protection]}}`, "pods", fmt.Sprintf(leaves, "12:02")}, nil},
		{"a cron job whose job runs on", []string{"cronjobs", `{metadata: {name: a, namespace: shop}, spec: {concurrencyPolicy: Forbid}, status: {active: [{name: a-1}]}}`, "events", event("CronJob", "a", "JobAlreadyActive", "Not starting job")},
			[]string{"cronjob:shop/a k8s.cronjob.missed active"}},
		{"a cron job whose job took longer once", []string{"cronjobs", `{metadata: {name: a, namespace: shop}, spec: {concurrencyPolicy: Forbid}, status: {active: [{name: a-1}]}}`, "events", strings.Replace(event("CronJob", "a", "JobAlreadyActive", "Not starting job"), "count: 4", "count: 1", 1)}, nil},
		{"a cron job whose job has ended since", []string{"cronjobs", `{metadata: {name: a, namespace: shop}, spec: {concurrencyPolicy: Forbid}}`, "events", event("CronJob", "a", "JobAlreadyActive", "Not starting job")}, nil},
		{"a node that was emptied and restarts", []string{"nodes", strings.Replace(fmt.Sprintf(away, "node.kubernetes.io/unschedulable", "11:58"), "spec: {", "spec: {unschedulable: true, ", 1)}, nil},
		{"one that does not come back", []string{"nodes", strings.Replace(fmt.Sprintf(away, "node.kubernetes.io/unschedulable", "11:50"), "spec: {", "spec: {unschedulable: true, ", 1)}, []string{"node:n1 k8s.node.not_ready silent"}},
		{"a service whose pod starts for the first time", []string{"services", shopAPI, "pods", fmt.Sprintf(starts, "11:58", 0)}, nil},
		{"one whose pod has failed to start before", []string{"services", shopAPI, "pods", fmt.Sprintf(starts, "11:58", 1)}, []string{"service:shop/api k8s.service.no_endpoints not_ready"}},
		{"one whose pod should have started", []string{"services", shopAPI, "pods", fmt.Sprintf(starts, "11:50", 0)}, []string{"service:shop/api k8s.service.no_endpoints not_ready"}},
		{"an ingress of GKE that is being made", []string{"ingresses", fmt.Sprintf(classless, "11:57")}, nil},
		{"an ingress that nobody takes", []string{"ingresses", fmt.Sprintf(classless, "11:50")}, []string{"ingress:shop/web k8s.ingress.broken no_class"}},
		{"a pod that its node refuses for want of a disk", []string{"pods", `{metadata: {name: a, namespace: shop, uid: u1, ownerReferences: [{kind: ReplicaSet, name: a, controller: true}]}, spec: {nodeName: n1}, status: {phase: Failed, reason: OutOfephemeral-storage}}`},
			[]string{"pod:u1 k8s.pod.failed refused"}},
		{"a service to a container that declares nothing, beside a proxy", []string{"services", shopAPI, "pods", strings.Replace(declared, "containers: [", "containers: [{name: app}, ", 1)}, nil},
		{"a node that joins, and has no route yet", []string{"nodes", fmt.Sprintf(routeless, "11:59")}, nil},
		{"one that gets none", []string{"nodes", fmt.Sprintf(routeless, "11:50")}, []string{"node:n1 k8s.node.problem its pod network has no route"}},
		{"a runtime class that the node does not know", []string{"pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "FailedCreatePodSandBox", `Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "kata" is configured`)},
			[]string{"pod:u1 k8s.pod.sandbox_failed runtime_class"}},
		{"a network that is not ready", []string{"pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "NetworkNotReady", "network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized")},
			[]string{"pod:u1 k8s.pod.sandbox_failed no_network"}},
		{"an image that takes long, of a pod whose secret came late", []string{"pods", fmt.Sprintf(creating, "True"), "events", event("Pod", "api", "FailedMount", `MountVolume.SetUp failed for volume "tls" : secret "tls" not found`)}, nil},
		{"an image that takes long, of a pod whose network came late", []string{"pods", fmt.Sprintf(creating, "True"), "events", event("Pod", "api", "FailedCreatePodSandBox", "plugin type=\"calico\" failed (add): connection refused")}, nil},
		{"a share that does not answer", []string{"pods", fmt.Sprintf(creating, "False"), "events", event("Pod", "api", "FailedMount", `MountVolume.SetUp failed for volume "nfs" : mount failed: exit status 32 Output: mount.nfs: Connection timed out`)},
			[]string{"pod:u1 k8s.pod.mount_failed unreachable"}},
		{"a service account that is named and not there", []string{"replicasets", `{metadata: {name: a, namespace: shop}, status: {conditions: [{type: ReplicaFailure, status: "True", message: 'pods "a-" is forbidden: error looking up service account shop/a: serviceaccount "a" not found'}]}}`},
			[]string{"replicaset:shop/a k8s.workload.pods_refused service_account"}},
		{"a pod that its node refuses", []string{"pods", `{metadata: {name: a, namespace: shop, uid: u1, ownerReferences: [{kind: ReplicaSet, name: a, controller: true}]}, spec: {nodeName: n1}, status: {phase: Failed, reason: OutOfcpu, message: "Node didn't have enough resource: cpu"}}`},
			[]string{"pod:u1 k8s.pod.failed refused"}},
		{"one that its workload replaced", []string{"pods", `{metadata: {name: a, namespace: shop, uid: u1, ownerReferences: [{kind: ReplicaSet, name: a, controller: true}]}, spec: {nodeName: n1}, status: {phase: Failed, reason: NodeShutdown}}`}, nil},
		{"a failed request for a certificate", []string{"certificatesigningrequests", `{metadata: {name: r}, spec: {signerName: s}, status: {conditions: [{type: Approved, status: "True"}, {type: Failed, status: "True", message: m}]}}`},
			[]string{"certificatesigningrequest:/r k8s.certificate_request.waits failed"}},
		{"one that was denied", []string{"certificatesigningrequests", `{metadata: {name: r}, spec: {signerName: s}, status: {conditions: [{type: Denied, status: "True"}]}}`}, nil},
		{"a gateway whose class is not there", []string{"gateways", `{metadata: {name: web, namespace: shop}, spec: {gatewayClassName: nginxx}}`, "gatewayclasses", `{metadata: {name: nginx}}`},
			[]string{"gateway:shop/web k8s.gateway.broken class"}},
		{"a class that nobody takes, and its gateway", []string{"gateways", `{metadata: {name: web, namespace: shop}, spec: {gatewayClassName: nginx}, status: {conditions: [{type: Accepted, status: Unknown, reason: Pending}]}}`,
			"gatewayclasses", `{metadata: {name: nginx}, status: {conditions: [{type: Accepted, status: Unknown, reason: Pending, message: Waiting for controller, lastTransitionTime: "2026-11-23T11:00:00Z"}]}}`},
			[]string{"gateway:shop/web k8s.gateway.broken untaken", "gatewayclass:/nginx k8s.gateway.broken untaken"}},
		{"a gateway that is served", []string{"gateways", `{metadata: {name: web, namespace: shop}, spec: {gatewayClassName: nginx}, status: {conditions: [{type: Accepted, status: "True"}, {type: Programmed, status: "True"}]}}`,
			"gatewayclasses", `{metadata: {name: nginx}, status: {conditions: [{type: Accepted, status: "True"}]}}`}, nil},
		{"a route that its gateway refuses", []string{"gateways", `{metadata: {name: web, namespace: shop}, spec: {gatewayClassName: nginx}}`, "gatewayclasses", `{metadata: {name: nginx}}`,
			"httproutes", `{metadata: {name: web, namespace: shop}, spec: {parentRefs: [{name: web}]}, status: {parents: [{parentRef: {name: web}, conditions: [{type: Accepted, status: "True"}, {type: ResolvedRefs, status: "False", reason: RefNotPermitted}]}]}}`},
			[]string{"httproute:shop/web k8s.gateway.broken refused"}},
		{"a route to what is not there", []string{"httproutes", `{metadata: {name: web, namespace: shop}, spec: {parentRefs: [{name: web}]}}`}, []string{"httproute:shop/web k8s.gateway.broken gateway"}},
		{"a route to pods that are not ready", []string{"gateways", `{metadata: {name: web, namespace: shop}, spec: {gatewayClassName: nginx}}`, "gatewayclasses", `{metadata: {name: nginx}}`, "services", shopAPI, "pods", ill,
			"httproutes", `{metadata: {name: web, namespace: shop}, spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: api, port: 80}]}]}}`},
			[]string{"httproute:shop/web k8s.gateway.broken endpoints", "service:shop/api k8s.service.no_endpoints not_ready"}},
		{"an init container that runs on", []string{"pods", fmt.Sprintf(migrating, "11:56")}, []string{"container:u1/i k8s.container.init_runs "}},
		{"an init container for which a workload is short", []string{"pods", fmt.Sprintf(migrating, "11:54")}, []string{"container:u1/i k8s.container.init_runs late"}},
		{"an init container that failed and then succeeded", []string{"pods", fmt.Sprintf(initialised, "", done)}, nil},
		{"an init container that failed last", []string{"pods", fmt.Sprintf(initialised, "", "{waiting: {reason: CrashLoopBackOff}}")},
			[]string{"container:u1/i k8s.container.crash_loop signal", "container:u1/i k8s.container.oom_killed "}},
		{"a container that ended once, after weeks, and now and then before", ended("11:55:00", "2026-11-01T00:00:00Z"), nil},
		{"a container that runs for half an hour each time", ended("11:55:00", "2026-11-23T11:25:00Z"), []string{"container:u1/a k8s.container.crash_loop exit"}},
		{"a node that an autoscaler takes away", []string{"nodes", fmt.Sprintf(away, "ToBeDeletedByClusterAutoscaler", "11:58")}, nil},
		{"one that it does not get rid of", []string{"nodes", fmt.Sprintf(away, "karpenter.sh/disrupted", "11:50")}, []string{"node:n1 k8s.node.not_ready silent"}},
		{"one that went by itself", []string{"nodes", fmt.Sprintf(away, "gpu", "11:58")}, []string{"node:n1 k8s.node.not_ready silent"}},
		{"a sidecar that ends", []string{"pods", fmt.Sprintf(initialised, ", restartPolicy: Always", done)}, []string{"container:u1/i k8s.container.crash_loop completed"}},
		{"the container of a job that failed and then succeeded", []string{"pods", fmt.Sprintf(worked, "OnFailure")}, nil},
		{"a server that ends", []string{"pods", fmt.Sprintf(worked, "Always")}, []string{"container:u1/a k8s.container.crash_loop completed"}},
		{"a container that a probe restarted just now", probed("true", "11:58:00", "11:58:02"), []string{"container:u1/a k8s.container.probe_killed "}},
		{"one that has been well since", probed("true", "11:48:00", "11:48:02"), nil},
		{"one that does not get ready since", probed("false", "11:48:00", "11:48:02"), []string{"container:u1/a k8s.container.probe_killed "}},
		{"a sidecar that runs on", []string{"pods", `{metadata: {name: a, namespace: shop, uid: u1}, spec: {nodeName: n1, initContainers: [{name: proxy, restartPolicy: Always}]}, status: {phase: Running,
			initContainerStatuses: [{name: proxy, state: {running: {startedAt: "2026-11-23T10:00:00Z"}}}]}}`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for name, s := range tell(seen(t, tt.objects...)) {
				got = append(got, name+" "+s.Attributes["problem"])
			}
			slices.Sort(got)
			assert.Equal(t, tt.want, got)
		})
	}
}

// An operator that makes another pod the first takes a label off the one before: the service selects none for a moment. Since when it has,
// the service does not say.
func TestServiceWithoutPodsForAMoment(t *testing.T) {
	c := seen(t, "services", shopAPI)
	told := func(after time.Duration) (found []signal.Signal) {
		c.Signals(now.Add(after), func(b signal.Batch) { found = append(found, b.Signals...) })
		return found
	}
	c.Observe(logs(t, "pods", "", fmt.Sprintf(apiPod, "True")))
	assert.Empty(t, told(0))
	c.Observe(logs(t, "pods", "DELETED", fmt.Sprintf(apiPod, "True")))
	assert.Empty(t, told(5*time.Second))
	if late := told(time.Minute); assert.Len(t, late, 1) {
		assert.Equal(t, 60.0, late[0].Value)
	}
	c.Observe(logs(t, "services", "DELETED", shopAPI))
	assert.Empty(t, told(time.Minute))
	assert.Empty(t, c.selecting)
}

// Since when a workload is short, its pods say. Where none does, nobody knows: it is not since the workload was made.
func TestSinceWhenAWorkloadIsShort(t *testing.T) {
	db := `{metadata: {name: db, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {replicas: 3, selector: {matchLabels: {app: db}}},
		status: {replicas: %d, readyReplicas: 2}}`
	agent := `{metadata: {name: db, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {selector: {matchLabels: {app: db}}},
		status: {desiredNumberScheduled: 3, currentNumberScheduled: 3, numberReady: 1}}`
	pod := func(name, more, conditions string) string {
		return `{metadata: {name: ` + name + `, namespace: shop, uid: ` + name + `, labels: {app: db}, creationTimestamp: "2026-11-23T11:50:00Z", ownerReferences: [{name: db, controller: true}]` + more + `},
			spec: {nodeName: n1}, status: {phase: Running, conditions: [` + conditions + `]}}`
	}
	ready := func(is, since string) string {
		return `{type: Ready, status: "` + is + `", lastTransitionTime: "` + since + `"}`
	}
	well := ready("True", "2026-11-01T00:00:00Z")
	leaving := func(at string) string { return `, deletionTimestamp: "2026-11-23T` + at + `Z"` }
	const sts, ds = "statefulsets", "daemonsets"
	for _, tt := range []struct {
		name, kind, set string
		pods            []string
		since           time.Duration // 0: nothing is told
		waits           string
	}{
		{"a pod that is replaced", sts, fmt.Sprintf(db, 3), []string{pod("db-0", "", well), pod("db-1", "", well), pod("db-2", leaving("12:00:20"), well)}, 0, ""},
		{"a pod that is gone and not made again yet", sts, fmt.Sprintf(db, 2), []string{pod("db-0", "", well), pod("db-1", "", well)}, 0, ""},
		{"a pod that does not go", sts, fmt.Sprintf(db, 3), []string{pod("db-0", "", well), pod("db-1", "", well), pod("db-2", leaving("11:40:00"), well)}, 20 * time.Minute, ""},
		{"a pod that the kubelet has said nothing of", sts, fmt.Sprintf(db, 3), []string{pod("db-0", "", well), pod("db-1", "", well), pod("db-2", "", "")}, 10 * time.Minute, ""},
		{"a pod that keeps the next one waiting", sts, fmt.Sprintf(db, 2), []string{pod("db-0", "", well), pod("db-1", "", ready("False", "2026-11-23T11:00:00Z"))}, time.Hour, "db-1"},
		{"pods of which the second waits, not the tenth", sts, fmt.Sprintf(db, 2), []string{pod("db-10", "", ready("False", "2026-11-23T11:00:00Z")), pod("db-2", "", ready("False", "2026-11-23T11:00:00Z"))}, time.Hour, "db-2"},
		{"a pod that is not ready since just now", sts, fmt.Sprintf(db, 3), []string{pod("db-2", "", ready("False", "2026-11-23T11:59:00Z"))}, 0, ""},
		{"a pod for long, and another since just now", ds, agent, []string{pod("db-0", "", ready("False", "2026-11-20T12:00:00Z")), pod("db-1", "", ready("False", "2026-11-23T11:59:00Z"))}, 72 * time.Hour, ""},
		{"pods that are replaced", ds, agent, []string{pod("db-0", leaving("12:00:20"), well), pod("db-1", "", ready("False", "2026-11-23T11:59:00Z"))}, 0, ""},
		{"a pod that is another's", sts, fmt.Sprintf(db, 3), []string{strings.Replace(pod("x", "", ready("False", "2026-11-20T12:00:00Z")), "name: db, controller", "name: other, controller", 1)}, 0, ""},
	} {
		objects := []string{tt.kind, tt.set}
		for _, p := range tt.pods {
			objects = append(objects, "pods", p)
		}
		s := tell(seen(t, objects...))[strings.TrimSuffix(tt.kind, "s")+":shop/db "+signal.WorkloadShort]
		assert.Equal(t, tt.since, time.Duration(s.Value)*time.Second, tt.name)
		assert.Equal(t, tt.waits, s.Attributes["waits_for"], tt.name)
	}
}

// Of one namespace only it is not known what the others have: nothing is claimed of them.
func TestScope(t *testing.T) {
	objects := []string{"validatingwebhookconfigurations", `{metadata: {name: guard}, webhooks: [{name: g.example, clientConfig: {service: {name: guard, namespace: other}}}]}`,
		"services", `{metadata: {name: db, namespace: shop}, spec: {type: ExternalName, externalName: db.other.svc.cluster.local}}`,
		"namespaces", `{metadata: {name: other, deletionTimestamp: "2026-11-23T10:00:00Z"}, spec: {finalizers: [kubernetes]}, status: {phase: Terminating}}`}
	assert.Len(t, tell(seen(t, objects...)), 3)
	c := seen(t, objects...)
	c.Within("shop")
	assert.Empty(t, tell(c))
}

// Of what is in no namespace, little concerns one.
func TestConcerns(t *testing.T) {
	c := seen(t, "pods", `{metadata: {name: api, namespace: shop, uid: u1}, spec: {nodeName: n1}}`,
		"persistentvolumes", `{metadata: {name: pv1}, spec: {claimRef: {namespace: shop, name: data}}}`, "persistentvolumes", `{metadata: {name: pv2}, spec: {claimRef: {namespace: other, name: data}}}`)
	all := []finding.Entity{{Kind: "Pod", Namespace: "shop", Name: "api"}, {Kind: "Namespace", Name: "shop"}, {Kind: "Node", Name: "n1"}, {Kind: "PersistentVolume", Name: "pv1"},
		{Kind: "Namespace", Name: "other"}, {Kind: "Node", Name: "n2"}, {Kind: "PersistentVolume", Name: "pv2"}, {Kind: "APIService", Name: "v1beta1.metrics.k8s.io"}}
	for i, e := range all {
		c.Within("")
		assert.True(t, c.Concerns()(e), "%s %s, where all are looked at", e.Kind, e.Name)
		c.Within("shop")
		assert.Equal(t, i < 4, c.Concerns()(e), "%s %s", e.Kind, e.Name)
	}
}

// What is in no namespace matters to those of the pods on a node, and of the claim of a volume.
func TestSpaces(t *testing.T) {
	c := seen(t, "pods", `{metadata: {name: web, namespace: shop, uid: u1}, spec: {nodeName: n1}}`, "pods", `{metadata: {name: api, namespace: shop, uid: u2}, spec: {nodeName: n1}}`,
		"pods", `{metadata: {name: post, namespace: blog, uid: u3}, spec: {nodeName: n1}}`, "pods", `{metadata: {name: waits, namespace: blog, uid: u4}}`,
		"persistentvolumes", `{metadata: {name: pv1}, spec: {claimRef: {namespace: shop, name: data}}}`, "persistentvolumes", `{metadata: {name: free}}`)
	assert.Equal(t, map[causes.Ref][]string{{Kind: "Node", Name: "n1"}: {"blog", "shop"}, {Kind: "PersistentVolume", Name: "pv1"}: {"shop"}}, c.Spaces())
}

// A cluster of three nodes or more is expected to outlive one.
func TestCapacity(t *testing.T) {
	for _, tt := range []struct {
		nodes int
		asks  string
		want  string
	}{{3, "3Gi", "112"}, {3, "2Gi", ""}, {2, "3Gi", ""}} {
		c := seen(t)
		for i := range tt.nodes {
			c.Observe(logs(t, "nodes", "", fmt.Sprintf(`{metadata: {name: n%d}, status: {allocatable: {memory: 4Gi, cpu: "4"}, conditions: [{type: Ready, status: "True"}]}}`, i)))
			c.Observe(logs(t, "pods", "", fmt.Sprintf(`{metadata: {name: p%d, namespace: shop, uid: u%d}, spec: {nodeName: n%d, containers: [{name: a, resources: {requests: {memory: %s, cpu: 100m}}}]}, status: {phase: Running}}`, i, i, i, tt.asks)))
		}
		assert.Equal(t, tt.want, tell(c)["cluster:/cluster "+signal.Overcommitted].Attributes["percent"])
	}
}

// Nodes that are kept for some pods, such as those of the control plane, have no room for the others.
func TestCapacityApart(t *testing.T) {
	c := seen(t)
	for i := range 6 {
		taints := ""
		if i < 3 {
			taints = "{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}"
		} else {
			c.Observe(logs(t, "pods", "", fmt.Sprintf(`{metadata: {name: p%d, namespace: shop, uid: u%d}, spec: {nodeName: n%d, containers: [{name: a, resources: {requests: {memory: 3Gi}}}]}, status: {phase: Running}}`, i, i, i)))
		}
		c.Observe(logs(t, "nodes", "", fmt.Sprintf(`{metadata: {name: n%d}, spec: {taints: [%s]}, status: {allocatable: {memory: 4Gi, cpu: "4"}, conditions: [{type: Ready, status: "True"}]}}`, i, taints)))
	}
	facts := tell(c)["cluster:/cluster "+signal.Overcommitted].Attributes
	assert.Equal(t, "112 3", facts["percent"]+" "+facts["nodes"])
}

// Of a node that is tainted the scheduler does not say whether it has the labels that a pod asks for.
func TestTaintOrSelector(t *testing.T) {
	pod := `{metadata: {name: a, namespace: shop, uid: u1}, spec: {%s}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, lastTransitionTime: "2026-11-23T11:50:00Z",
		message: "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: true}, 2 node(s) didn't match Pod's node affinity/selector."}]}}`
	node := `{metadata: {name: n1, labels: {disk: ssd, gpu: "yes"}}, spec: {taints: [{key: gpu, effect: NoSchedule}]}, status: {conditions: [{type: Ready, status: "True"}]}}`
	for spec, want := range map[string]string{
		`nodeSelector: {gpu: "yes"}`: "taint",
		`nodeSelector: {disk: nvme}`: "selector",
		`affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: gpu, operator: Exists}]}]}}}`:               "taint",
		`affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: arch, operator: In, values: [arm64]}]}]}}}`: "selector",
	} {
		assert.Equal(t, want, tell(seen(t, "nodes", node, "pods", fmt.Sprintf(pod, spec)))["pod:u1 "+signal.Unschedulable].Attributes["problem"], spec)
	}
}

// A pod of a DaemonSet is for one node only: that the others are not it is not why it waits.
func TestOnlyNode(t *testing.T) {
	facts := tell(seen(t, "pods", `{metadata: {name: a, namespace: shop, uid: u1}, spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [n3]}]}]}}}},
		status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, lastTransitionTime: "2026-11-23T11:50:00Z", message: "0/5 nodes are available: 1 Insufficient cpu, 4 node(s) didn't match Pod's node affinity/selector."}]}}`))["pod:u1 "+signal.Unschedulable].Attributes
	assert.Equal(t, "cpu n3", facts["problem"]+" "+facts["only"])
}

// Its kubelet writes how a node is every five minutes where nothing changes: the node has been away since its controller says so.
func TestNodeIsAwaySince(t *testing.T) {
	s := tell(seen(t, "nodes", `{metadata: {name: n1}, status: {conditions: [{type: Ready, status: Unknown, lastHeartbeatTime: "2026-11-23T11:53:00Z", lastTransitionTime: "2026-11-23T11:58:00Z"}]}}`))["node:n1 "+signal.NodeNotReady]
	assert.Equal(t, 120.0, s.Value)
}

// Services are made for pods that there need not be: for an operator's replicas, and for scraping a control plane. One that was misspelt
// resembles what there is, and one that had pods, or that somebody calls, should have some.
func TestSpareServices(t *testing.T) {
	service := `{metadata: {name: db-ro, namespace: shop%s}, spec: {selector: {cluster: db, role: replica}%s}}`
	primary := `{metadata: {name: db-1, namespace: shop, uid: u1, labels: {cluster: db, role: primary}}, spec: {nodeName: n1}, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`
	caller := `{metadata: {name: web, namespace: shop, uid: u2}, spec: {nodeName: n1, containers: [{name: web, env: [{name: DB_HOST, value: db-ro}]}]}, status: {phase: Running}}`
	const owned, headless = ", ownerReferences: [{kind: Cluster, name: db, controller: true}]", ", clusterIP: None"
	for _, tt := range []struct {
		name, want string
		objects    []string
	}{
		{"an operator's", "true", []string{"services", fmt.Sprintf(service, owned, ""), "pods", primary}},
		{"an operator's that is called", "", []string{"services", fmt.Sprintf(service, owned, ""), "pods", primary, "pods", caller}},
		{"one of a chart", "", []string{"services", fmt.Sprintf(service, "", ""), "pods", primary}},
		{"a headless one of what is not there", "true", []string{"services", fmt.Sprintf(service, "", headless)}},
		{"a headless one that is misspelt", "", []string{"services", fmt.Sprintf(service, "", headless), "pods", primary}},
	} {
		s, told := tell(seen(t, tt.objects...))["service:shop/db-ro "+signal.NoEndpoints]
		assert.True(t, told, tt.name)
		assert.Equal(t, tt.want, s.Attributes["spare"], tt.name)
	}
	c := seen(t, "services", fmt.Sprintf(service, owned, ""), "pods", strings.Replace(primary, "primary", "replica", 1))
	assert.Empty(t, tell(c))
	c.Observe(logs(t, "pods", "", primary))
	c.Signals(now.Add(time.Hour), func(b signal.Batch) { assert.Empty(t, b.Signals[0].Attributes["spare"], "it had one") })
}

// The Gateway API has conditions be of 1970 until a controller sets them.
func TestUntakenSince(t *testing.T) {
	s := tell(seen(t, "gatewayclasses", `{metadata: {name: nginx, creationTimestamp: "2026-11-23T11:50:00Z"}, status: {conditions: [{type: Accepted, status: Unknown, reason: Pending, lastTransitionTime: "1970-01-01T00:00:00Z"}]}}`))
	assert.Equal(t, 600.0, s["gatewayclass:/nginx "+signal.GatewayBroken].Value)
}

// Istio has its proxy ask in place of the kubelet, at another port.
func TestUndeclared(t *testing.T) {
	for path, want := range map[string]string{"/ready": "8080", "/app-health/api/readyz": ""} {
		spec := of(map[string]any{"ports": []any{map[string]any{"containerPort": 8080.0}}})
		assert.Equal(t, want, undeclared(spec, of(map[string]any{"httpGet": map[string]any{"path": path, "port": 15020.0}})), path)
	}
}

// A StatefulSet that was changed does not replace a pod that is not ready: whoever changed it has to delete that.
func TestOutdated(t *testing.T) {
	pod := strings.NewReplacer("kind: ReplicaSet, name: api-7d4", "kind: StatefulSet, name: api", "pod-template-hash: 7d4", "controller-revision-hash: api-1").Replace(crashing)
	for set, want := range map[string]string{
		`{metadata: {name: api, namespace: shop}, status: {updateRevision: api-2}}`:                                                          "true",
		`{metadata: {name: api, namespace: shop}, status: {updateRevision: api-1}}`:                                                          "",
		`{metadata: {name: api, namespace: shop}, spec: {podManagementPolicy: Parallel}, status: {updateRevision: api-2}}`:                   "",
		`{metadata: {name: api, namespace: shop}, spec: {updateStrategy: {rollingUpdate: {partition: 3}}}, status: {updateRevision: api-2}}`: "",
	} {
		assert.Equal(t, want, tell(seen(t, "statefulsets", set, "pods", pod))["container:u1/api "+signal.CrashLoop].Attributes["outdated"], set)
	}
}

// What a pod asks a node for, as the scheduler reckons.
func TestRequested(t *testing.T) {
	asks := func(name, memory, more string) string {
		return `{name: ` + name + `, resources: {requests: {memory: ` + memory + `}}` + more + `}`
	}
	const sidecar = ", restartPolicy: Always"
	for _, tt := range []struct {
		name, spec string
		mebi       float64
	}{
		{"containers together", `containers: [` + asks("a", "3Mi", "") + `, ` + asks("b", "2Mi", "") + `]`, 5},
		{"or the init container that asks for most", `initContainers: [` + asks("i", "9Mi", "") + `], containers: [` + asks("a", "3Mi", "") + `]`, 9},
		{"with sidecars", `initContainers: [` + asks("s", "2Mi", sidecar) + `, ` + asks("i", "4Mi", "") + `], containers: [` + asks("a", "3Mi", "") + `]`, 6},
		{"with sidecars that start later", `initContainers: [` + asks("i", "4Mi", "") + `, ` + asks("s", "2Mi", sidecar) + `], containers: [` + asks("a", "3Mi", "") + `]`, 5},
		{"as a whole", `resources: {requests: {memory: 20Mi}}, containers: [` + asks("a", "3Mi", "") + `]`, 20},
		{"with what its runtime takes", `overhead: {memory: 10Mi}, containers: [` + asks("a", "3Mi", "") + `]`, 13},
	} {
		var o map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(`{spec: {`+tt.spec+`}}`), &o))
		assert.Equal(t, tt.mebi*(1<<20), requested(of(o), "memory"), tt.name)
	}
}

// A pod that waits because another one of its workload was ended for a pod of higher priority says so.
func TestPreempted(t *testing.T) {
	c := seen(t, "pods", `{metadata: {name: api-7d4-new, generateName: api-7d4-, namespace: shop, uid: u1}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable,
		lastTransitionTime: "2026-11-23T11:50:00Z", message: "0/2 nodes are available: 2 Insufficient cpu."}]}}`, "pods", `{metadata: {name: vip, namespace: top, uid: 8d21}, spec: {nodeName: n1}, status: {phase: Running}}`,
		"events", `{metadata: {name: e, uid: e1}, reason: Preempted, note: "Preempted by pod 8d21 on node n1", eventTime: "2026-11-23T11:49:00Z", regarding: {kind: Pod, name: api-7d4-old, namespace: shop, uid: u0}}`)
	facts := tell(c)["pod:u1 "+signal.Unschedulable].Attributes
	assert.Equal(t, "api-7d4-old top/vip", facts["preempted"]+" "+facts["preemptor"])
}

// The scheduler of 1.37 names no taints: the nodes have them.
func TestTaints(t *testing.T) {
	node := func(name, taint string) string {
		return `{metadata: {name: ` + name + `}, spec: {taints: [` + taint + `]}, status: {conditions: [{type: Ready, status: "True"}]}}`
	}
	pending := func(tolerations string) string {
		return `{metadata: {name: api, namespace: shop, uid: u1}, spec: {tolerations: [` + tolerations + `]}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable,
			lastTransitionTime: "2026-11-23T11:50:00Z", message: "0/2 nodes are available: 2 node(s) had untolerated taint(s)."}]}}`
	}
	gpu, away, cordoned := `{key: gpu, value: "yes", effect: NoSchedule}`, `{key: node.kubernetes.io/unreachable, effect: NoSchedule}`, `{key: node.kubernetes.io/unschedulable, effect: NoSchedule}`
	for want, nodes := range map[string][]string{"taint gpu=yes:NoSchedule": {gpu, gpu}, "unready ": {away, away}, "cordoned ": {cordoned, cordoned}} {
		s := tell(seen(t, "nodes", node("n1", nodes[0]), "nodes", node("n2", nodes[1]), "pods", pending("")))["pod:u1 "+signal.Unschedulable]
		assert.Equal(t, want, s.Attributes["problem"]+" "+s.Attributes["taints"])
	}
	s := tell(seen(t, "nodes", node("n1", gpu+", {key: zone, effect: NoExecute}"), "pods", pending("{key: gpu, operator: Exists}")))["pod:u1 "+signal.Unschedulable]
	assert.Equal(t, "zone:NoExecute", s.Attributes["taints"], "only what it does not tolerate")
	full := strings.Replace(pending(""), "2 node(s) had untolerated taint(s)", "1 Insufficient cpu, 2 node(s) had untolerated taint(s)", 1)
	for want, taint := range map[string]string{"unready": away, "cpu": gpu} { // two nodes are away, or not meant for it
		s := tell(seen(t, "nodes", node("n1", taint), "nodes", node("n2", taint), "nodes", node("n3", ""), "pods", full))["pod:u1 "+signal.Unschedulable]
		assert.Equal(t, want, s.Attributes["problem"])
	}
	links := seen(t, "nodes", strings.Replace(node("n1", away), `"True"`, "Unknown", 1), "pods", pending("")).Links()
	assert.Equal(t, []causes.Ref{{Kind: "Node", Name: "n1"}}, links[causes.Ref{Kind: "Pod", Namespace: "shop", Name: "api"}])
}

// Hosts in texts are known by what stands around them.
func TestCalled(t *testing.T) {
	for text, want := range map[string]string{
		"until nslookup mydb; do sleep 2; done":            "shop/mydb",
		"nc -z -w 2 db.data.svc.cluster.local 5432":        "data/db",
		"wget -O- http://backend:80 -T 5":                  "shop/backend",
		"postgres://app:pw@db.data:5432/app":               "data/db",
		"dial tcp: connect db:5432: connection refused":    "shop/db",
		"redis://cache/0":                                  "shop/cache",
		"https://api.example.com/v1":                       "",
		"http://localhost:8080":                            "",
		"dial tcp 10.96.4.7:5432: connect: refused":        "",
		"12:30:01 starting, took 00:15":                    "",
		"the message of the day is: db is not what it was": "",
		"until curl http://backend; do sleep 1; done":      "shop/backend",
		"ping -c 1 db":                                     "shop/db",
		"until redis-cli -h cache ping; do sleep 1; done":  "shop/cache",
		"pg_isready -U app -h db.data":                     "data/db",
		"dial tcp: lookup db on 10.96.0.10:53: no such":    "shop/db",
		"[[ $(hostname) =~ -([0-9]+)$ ]] || exit 1":        "",
		"/opt/wait-hosts.sh && cp redis-headless.conf /x":  "",
		"chown -R mysql:999 /var/lib/mysql":                "",
	} {
		var got []string
		for _, k := range called(text, "shop") {
			got = append(got, k.namespace+"/"+k.name)
		}
		assert.Equal(t, want, strings.Join(slices.Compact(got), " "), text)
	}
}

// A policy is told only where it surely keeps out who surely connects.
func TestPolicies(t *testing.T) {
	client := `{metadata: {name: web-1, namespace: %s, labels: {app: web}}, spec: {nodeName: n1, containers: [{name: web, args: ["--api=http://api.shop:80"]}]}, status: {phase: Running}}`
	policy := `{metadata: {name: guard, namespace: shop}, spec: {podSelector: {matchLabels: {app: api}}, policyTypes: [%s], ingress: %s}}`
	for host, want := range map[string]int{"false": 1, "true": 0} { // policies leave pods of the host's network alone
		server := strings.Replace(fmt.Sprintf(apiPod, "True"), "nodeName", "hostNetwork: "+host+", nodeName", 1)
		assert.Len(t, tell(seen(t, "services", shopAPI, "pods", server, "pods", fmt.Sprintf(client, "shop"), "networkpolicies", fmt.Sprintf(policy, "Ingress", "[]"))), want)
		other := strings.Replace(fmt.Sprintf(client, "shop"), "nodeName", "hostNetwork: "+host+", nodeName", 1)
		assert.Len(t, tell(seen(t, "services", shopAPI, "pods", fmt.Sprintf(apiPod, "True"), "pods", other, "networkpolicies", fmt.Sprintf(policy, "Ingress", "[]"))), want)
	}
	for _, tt := range []struct {
		name, types, from, space string
		told                     bool
	}{
		{"another label", "Ingress", `[{from: [{podSelector: {matchLabels: {app: admin}}}]}]`, "shop", true},
		{"nobody", "Ingress", `[]`, "shop", true},
		{"its label", "Ingress", `[{from: [{podSelector: {matchLabels: {app: web}}}]}]`, "shop", false},
		{"its label, in another namespace", "Ingress", `[{from: [{podSelector: {matchLabels: {app: web}}}]}]`, "front", true},
		{"its namespace", "Ingress", `[{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}}]}]`, "front", false},
		{"another port", "Ingress", `[{ports: [{port: 9090}]}]`, "shop", true},
		{"the port", "Ingress", `[{ports: [{port: 8080}]}]`, "shop", false},
		{"a range with the port", "Ingress", `[{ports: [{port: 8000, endPort: 9000}]}]`, "shop", false},
		{"addresses, which may be its", "Ingress", `[{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]`, "shop", false},
		{"all", "Ingress", `[{}]`, "shop", false},
		{"only what goes out", "Egress", `[]`, "shop", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := tell(seen(t, "services", shopAPI, "pods", fmt.Sprintf(apiPod, "True"), "pods", fmt.Sprintf(client, tt.space), "networkpolicies", fmt.Sprintf(policy, tt.types, tt.from),
				"namespaces", `{metadata: {name: front, labels: {kubernetes.io/metadata.name: front}}}`))
			assert.Equal(t, tt.told, len(all) > 0, "%v", slices.Collect(maps.Keys(all)))
		})
	}
}

// What a revision changed is told by names, and only to the pods of that revision.
func TestChange(t *testing.T) {
	set := func(name string, revision int, at, spec string, ready int) string {
		return fmt.Sprintf(`{metadata: {name: %s, namespace: shop, creationTimestamp: "2026-11-23T%s:00Z", annotations: {deployment.kubernetes.io/revision: "%d"}, ownerReferences: [{kind: Deployment, name: api, controller: true}]},
			spec: {template: {spec: %s}}, status: {readyReplicas: %d}}`, name, at, revision, spec, ready)
	}
	before := `{containers: [{name: api, image: "api:1", env: [{name: PASSWORD, value: hunter2}, {name: KEPT, value: a}], command: [serve]}]}`
	after := `{serviceAccountName: api, containers: [{name: api, image: "api:2", env: [{name: PASSWORD, value: hunter3}, {name: KEPT, value: a}], envFrom: [{configMapRef: {name: more}}], command: [serve, -v]}, {name: side, image: x}]}`
	c := seen(t, "deployments", `{metadata: {name: api, namespace: shop}}`, "replicasets", set("api-1", 1, "10:00", before, 2), "replicasets", set("api-2", 2, "11:55", after, 0),
		"pods", strings.NewReplacer("api-7d4", "api-2", "api-1,", "api-2-x,").Replace(crashing))
	s := tell(c)["container:u1/api "+signal.CrashLoop]
	assert.Equal(t, "the image of api went from api:1 to api:2, the environment of api changed in PASSWORD, more, the command of api changed, container side is new, the service account changed", s.Attributes["changed"])
	assert.Equal(t, "2", s.Attributes["before_ready"])
	assert.Equal(t, "4m0s", s.Attributes["changed_before"])
	for _, v := range s.Attributes {
		assert.NotContains(t, v, "hunter")
	}
	// The pods of the revision before are not blamed on the change.
	c = seen(t, "deployments", `{metadata: {name: api, namespace: shop}}`, "replicasets", set("api-7d4", 1, "10:00", before, 0), "replicasets", set("api-2", 2, "11:55", after, 0), "pods", crashing)
	assert.Empty(t, tell(c)["container:u1/api "+signal.CrashLoop].Attributes["changed"])
	// Nor is a rollout that is stuck without what was changed, or with nothing to go back to.
	stuck := `{metadata: {name: api, namespace: shop}, status: {conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]}}`
	facts := tell(seen(t, "deployments", stuck, "replicasets", set("api-1", 1, "10:00", before, 2), "replicasets", set("api-2", 2, "11:55", after, 0)))["deployment:shop/api "+signal.RolloutStuck].Attributes
	assert.Equal(t, "1 ", facts["before"]+" "+facts["first"])
	facts = tell(seen(t, "deployments", stuck, "replicasets", set("api-1", 1, "10:00", before, 0)))["deployment:shop/api "+signal.RolloutStuck].Attributes
	assert.Equal(t, " true", facts["before"]+" "+facts["first"])
	// And a first revision has none to go back to.
	c = seen(t, "deployments", `{metadata: {name: api, namespace: shop}}`, "replicasets", set("api-7d4", 1, "11:55", before, 0), "pods", crashing)
	assert.Equal(t, "true", tell(c)["container:u1/api "+signal.CrashLoop].Attributes["first"])
}

// A ConfigMap that was changed shortly before is named; one that was changed earlier, or after, is not.
func TestConfigChange(t *testing.T) {
	pod := strings.Replace(strings.Replace(crashing, "containers: [{name: api}]", "containers: [{name: api, envFrom: [{configMapRef: {name: app}}]}]", 1), "uid: u1,", `uid: u1, creationTimestamp: "2026-11-23T10:00:00Z",`, 1)
	for at, want := range map[string]string{"2026-11-23T11:56:00Z": "ConfigMap app", "2026-11-23T11:30:00Z": "", "2026-11-23T11:59:30Z": "", "2026-11-23T09:00:00Z": ""} {
		o := map[string]any{"metadata": map[string]any{"name": "app", "namespace": "shop", "managedFields": []any{map[string]any{"time": at}, map[string]any{"time": "2026-11-23T08:00:00Z"}}}, "data": map[string]any{"a": "b"}}
		Public(o)
		c := seen(t, "pods", pod)
		require.Equal(t, []Reference{{"configmaps", "shop", "app"}}, c.Wanted())
		c.Take("configmaps", o)
		s := tell(c)["container:u1/api "+signal.CrashLoop]
		assert.Equal(t, want, s.Attributes["config"], at)
	}
}

// Of a Secret nothing is kept but the names of its keys and when its certificate ends.
func TestPublic(t *testing.T) {
	o := map[string]any{"type": "kubernetes.io/tls", "data": map[string]any{"tls.crt": bundle(t, 72*time.Hour), "tls.key": "aHVudGVyMg=="}, "binaryData": map[string]any{"b": "eA=="},
		"metadata": map[string]any{"name": "x", "annotations": map[string]any{"last-applied": "aHVudGVyMg=="}}}
	Public(o)
	assert.Equal(t, map[string]any{"type": "kubernetes.io/tls", "data": map[string]any{"tls.crt": "", "tls.key": ""}, "binaryData": map[string]any{"b": ""}, "metadata": map[string]any{"name": "x"},
		"certificateValidFrom": now.Add(-24 * time.Hour).Format(time.RFC3339), "certificateExpires": now.Add(72 * time.Hour).Format(time.RFC3339)}, o)
	c := New()
	c.Take("secrets", o)
	told := tell(c)
	assert.Equal(t, 72.0, told["certificate:/x "+signal.CertificateLeft].Value/3600)
	assert.Equal(t, 96.0, told["certificate:/x "+signal.CertificateLife].Value/3600)
	for _, odd := range []map[string]any{{}, {"data": 3, "metadata": "x"}, {"type": "kubernetes.io/tls", "data": map[string]any{"tls.crt": "???"}}, {"type": "kubernetes.io/tls", "data": map[string]any{"tls.crt": "aHVudGVyMg=="}}} {
		Public(odd)
		assert.NotContains(t, odd, "certificateExpires")
	}
}

// What the kubelet says of pods that it evicts.
func TestEvicted(t *testing.T) {
	for message, want := range map[string]string{
		"The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. Container api was using 900Mi, request is 100Mi, has larger consumption of memory. ": "memory   api 900Mi 100Mi",
		"The node was low on resource: ephemeral-storage. ":                             "ephemeral-storage     ",
		"The node was low on resource: inodes. ":                                        "inodes     ",
		"The node was low on resource: pids. ":                                          "pids     ",
		`Container api exceeded its local ephemeral storage limit "1Gi". `:              " storage 1Gi   ",
		`Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. `: " storage 2Gi   ",
		`Usage of EmptyDir volume "cache" exceeds the limit "500Mi". `:                  " empty_dir 500Mi   ",
		"The node had condition: [DiskPressure]. ":                                      "disk space     ",
		"something that nobody has said before":                                         "     ",
	} {
		f := map[string]string{}
		evicted(message, f)
		assert.Equal(t, want, strings.Join([]string{f["resource"], f["limit"], f["amount"], f["consumer"], f["used"], f["requested"]}, " "), message)
	}
}

// Why the API server takes no pod (its own words, of 1.37).
func TestRefusedBy(t *testing.T) {
	for message, want := range map[string]string{
		`pods "a" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2`:                                                         "quota",
		`pods "a" is forbidden: failed quota: compute: must specify limits.memory for: api`:                                                                      "quota_unspecified",
		`Internal error occurred: failed calling webhook "g.example": failed to call webhook: Post "https://g.shop.svc:443/?timeout=10s": service "g" not found`: "webhook",
		`admission webhook "g.example" denied the request: no`:                                                                                                   "webhook_denied",
		`pods "a" is forbidden: error looking up service account shop/x: serviceaccount "x" not found`:                                                           "service_account",
		`pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`:                                                     "security",
		`pods "a" is forbidden: no PriorityClass with name urgent was found`:                                                                                     "priority_class",
		`pods "a" is forbidden: pod rejected: RuntimeClass "gvisor" not found`:                                                                                   "runtime_class",
		`pods "a" is forbidden: maximum memory usage per Container is 64Mi, but limit is 1Gi`:                                                                    "limit_range",
		`pods "a" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000`:                                               "limit_range",
		`pods "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`:                                                               "policy",
		`pods is forbidden: User "system:serviceaccount:kube-system:replicaset-controller" cannot create resource "pods"`:                                        "permission",
		`Pod "a" is invalid: spec.containers[0].image: Required value`:                                                                                           "invalid",
		`something that nobody has said before`:                                                                                                                  "",
	} {
		assert.Equal(t, want, refusedBy.of(message), message)
	}
}
