package correlation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// A node without a view of the cluster knows the pods that run on it, and tells whom another cannot connect to by their names.
func TestPeersOnTheNode(t *testing.T) {
	w := newWorld(t, settings(t))
	pod := func(name, ip string) entity.Entity {
		e, ok := entity.New(attributes{"k8s.pod.uid": name, "k8s.pod.name": name, "k8s.namespace.name": "shop", "k8s.pod.ip": ip}, w.machine)
		require.True(t, ok)
		return e
	}
	web := w.cgroup("/web")
	refused := func(peer string) signal.Signal {
		return signal.Signal{Kind: signal.ConnectRefused, Value: 5, Text: "5 of 5 attempts to connect to " + peer + " were refused",
			Attributes: map[string]string{"peer": peer, "count": "5", "attempts": "5"}}
	}
	old, now := pod("api-1", "10.244.0.9"), pod("api-2", "10.244.0.9") // which has got the other's address
	w.observe(old, gauge(signal.RuntimeRunning, 1))
	w.pass(20*time.Second, func(int) {
		w.observe(now, gauge(signal.RuntimeRunning, 1))
		w.observe(web, refused("10.244.0.9:8080"))
	})
	f := w.find("connection-refused", web)
	require.NotNil(t, f)
	assert.Equal(t, &finding.Peer{Address: "10.244.0.9:8080", Kind: "Pod", Namespace: "shop", Name: "api-2"}, f.Peer)
	assert.Contains(t, f.Title, "web cannot connect to Pod shop/api-2 (10.244.0.9:8080): ")

	w.pass(20*time.Second, func(int) { w.observe(web, refused("192.0.2.1:80")) })
	f = w.find("connection-refused", web)
	assert.Equal(t, &finding.Peer{Address: "192.0.2.1:80"}, f.Peer)
	assert.Contains(t, f.Title, "web cannot connect to 192.0.2.1:80: ")
}
