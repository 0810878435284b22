package correlation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
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

// Whoever asks a DNS server that does not answer has the same trouble: it is told once, and as an effect where something is wrong with the server.
func TestManyAskOneServer(t *testing.T) {
	w := newWorld(t, settings(t))
	web, api, other := w.cgroup("/web"), w.cgroup("/api"), w.cgroup("/other")
	silent := func(server string) signal.Signal {
		return signal.Signal{Kind: signal.DNSTimedOut, Value: 2, Text: "2 of 2 lookups of db.shop at " + server + " got no answer",
			Attributes: map[string]string{"name": "db.shop", "server": server, "count": "2", "attempts": "2"}}
	}
	w.pass(30*time.Second, func(int) {
		w.observe(web, silent("10.96.0.10"))
		w.observe(api, silent("10.96.0.10"))
		w.observe(other, silent("192.0.2.53"))
	})
	var all []finding.Finding
	for _, e := range []entity.Entity{web, api, other} {
		f := w.find("dns-failing", e)
		require.NotNil(t, f)
		all = append(all, *f)
	}
	known, err := pattern.Builtin()
	require.NoError(t, err)
	assert.Len(t, causes.Fold(all, nil, known), 2)

	down := finding.Finding{ID: "down", Pattern: "service-without-endpoints", Severity: finding.Critical, Title: "nothing answers for kube-dns",
		Entity: finding.Entity{Kind: "Service", Namespace: "kube-system", Name: "kube-dns"}}
	links := causes.Links{causes.At("10.96.0.10"): {{Kind: "Service", Namespace: "kube-system", Name: "kube-dns"}}}
	got := causes.Fold(append(all, down), links, known)
	require.Len(t, got, 2)
	assert.Equal(t, "down", got[0].ID)
	assert.ElementsMatch(t, []string{all[0].ID, all[1].ID}, got[0].Effects)
	causes.NamePeer(&all[0], links)
	assert.Contains(t, all[0].Title, "gets no answer from the DNS server Service kube-system/kube-dns (10.96.0.10): ")
}
