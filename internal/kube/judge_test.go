package kube

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/correlation/extract/objects"
)

// What is told of a cluster: what has one cause is one finding, and what has a cause of its own is told beside what else is wrong.
func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		objects []string // resource and YAML in turn
		want    []string
	}{
		{"a volume cannot be made on the node that was chosen for a pod", []string{
			"pods", `{metadata: {name: db-0, namespace: shop, uid: u1, creationTimestamp: "2026-11-23T11:55:00Z"}, spec: {volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]}, status: {phase: Pending}}`,
			"persistentvolumeclaims", `{metadata: {name: data, namespace: shop, creationTimestamp: "2026-11-23T11:55:00Z", annotations: {volume.kubernetes.io/selected-node: n1}}, spec: {storageClassName: fast}, status: {phase: Pending}}`,
			"storageclasses", `{metadata: {name: fast}, provisioner: ebs.csi.aws.com, volumeBindingMode: WaitForFirstConsumer}`,
			"events", `{metadata: {name: e, uid: e}, reason: ProvisioningFailed, message: not authorized, lastTimestamp: "2026-11-23T11:59:00Z", involvedObject: {kind: PersistentVolumeClaim, namespace: shop, name: data}}`,
		}, []string{"Volume claim data is not bound: the provisioner of class fast fails"}},
		{"a budget that never lets a pod go, which was killed for want of memory some time ago", []string{
			"pods", `{metadata: {name: api, namespace: shop, uid: u1, labels: {app: api}}, spec: {nodeName: n1, containers: [{name: api}]}, status: {phase: Running, conditions: [{type: Ready, status: "True"}],
				containerStatuses: [{name: api, ready: true, restartCount: 1, state: {running: {startedAt: "2026-11-23T11:40:00Z"}}, lastState: {terminated: {reason: OOMKilled, exitCode: 137, finishedAt: "2026-11-23T11:40:00Z"}}}]}}`,
			"poddisruptionbudgets", `{metadata: {name: api, namespace: shop}, spec: {minAvailable: 1, selector: {matchLabels: {app: api}}}, status: {currentHealthy: 1, desiredHealthy: 1, expectedPods: 1, conditions: [{type: DisruptionAllowed, status: "False"}]}}`,
		}, []string{"api/api was OOM-killed", "Disruption budget api never lets a pod be evicted (minAvailable 1, 1 pod)"}},
	} {
		s := &sight{view: objects.New()}
		for _, k := range kinds {
			s.view.Listed(k.Resource)
		}
		for i := 0; i < len(tt.objects); i += 2 {
			var o map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(tt.objects[i+1]), &o), tt.name)
			s.view.Take(tt.objects[i], o)
		}
		a, err := Query{}.understand()
		require.NoError(t, err)
		r, err := new(Client).judge(s, a, now)
		require.NoError(t, err)
		var titles []string
		for _, f := range r.Findings {
			titles = append(titles, f.Title)
		}
		assert.Equal(t, tt.want, titles, tt.name)
	}
}
