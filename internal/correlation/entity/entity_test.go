package entity_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

type attributes map[string]string

func (a attributes) String(name string) string { return a[name] }

const cid = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// The most specific thing that the attributes name.
func TestNew(t *testing.T) {
	tests := []struct {
		name  string
		attrs attributes
		kind  entity.Kind
		id    entity.ID
		shown string
	}{
		{"a container by its id", attributes{"container.id": cid, "cgroup.path": "/docker/" + cid, "container.name": "web"},
			entity.Container, "container:" + cid, "web"},
		{"a container that has no name", attributes{"container.id": cid}, entity.Container, "container:" + cid, cid[:12]},
		{"a container of a pod", attributes{"container.id": cid, "k8s.pod.uid": "u1", "k8s.pod.name": "api-1", "k8s.container.name": "api"},
			entity.Container, "container:" + cid, "api-1"},
		{"a container of a pod by its name", attributes{"k8s.pod.uid": "u1", "k8s.pod.name": "api-1", "k8s.container.name": "api"},
			entity.Container, "container:u1/api", "api-1"},
		{"a container as cAdvisor names it", attributes{"k8s.namespace.name": "shop", "k8s.pod.name": "api-1", "k8s.container.name": "api", "cgroup.path": "/kubepods/x"},
			entity.Container, "container:shop/api-1/api", "api-1"},
		{"a pod", attributes{"k8s.pod.uid": "u1", "cgroup.path": "/kubepods/podu1"}, entity.Pod, "pod:u1", "u1"},
		{"a pod by its name", attributes{"k8s.namespace.name": "shop", "k8s.pod.name": "api-1"}, entity.Pod, "pod:shop/api-1", "api-1"},
		{"a unit", attributes{"systemd.unit": "a.service", "cgroup.path": "/system.slice/a.service", "host.name": "h"}, entity.Unit, "unit:h:a.service", "a.service"},
		{"a cgroup", attributes{"cgroup.path": "/app/worker"}, entity.Cgroup, "cgroup:n1:/app/worker", "app/worker"},
		{"the root of all cgroups", attributes{"cgroup.path": "/", "host.name": "h"}, entity.Node, "node:h", "h"},
		{"the root of all cgroups, of nobody knows which machine", attributes{"cgroup.path": "/"}, "", "", ""},
		{"a node", attributes{"k8s.node.name": "n2"}, entity.Node, "node:n2", "n2"},
		{"nothing", attributes{"service.name": "api"}, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, ok := entity.New(tt.attrs, "n1")
			assert.Equal(t, tt.id != "", ok)
			assert.Equal(t, tt.kind, e.Kind)
			assert.Equal(t, tt.id, e.ID)
			assert.Equal(t, tt.shown, e.Name)
		})
	}
}

func TestOwnerIsWhatPeopleKnow(t *testing.T) {
	e, _ := entity.New(attributes{"k8s.pod.uid": "u1", "k8s.replicaset.name": "api-7d4", "k8s.deployment.name": "api"}, "n1")
	assert.Equal(t, &finding.Owner{Kind: "Deployment", Name: "api"}, e.Owner)
	assert.Equal(t, "api", e.Finding().Display())
}

func TestAliasPassesFromContainerToContainer(t *testing.T) {
	pod := attributes{"k8s.pod.uid": "u1", "k8s.container.name": "api"}
	nameless, _ := entity.New(pod, "n1")
	first, _ := entity.New(attributes{"container.id": "c1", "k8s.pod.uid": "u1", "k8s.container.name": "api"}, "n1")
	assert.Equal(t, nameless.ID, first.Alias())
	assert.Empty(t, nameless.Alias())
}

// Kinds are all that have a name in the source.
func TestKinds(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "entity.go", nil, 0)
	require.NoError(t, err)
	var want []entity.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Kind" {
				text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				want = append(want, entity.Kind(text))
			}
		}
		return true
	})
	require.NotEmpty(t, want)
	assert.ElementsMatch(t, want, entity.Kinds)
}
