//go:build linux

package e2e

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
)

// A dependency that is down: whoever wants to connect to it is told, with whom it wants.
func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	cgroup := newCgroup(t, "refused", 256*mebi)
	address := freePort(t)
	collector := newCollector(t, everySecond, "--config=yaml:receivers::ebpf::collection_interval: 2s")
	start(t, collector)
	startWorkload(t, cgroup, "connect", address)
	f := wait(t, collector, "connection-refused", cgroup.Name, isActive)
	assert.Contains(t, f.Title, "cannot connect to "+address)
	if assert.NotEmpty(t, f.Evidence) {
		assert.Equal(t, finding.LayerEBPF, f.Evidence[0].Layer)
		assert.Contains(t, f.Evidence[0].Text, "attempts to connect to "+address+" were refused")
	}
}

// A DNS server that says nothing.
func TestDNSSilent(t *testing.T) {
	t.Parallel()
	const server = "127.0.0.153"
	silent, err := net.ListenPacket("udp", server+":53")
	require.NoError(t, err)
	defer silent.Close()
	cgroup := newCgroup(t, "dns", 256*mebi)
	collector := newCollector(t, everySecond, "--config=yaml:receivers::ebpf::collection_interval: 2s")
	start(t, collector)
	startWorkload(t, cgroup, "lookup", "db.shop.svc.cluster.local.", server)
	f := wait(t, collector, "dns-failing", cgroup.Name, isActive)
	assert.Contains(t, f.Title, "gets no answer from the DNS server "+server)
	if assert.NotEmpty(t, f.Evidence) {
		assert.Equal(t, finding.LayerEBPF, f.Evidence[0].Layer)
		assert.Contains(t, f.Evidence[0].Text, "lookups of db.shop.svc.cluster.local at "+server+" got no answer")
	}
}
