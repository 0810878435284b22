//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// What a cgroup counted is told once more when it is gone, and then deleted; at once, of one that came and went between two readings. That
// somebody reads the receiver's own telemetry meanwhile changes nothing.
func TestRealGoneCgroups(t *testing.T) {
	m := startMetrics(t, createDefaultConfig().(*Config))
	p := m.scraper.probes
	left := func(id uint64) bool {
		counts, err := p.attached["process"].counts("process")
		require.NoError(t, err)
		return slices.ContainsFunc(counts, func(c counted) bool { return c.cgroup == id })
	}
	// live runs a child in a cgroup of its own; told says whether there is a reading before it is gone.
	live := func(told bool) (name string, id uint64) {
		c, _ := realCgroup(t, 256*mib)
		folder, err := p.cgroups.folder(c.Name)
		require.NoError(t, err)
		info, err := os.Stat(folder)
		require.NoError(t, err)
		require.NoError(t, workload(t, c, "children", "1").Wait())
		if told {
			m.await(t, "/"+c.Name, map[string]int64{"container.process.forks": 1})
		}
		require.NoError(t, c.Remove())
		return "/" + c.Name, info.Sys().(*syscall.Stat_t).Ino
	}

	name, id := live(true)
	require.True(t, left(id))
	_, unseen := live(false) // has the next reading look for it
	require.True(t, left(unseen))
	for range 2 {
		time.Sleep(rewalk)
		require.NoError(t, m.telemetry.Reader.Collect(t.Context(), new(metricdata.ResourceMetrics)))
	}
	assert.EqualValues(t, 1, m.of(t, name)["container.process.forks"], "its last")
	assert.False(t, left(unseen))
	require.Eventually(t, func() bool { return len(m.of(t, name)) == 0 }, patience, rewalk)
	assert.False(t, left(id))
}

// Without metrics as well, what cgroups have left that are gone makes room for others.
func TestRealGoneCgroupsOfEvents(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.CollectionInterval = time.Second
	f := &factory{shared: map[*Config]*probes{}}
	r, err := f.createLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, new(events))
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	p := f.shared[cfg]
	c, _ := realCgroup(t, 256*mib)
	folder, err := p.cgroups.folder(c.Name)
	require.NoError(t, err)
	info, err := os.Stat(folder)
	require.NoError(t, err)
	require.NoError(t, workload(t, c, "children", "1").Wait())
	left := func() bool {
		counts, err := p.attached["process"].counts("process")
		require.NoError(t, err)
		return slices.ContainsFunc(counts, func(of counted) bool { return of.cgroup == info.Sys().(*syscall.Stat_t).Ino })
	}
	require.True(t, left())
	require.NoError(t, c.Remove())
	// Others come, so that all are looked for.
	require.Eventually(t, func() bool {
		other, _ := realCgroup(t, 256*mib)
		require.NoError(t, workload(t, other, "children", "1").Wait())
		return !left()
	}, patience, time.Second)
}

// The counters of a container do not fall when a cgroup inside it is removed, and what failed in there is not told again.
func TestRealGoneInside(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.CollectionInterval = time.Second
	m := startMetrics(t, cfg)
	p := m.scraper.probes
	sink := new(events)
	r := &logsReceiver{probes: p, next: sink}
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	c, id := realCgroup(t, 256*mib)
	if c.V2() {
		require.NoError(t, os.WriteFile(filepath.Join(c.Folder, "cgroup.subtree_control"), []byte("+memory"), 0))
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refuses := dead.Addr().(*net.TCPAddr)
	require.NoError(t, dead.Close())
	var inside [2]string
	for i, times := range []string{"3", "2"} {
		inside[i] = filepath.Join(c.Folder, "inside"+strconv.Itoa(i))
		require.NoError(t, os.Mkdir(inside[i], 0o755))
		of := *c
		of.Folder = inside[i]
		w := workload(t, &of, "refused", refuses.String(), times)
		require.NoError(t, w.Wait())
	}
	want := map[string]int64{
		"container.process.exits ok":             2,
		"container.network.tcp.connects refused": 5,
		fmt.Sprintf("container.network.tcp.peer.connects 127.0.0.1 %d refused", refuses.Port): 5,
	}
	m.await(t, "/"+c.Name, want)
	told := func() (n int64) {
		for _, e := range sink.named(eventConnectFailed) {
			if e.resource["container.id"] == id {
				n += e.attribute("network.connect.count").Int()
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return told() == 5 }, patience, poll)

	require.NoError(t, os.Remove(inside[0]))
	gone := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !slices.ContainsFunc(slices.Collect(maps.Values(p.cgroups.places)), func(of place) bool { return of.path == "/"+c.Name+"/inside0" })
	}
	for late := time.Now().Add(patience); !gone() && time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
		other, _ := realCgroup(t, 256*mib) // so that all are looked for
		require.NoError(t, workload(t, other, "exit", "0").Wait())
		got := m.of(t, "/"+c.Name)
		for name, n := range want {
			require.Equal(t, n, got[name], name)
		}
	}
	require.True(t, gone())
	m.await(t, "/"+c.Name, want)
	of := *c
	of.Folder = inside[1]
	require.NoError(t, workload(t, &of, "refused", refuses.String(), "1").Wait())
	require.Eventually(t, func() bool { return told() > 5 }, patience, poll)
	assert.EqualValues(t, 6, told(), "and not the others again")
	require.NoError(t, os.Remove(inside[1]))
}

// What a cgroup left that is gone is deleted when everybody has told it from the beginning.
func TestTold(t *testing.T) {
	const both = tellsMetrics | tellsEvents
	type telling struct {
		by    tellers
		walks int
	}
	for _, c := range []struct {
		name      string
		everybody tellers
		room      int
		tellings  []telling
		over      bool
	}{
		{"nobody yet", both, 9, nil, false},
		{"one of them", both, 9, []telling{{tellsMetrics, 3}, {tellsMetrics, 4}}, false},
		{"both", both, 9, []telling{{tellsMetrics, 3}, {tellsEvents, 3}}, true},
		{"one had begun before it was gone", both, 9, []telling{{tellsMetrics, 3}, {tellsEvents, 2}}, false},
		{"there is only one", tellsEvents, 9, []telling{{tellsEvents, 3}}, true},
		{"there is only one, which had begun before", tellsMetrics, 9, []telling{{tellsMetrics, 2}}, false},
		{"too many are gone", both, 0, []telling{{tellsMetrics, 3}}, true},
		{"too many are gone, and nobody told it", both, 0, []telling{{tellsMetrics, 2}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			places := &cgroups{walks: 3, places: map[uint64]place{1: {path: "/there"}, 2: {path: "/gone", gone: 3}}}
			over := map[uint64]place{}
			for _, telling := range c.tellings {
				maps.Copy(over, places.told(telling.by, telling.walks, c.everybody, c.room))
			}
			assert.NotContains(t, over, uint64(1))
			assert.Equal(t, c.over, len(over) == 1)
			assert.Equal(t, !c.over, len(places.places) == 2)
		})
	}
}

// refuse connects to where nobody listens.
func refuse(address, times string) error {
	n, err := strconv.Atoi(times)
	for range n {
		if _, refused := net.Dial("tcp", address); !errors.Is(refused, syscall.ECONNREFUSED) {
			return fmt.Errorf("want a refusal, got %w", refused)
		}
	}
	return err
}
