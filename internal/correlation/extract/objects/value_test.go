package objects

import (
	"encoding/json"
	"math/rand"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/randfill"

	"github.com/your-org/tapio/internal/correlation/signal"
)

// What the API's Go types hold reads as their JSON does, whatever it is: every field of every type that is looked at.
func TestGoTypesReadAsTheirJSON(t *testing.T) {
	source := rand.NewSource(1)
	fill := randfill.New().RandSource(source).NilChance(0.3).NumElements(0, 2).MaxDepth(12).Funcs(
		func(*[]metav1.ManagedFieldsEntry, randfill.Continue) {}, // JSON of its own, which nobody reads
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewMilliQuantity(c.Int63n(1e6), resource.DecimalSI)
		},
	)
	for range 10 {
		for _, typed := range []any{&corev1.Pod{}, &corev1.Event{}, &corev1.Node{}, &corev1.Service{}, &corev1.PersistentVolumeClaim{}, &appsv1.Deployment{},
			&appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &appsv1.ReplicaSet{}, &batchv1.Job{}, &batchv1.CronJob{}, &storagev1.StorageClass{}, &corev1.ConfigMap{}} {
			fill.Fill(typed)
			text, err := json.Marshal(typed)
			require.NoError(t, err)
			var plain map[string]any
			require.NoError(t, utiljson.Unmarshal(text, &plain))
			alike(t, nil, of(plain).in, of(typed).in)
			if t.Failed() {
				t.Fatalf("%T", typed)
			}
		}
	}
}

// alike compares what is in a value of JSON with what a Go type says of it.
func alike(t *testing.T, path []string, plain, typed value) {
	if m, ok := plain.v.Interface().(map[string]any); ok {
		for name := range m {
			want, isThere := plain.field(name)
			got, found := typed.field(name)
			if assert.Equal(t, isThere, found, "%v %s", path, name) && found {
				alike(t, append(slices.Clone(path), name), want, got)
			}
		}
		return
	}
	var want, got []value
	plain.list(func(v value) { want = append(want, v) })
	typed.list(func(v value) { got = append(got, v) })
	if assert.Len(t, got, len(want), "%v", path) && len(want) > 0 {
		for i := range want {
			alike(t, append(slices.Clone(path), "[]"), want[i], got[i])
		}
		return
	}
	if at := plain.time(); !at.IsZero() {
		assert.Equal(t, at, typed.time(), "%v", path)
		return // written with more or fewer zeros
	}
	assert.Equal(t, plain.AsString(), typed.AsString(), "%v", path)
}

// A pod in the API's Go types tells what its JSON tells, and what was removed tells nothing.
func TestTyped(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "api-1", Namespace: "shop", UID: "u1"}, Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "api"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "api", RestartCount: 5,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, FinishedAt: metav1.Time{Time: now}}}}}}}
	c := New()
	c.Take("pods", pod)
	assert.Equal(t, 5.0, tell(c)["container:u1/api "+signal.CrashLoop].Value)
	assert.Equal(t, now, tell(c)["container:u1/api "+signal.CrashLoop].Start)
	c.Remove("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "api-1", Namespace: "shop"}})
	assert.Empty(t, tell(c))
	c.Take("pods", pod)
	c.Clear("pods")
	assert.Empty(t, tell(c))
	// Of what has no values the names of the keys are known.
	assert.Equal(t, []string{"a", "b"}, keys(of(&corev1.Secret{Data: map[string][]byte{"a": nil, "b": {}}})))
	c.Take("pods", nil)
	c.Take("pods", "no object")
	assert.Empty(t, tell(c))
}
