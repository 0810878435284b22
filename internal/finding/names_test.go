package finding

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIs(t *testing.T) {
	container := Entity{Kind: "Container", Namespace: "shop", Name: "api-1", Container: "app", UID: "u1", Node: "n1", Owner: &Owner{Kind: "Deployment", Name: "api"}}
	for _, c := range []struct {
		e     Entity
		is    []string
		isNot []string
	}{
		{container,
			[]string{"api-1", "app", "u1", "api", "api-1/app", "pod/api-1", "po/api-1", "pods/api-1", "Pod/api-1", "container/api-1",
				"deployment/api", "deploy/api", "deployments/api", "deployments.apps/api", "deployment.v1.apps/api", "Deployment/api"},
			[]string{"", "/", "n1", "shop", "api-1/", "/api-1", "api-1/other", "api/app", "sts/api", "pod/api", "deploy/api-1", "deployment", "svc/api", "api-", "deploy/api/"}},
		{Entity{Kind: "Deployment", Namespace: "shop", Name: "api"}, []string{"api", "deploy/api", "deployment/api"}, []string{"/api", "rs/api", "pod/api", "api/"}},
		{Entity{Kind: "Node", Name: "n1", Node: "n1"}, []string{"n1", "no/n1", "node/n1", "nodes/n1"}, []string{"node/n2", "pod/n1"}},
		{Entity{Kind: "Service", Namespace: "shop", Name: "api"}, []string{"svc/api", "services/api"}, []string{"ing/api"}},
		{Entity{Kind: "StatefulSet", Namespace: "shop", Name: "db"}, []string{"sts/db", "statefulsets.apps/db"}, []string{"deploy/db"}},
		{Entity{Kind: "Volume", Namespace: "shop", Name: "data"}, []string{"data", "pvc/data", "persistentvolumeclaims/data", "volume/data"}, []string{"pv/data"}},
		{Entity{Kind: "PersistentVolume", Name: "data"}, []string{"pv/data"}, []string{"pvc/data"}},
		{Entity{Kind: "Ingress", Name: "web"}, []string{"ing/web", "ingress/web", "ingresses/web"}, []string{"ingres/web"}},
		{Entity{Kind: "NetworkPolicy", Name: "deny"}, []string{"netpol/deny", "networkpolicy/deny", "networkpolicies.networking.k8s.io/deny"}, nil},
		{Entity{Kind: "Gateway", Name: "web"}, []string{"gateways/web"}, []string{"gatewaies/web", "gatewayclass/web"}},
		{Entity{Kind: "GatewayClass", Name: "web"}, []string{"gatewayclasses/web"}, []string{"gateway/web"}},
		{Entity{Kind: "Pod", Name: "api-1", Owner: &Owner{Kind: "Rollout", Name: "api"}}, []string{"rollout/api", "rollouts.argoproj.io/api"}, nil},
		{Entity{Kind: "Cgroup", Name: "user.slice/session-1.scope"}, []string{"user.slice/session-1.scope"}, []string{"session-1.scope", "cgroup/session-1.scope"}},
		{Entity{Kind: "Unit", Name: "nginx.service"}, []string{"nginx.service", "unit/nginx.service"}, []string{"nginx"}},
		// What has no name is nobody's.
		{Entity{Kind: "Pod"}, nil, []string{"", "/", "pod/", "pod"}},
	} {
		for _, name := range c.is {
			assert.True(t, c.e.Is(name), "%s %s is %q", c.e.Kind, c.e.Name, name)
		}
		for _, name := range c.isNot {
			assert.False(t, c.e.Is(name), "%s %s is not %q", c.e.Kind, c.e.Name, name)
		}
	}
}
