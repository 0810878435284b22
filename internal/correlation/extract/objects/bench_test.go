package objects

import (
	"fmt"
	"testing"

	"github.com/your-org/tapio/internal/correlation/signal"
)

// A cluster of 200 nodes, 1,000 deployments with a service and five pods each, 200 network policies; every tenth deployment crashes and
// every tenth waits for a node.
func BenchmarkSignals(b *testing.B) {
	c := New()
	for _, part := range tellers {
		c.Listed(part.resource)
	}
	take := func(resource, text string, args ...any) { c.Observe(logs(b, resource, "", fmt.Sprintf(text, args...))) }
	for n := range 200 {
		take("nodes", `{metadata: {name: n%d}, spec: {taints: [{key: pool, value: a, effect: NoSchedule}]}, status: {allocatable: {cpu: "32", memory: 64Gi}, conditions: [{type: Ready, status: "True"}]}}`, n)
		take("networkpolicies", `{metadata: {name: p%d, namespace: ns%d}, spec: {podSelector: {matchLabels: {app: app%d}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}}`, n, n%20, n)
	}
	for d := range 1000 {
		ns, state := d%20, `{phase: Running, conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: a, ready: true, state: {running: {startedAt: "2026-11-23T10:00:00Z"}}}]}`
		node := "n1"
		switch d % 10 {
		case 1:
			state = `{phase: Running, conditions: [{type: Ready, status: "False"}], containerStatuses: [{name: a, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, message: "cannot connect to http://app3:80"}}}]}`
		case 2:
			node, state = "", `{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/200 nodes are available: 200 node(s) had untolerated taint(s).", lastTransitionTime: "2026-11-23T11:00:00Z"}]}`
		}
		take("deployments", `{metadata: {name: app%d, namespace: ns%d}, spec: {replicas: 5}}`, d, ns)
		take("services", `{metadata: {name: app%d, namespace: ns%d}, spec: {selector: {app: app%d}, ports: [{port: 80}]}}`, d, ns, d)
		for r := range 2 {
			take("replicasets", `{metadata: {name: app%d-%d, namespace: ns%d, annotations: {deployment.kubernetes.io/revision: "%d"}, ownerReferences: [{kind: Deployment, name: app%d, controller: true}]},
				spec: {template: {spec: {containers: [{name: a, image: "x:%d"}]}}}}`, d, r, ns, r, d, r)
		}
		for p := range 5 {
			take("pods", `{metadata: {name: app%d-1-%d, namespace: ns%d, uid: u%d-%d, labels: {app: app%d}, ownerReferences: [{kind: ReplicaSet, name: app%d-1, uid: r%d, controller: true}]},
				spec: {nodeName: "%s", containers: [{name: a, args: ["--peer=http://app%d:80"]}]}, status: %s}`, d, p, ns, d, p, d, d, d, node, (d+20)%1000, state)
		}
	}
	b.ReportAllocs()
	told := 0
	for b.Loop() {
		told = 0
		c.Signals(now, func(batch signal.Batch) { told += len(batch.Signals) })
		c.Links()
	}
	b.ReportMetric(float64(told), "signals")
}
