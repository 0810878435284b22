package kube

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	look "github.com/your-org/tapio/internal/kube"
)

const deploy = "../../deploy/kubernetes"

// deployed are the resources of the kinds in deploy.
var deployed = map[string]schema.GroupVersionResource{
	"Namespace": namespaces, "Service": resources["Service"].GroupVersionResource, "Deployment": resources["Deployment"].GroupVersionResource,
	"ServiceAccount":     {Version: "v1", Resource: "serviceaccounts"},
	"ResourceQuota":      {Version: "v1", Resource: "resourcequotas"},
	"DaemonSet":          {Group: "apps", Version: "v1", Resource: "daemonsets"},
	"Role":               {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	"RoleBinding":        {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	"ClusterRole":        {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	"ClusterRoleBinding": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
}

// manifests are the objects that people apply, namespaces first.
func manifests(t testing.TB) []unstructured.Unstructured {
	files, err := filepath.Glob(deploy + "/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for i, doc := range strings.Split(string(text), "\n---\n") {
			o := unstructured.Unstructured{}
			require.NoError(t, yaml.Unmarshal([]byte(doc), &o.Object), "%s, document %d", file, i)
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(a, b unstructured.Unstructured) int {
		rank := func(o unstructured.Unstructured) int {
			if o.GetKind() == "Namespace" {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	return all
}

// deploy applies what people apply. The API server checks every field, and takes each name as it is.
func (c *Cluster) deploy(t testing.TB, kinds ...string) {
	for _, o := range manifests(t) {
		if len(kinds) > 0 && !slices.Contains(kinds, o.GetKind()) {
			continue
		}
		r, known := deployed[o.GetKind()]
		require.True(t, known, "kind %s", o.GetKind())
		_, err := c.API.Resource(r).Namespace(o.GetNamespace()).Create(t.Context(), &o, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		require.NoError(t, err, "%s %s", o.GetKind(), o.GetName())
	}
}

// Everything that people apply is taken by the API server, which checks every field.
func TestManifests(t *testing.T) {
	cluster.space(t.Context(), t, "tapio")
	t.Cleanup(func() {
		require.NoError(t, cluster.API.Resource(namespaces).Delete(context.WithoutCancel(t.Context()), "tapio", metav1.DeleteOptions{}))
	})
	for _, o := range manifests(t) {
		if o.GetKind() == "Namespace" {
			o.SetName("tapio-too")
		}
		_, err := cluster.API.Resource(deployed[o.GetKind()]).Namespace(o.GetNamespace()).Create(t.Context(), &o,
			metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}})
		assert.NoError(t, err, "%s %s", o.GetKind(), o.GetName())
	}
}

// as makes a kubeconfig with a service account's own token.
func (c *Cluster) as(t testing.TB, namespace, account string) string {
	request := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": map[string]any{"name": account},
		"spec": map[string]any{"expirationSeconds": int64(3600)}}}
	made, err := c.API.Resource(deployed["ServiceAccount"]).Namespace(namespace).Create(t.Context(), request, metav1.CreateOptions{}, "token")
	require.NoError(t, err)
	token, _, _ := unstructured.NestedString(made.Object, "status", "token")
	require.NotEmpty(t, token)
	path := filepath.Join(t.TempDir(), account+".kubeconfig")
	require.NoError(t, c.kubeconfig(path, token))
	return path
}

// The collector of the cluster may list and watch what is looked at, and nothing may change anything or read what is secret.
func TestLeastPrivilege(t *testing.T) {
	may := map[string][]string{}
	for _, o := range manifests(t) {
		if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
			continue
		}
		rules, _, err := unstructured.NestedSlice(o.Object, "rules")
		require.NoError(t, err)
		for _, r := range rules {
			rule := r.(map[string]any)
			for _, group := range rule["apiGroups"].([]any) {
				for _, resource := range rule["resources"].([]any) {
					name := fmt.Sprintf("%s/%s", group, resource)
					for _, verb := range rule["verbs"].([]any) {
						if o.GetKind() == "ClusterRole" {
							may[name] = append(may[name], verb.(string))
							assert.Contains(t, []string{"list", "watch"}, verb, name)
						} else {
							assert.Equal(t, "coordination.k8s.io/leases", name, "what may be written is the lease alone")
						}
						assert.NotContains(t, []string{"*", "/secrets", "/configmaps"}, name)
						assert.NotEqual(t, "*", verb)
					}
				}
			}
		}
	}
	for _, k := range look.Kinds() {
		assert.ElementsMatch(t, []string{"list", "watch"}, may[k.Group+"/"+k.Resource], "deploy/kubernetes/cluster.yaml must allow to list and watch %s of group %q",
			k.Resource, k.Group)
	}
}

// The collector of a node looks at the node's disks where the manifest mounts the node's root directory.
func TestNodeHasItsDisks(t *testing.T) {
	for _, o := range manifests(t) {
		if o.GetKind() != "DaemonSet" {
			continue
		}
		var set appsv1.DaemonSet
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &set))
		pod, container := set.Spec.Template.Spec, set.Spec.Template.Spec.Containers[0]
		var root string
		for _, e := range container.Env {
			if e.Name == "TAPIO_ROOT_PATH" {
				root = e.Value
			}
		}
		require.NotEmpty(t, root)
		at := slices.IndexFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == root })
		require.GreaterOrEqual(t, at, 0, "nothing is mounted at %s", root)
		mount := container.VolumeMounts[at]
		assert.True(t, mount.ReadOnly)
		require.NotNil(t, mount.MountPropagation, "what is mounted later is to be seen")
		assert.Equal(t, corev1.MountPropagationHostToContainer, *mount.MountPropagation)
		of := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		require.GreaterOrEqual(t, of, 0)
		require.NotNil(t, pod.Volumes[of].HostPath)
		assert.Equal(t, "/", pod.Volumes[of].HostPath.Path)
		assert.True(t, pod.HostPID, "the node's list of mounts is that of its first process")
		return
	}
	t.Fatal("there is no DaemonSet")
}

// Where a cluster lets pods be critical only by a quota, there is one for those that are.
func TestCriticalPodsHaveAQuota(t *testing.T) {
	var critical, allowed []string
	for _, o := range manifests(t) {
		if class, ok, err := unstructured.NestedString(o.Object, "spec", "template", "spec", "priorityClassName"); ok && strings.HasPrefix(class, "system-") {
			require.NoError(t, err)
			critical = append(critical, o.GetNamespace()+"/"+class)
		}
		if o.GetKind() != "ResourceQuota" {
			continue
		}
		var quota corev1.ResourceQuota
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &quota))
		assert.Positive(t, quota.Spec.Hard.Pods().Value())
		for _, of := range quota.Spec.ScopeSelector.MatchExpressions {
			assert.Equal(t, corev1.ResourceQuotaScopePriorityClass, of.ScopeName)
			for _, class := range of.Values {
				allowed = append(allowed, o.GetNamespace()+"/"+class)
			}
		}
	}
	assert.NotEmpty(t, critical)
	assert.ElementsMatch(t, critical, allowed)
}
