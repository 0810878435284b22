package objects

import (
	"fmt"
	"testing"
	"time"

	"github.com/your-org/tapio/internal/correlation/signal"
)

// large is a view of 5,000 pods of 1,000 deployments, each with a service, in one namespace; 20 of the pods crash.
func large(b *testing.B) *Cluster {
	c := New()
	for i := range 1000 {
		name := fmt.Sprintf("app-%d", i)
		for resource, text := range map[string]string{
			"deployments": `{metadata: {name: %[1]s, namespace: many, uid: d-%[1]s}, spec: {replicas: 5, selector: {matchLabels: {app: %[1]s}}}, status: {availableReplicas: 5}}`,
			"replicasets": `{metadata: {name: %[1]s-1, namespace: many, uid: r-%[1]s, ownerReferences: [{kind: Deployment, name: %[1]s, controller: true}]}, spec: {replicas: 5}, status: {replicas: 5}}`,
			"services":    `{metadata: {name: %[1]s, namespace: many}, spec: {selector: {app: %[1]s}, ports: [{port: 80, targetPort: 80}]}}`,
		} {
			ld := logs(b, resource, "", fmt.Sprintf(text, name))
			c.Record(resource, ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0))
		}
		for j := range 5 {
			state := `ready: true, restartCount: 0, state: {running: {startedAt: "2026-11-23T11:50:00Z"}}`
			if i < 20 && j == 0 {
				state = `ready: false, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-11-23T11:59:00Z"}}`
			}
			ld := logs(b, "pods", "", fmt.Sprintf(`{metadata: {name: %[1]s-%[2]d, namespace: many, uid: p-%[1]s-%[2]d, labels: {app: %[1]s, pod-template-hash: "1"},
				ownerReferences: [{kind: ReplicaSet, name: %[1]s-1, controller: true}]}, spec: {nodeName: n1, containers: [{name: app, image: x, ports: [{containerPort: 80}]}]},
				status: {phase: Running, conditions: [{type: PodScheduled, status: "True"}, {type: Ready, status: "True"}], containerStatuses: [{name: app, image: x, imageID: x, %[3]s}]}}`, name, j, state))
			c.Record("pods", ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0))
		}
	}
	for resource := range compact {
		c.Listed(resource)
	}
	return c
}

func BenchmarkLarge(b *testing.B) {
	c := large(b)
	b.Run("signals", func(b *testing.B) {
		for b.Loop() {
			c.Signals(now, func(signal.Batch) {})
		}
	})
	b.Run("links", func(b *testing.B) {
		for b.Loop() {
			c.Links()
		}
	})
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			c.Counts(func(string, string, string) bool { return true })
		}
	})
	b.Run("expire", func(b *testing.B) {
		for b.Loop() {
			c.Expire(now.Add(time.Second))
		}
	})
}
