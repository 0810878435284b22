package cgroupreceiver

import (
	"context"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// The cgroups of a layout: containerA is in pods, and other comes after it.
const (
	layout     = "kubernetes-v2-systemd-containerd"
	pods       = "/kubepods.slice/kubepods-burstable.slice"
	containerA = pods + "/kubepods-burstable-pod6b5a1f0e_2c3d_4e5f_8091_a2b3c4d5e6f7.slice/cri-containerd-" + idA + ".scope"
	other      = "/system.slice/other.service"
)

// tree unpacks the layout, and other, which has the files of containerA.
func tree(t *testing.T) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Mount = unpack(t, layout)
	require.NoError(t, os.CopyFS(cfg.Mount+other, os.DirFS(cfg.Mount+containerA)))
	return cfg
}

// closed runs f while a cgroup may be neither read nor entered, as by a user to whom it does not belong.
func closed(t *testing.T, cfg *Config, cgroup string, f func()) {
	require.NoError(t, os.Chmod(cfg.Mount+cgroup, 0))
	defer func() { require.NoError(t, os.Chmod(cfg.Mount+cgroup, 0o755)) }()
	runtime.LockOSThread() // the capabilities are the thread's
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var before [2]unix.CapUserData
	require.NoError(t, unix.Capget(&header, &before[0]))
	without := before
	without[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	require.NoError(t, unix.Capset(&header, &without[0]))
	defer func() { require.NoError(t, unix.Capset(&header, &before[0])) }()
	f()
}

// A cgroup that may not be looked into hides no other, and what is in it is not told to be gone.
func TestClosedCgroup(t *testing.T) {
	t.Run("metrics", func(t *testing.T) {
		cfg := tree(t)
		set, tel := settings(t)
		core, logged := observer.New(zap.WarnLevel)
		set.Logger = zap.New(core)
		s := startScraper(t, cfg, set)
		all := scrape(t, s)
		first, ok := point(all, other, "container.cpu.time", "user")
		require.True(t, ok)
		closed(t, cfg, pods, func() {
			for range 2 {
				md := scrape(t, s) // no error: it would be logged with each scrape
				_, ok := point(md, containerA, "container.cpu.time", "user")
				assert.False(t, ok)
				_, ok = point(md, other, "container.cpu.time", "user")
				assert.True(t, ok)
			}
		})
		assert.EqualValues(t, 2, counted(tel, "receiver_cgroup_read_errors"))
		require.Equal(t, 1, logged.Len(), "it is said once")
		assert.Equal(t, "list cgroups: open "+cfg.Mount+pods+": permission denied", logged.All()[0].ContextMap()["error"])
		again, ok := point(scrape(t, s), containerA, "container.cpu.time", "user")
		require.True(t, ok)
		assert.Equal(t, first.StartTimestamp(), again.StartTimestamp(), "what it had counted before is no news")
	})
	t.Run("events", func(t *testing.T) {
		cfg := tree(t)
		r, sink := openEvents(t, cfg)
		r.scan(t.Context())
		require.Contains(t, r.watched, containerA)
		require.NoError(t, os.RemoveAll(cfg.Mount+other))
		closed(t, cfg, pods, func() { r.scan(t.Context()) })
		assert.Equal(t, []event{{cgroup: other}}, events(sink, eventRemoved))
		assert.Contains(t, r.watched, containerA)
		require.NoError(t, os.RemoveAll(cfg.Mount+containerA))
		r.scan(t.Context())
		assert.Equal(t, []event{{cgroup: other}, {cgroup: containerA, containerID: idA}}, events(sink, eventRemoved))
	})
}

// A receiver that stops in the middle of a look through the cgroups does not take for gone what it did not reach.
func TestScanThatIsBrokenOff(t *testing.T) {
	cfg := tree(t)
	r, sink := openEvents(t, cfg)
	r.scan(t.Context())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	r.scan(over)
	assert.Empty(t, events(sink, eventRemoved))
}

// What a cgroup counted before there was room for it under max_cgroups is no news: nobody knows since when it counts.
func TestRoomForACgroup(t *testing.T) {
	cfg := tree(t)
	cfg.Roots, cfg.MaxCgroups = []string{containerA, other}, 1
	set, _ := settings(t)
	s := startScraper(t, cfg, set)
	md := scrape(t, s)
	first, ok := point(md, containerA, "container.cpu.time", "user")
	require.True(t, ok)
	_, ok = point(md, other, "container.cpu.time", "user")
	require.False(t, ok, "one is there already")
	scrape(t, s)
	require.NoError(t, os.RemoveAll(cfg.Mount+containerA))
	found, ok := point(scrape(t, s), other, "container.cpu.time", "user")
	require.True(t, ok)
	assert.Equal(t, first.StartTimestamp(), found.StartTimestamp())
}
