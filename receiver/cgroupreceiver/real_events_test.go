package cgroupreceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"
)

// tight is a limit that holds the workload, but not what it is told to allocate.
const tight = 48 * mib

// A container that is made together with its pod, is killed for want of memory, and is gone with its pod the moment its
// process is, is told of nevertheless, each one, and once. On v1, which keeps no count of what is gone, it stays for as long
// as a runtime takes to see the end of its process and to run its clean-up.
func TestRealKillOfAContainerThatIsGoneAtOnce(t *testing.T) {
	const containers = 10
	root := realCgroup(t)
	root.delegate(t)
	set, _ := settings(t)
	sink := startEvents(t, root.below(), set)
	var want []event
	for range containers {
		id := random(32)
		pod := root.child(t, fmt.Sprintf("pod%s-%s-%s-%s-%s", random(4), random(2), random(2), random(2), random(6)))
		c := pod.child(t, id)
		c.limit(t, tight)
		startWorkload(t, c).dieOf(t, "anon", 2*tight)
		time.Sleep(runtimeDelay)
		c.remove(t)
		pod.remove(t)
		want = append(want, event{cgroup: c.path, containerID: id, count: 1})
	}
	assert.Equal(t, want, await(t, sink, eventOOMKill, containers))
	gone := await(t, sink, eventRemoved, 2*containers+1)
	for _, w := range want {
		assert.Contains(t, gone, event{cgroup: w.cgroup, containerID: w.containerID})
	}
	assert.Len(t, events(sink, eventOOMKill), containers, "once each")
}

// A kill in a cgroup inside a container is the container's, in the events as in the counter.
func TestRealKillInsideAContainer(t *testing.T) {
	root := realCgroup(t)
	id := random(32)
	container := root.child(t, "docker-"+id+".scope")
	inside := container.child(t, "container")
	set, tel := settings(t)
	sink := startEvents(t, root.below(), set)
	s := startScraper(t, root.below(), set)
	container.limit(t, tight)
	startWorkload(t, inside).dieOf(t, "anon", 2*tight)
	assert.Equal(t, []event{{cgroup: container.path, containerID: id, count: 1}}, await(t, sink, eventOOMKill, 1))
	md := scrape(t, s)
	_, told := point(md, inside.path, "container.memory.usage")
	assert.False(t, told, "what is inside a container is the container's")
	if container.h.memory.v2 {
		assert.EqualValues(t, 1, value(t, md, container.path, "container.memory.events", "oom_kill"))
		assert.Zero(t, value(t, md, root.path, "container.memory.events", "oom_kill"), "nothing was killed in the cgroup above itself")
	}
	assert.Zero(t, counted(tel, "receiver_cgroup_read_errors"))
}

// Kills before the receiver began are not news. Those in a cgroup that is new to it are, however soon they came.
func TestRealKillsBeforeTheReceiver(t *testing.T) {
	root := realCgroup(t)
	c := root.child(t, "old")
	c.limit(t, tight)
	startWorkload(t, c).dieOf(t, "anon", 2*tight)
	set, _ := settings(t)
	s := startScraper(t, root.below(), set)
	require.EqualValues(t, 1, value(t, scrape(t, s), c.path, "container.memory.events", "oom_kill"))

	cfg := root.below()
	cfg.MaxWatches = 0 // the kernel tells nothing: what follows is seen by looking
	sink := startEvents(t, cfg, set)
	startWorkload(t, c).dieOf(t, "anon", 2*tight)
	assert.Equal(t, []event{{cgroup: c.path, count: 1}}, await(t, sink, eventOOMKill, 1))

	young := root.child(t, "young")
	young.limit(t, tight)
	startWorkload(t, young).dieOf(t, "anon", 2*tight)
	startWorkload(t, young).dieOf(t, "anon", 2*tight)
	told := await(t, sink, eventOOMKill, 2)
	var kills int64
	for _, e := range told[1:] {
		assert.Equal(t, young.path, e.cgroup)
		kills += e.count
	}
	if kills < 2 {
		kills += await(t, sink, eventOOMKill, 3)[2].count
	}
	assert.EqualValues(t, 2, kills)
	assert.EqualValues(t, 2, value(t, scrape(t, s), young.path, "container.memory.events", "oom_kill"), "counted from zero")
}

// Nor are those news that a cgroup had before it was followed, when it was left out at first: there were too many, or the look
// through them failed.
func TestRealKillsBeforeACgroupIsFollowed(t *testing.T) {
	for name, c := range map[string]struct {
		most int
		scan func(*eventsReceiver) // the first, which leaves it out
	}{
		"too many": {1, func(r *eventsReceiver) { r.scan(t.Context()) }},
		"a scan that failed": {10, func(r *eventsReceiver) {
			var limit unix.Rlimit
			require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
			require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
			r.scan(t.Context())
			require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			root := realCgroup(t)
			first, late := root.child(t, "first"), root.child(t, "late")
			inner := first.child(t, "inner")
			kill := func() {
				late.limit(t, tight)
				startWorkload(t, late).dieOf(t, "anon", 2*tight)
			}
			kill()
			kill()
			cfg := root.below()
			cfg.Roots, cfg.MaxCgroups = []string{first.path, late.path}, c.most
			r, sink := openEvents(t, cfg)
			c.scan(r)
			require.NotContains(t, r.watched, late.path)
			inner.remove(t)
			first.remove(t)
			r.scan(t.Context())
			r.scan(t.Context())
			require.Contains(t, r.watched, late.path)
			assert.Empty(t, events(sink, eventOOMKill))
			kill()
			r.scan(t.Context())
			assert.Equal(t, []event{{cgroup: late.path, count: 1}}, events(sink, eventOOMKill))
		})
	}
}

// No more than max_watches cgroups are watched; the others are counted, and looked at every second instead. No more than
// max_cgroups are followed at all.
func TestRealMaxWatches(t *testing.T) {
	root := realCgroup(t)
	for _, name := range []string{"a", "b"} {
		root.child(t, name)
	}
	cfg := root.below()
	cfg.MaxWatches = 1
	set, tel := settings(t)
	sink := startEvents(t, cfg, set)
	require.Eventually(t, func() bool { return counted(tel, "receiver_cgroup_unwatched") >= 2 }, patience, poll)
	c := root.child(t, "c")
	c.limit(t, tight)
	startWorkload(t, c).dieOf(t, "anon", 2*tight)
	assert.Equal(t, []event{{cgroup: c.path, count: 1}}, await(t, sink, eventOOMKill, 1))

	few := root.below()
	few.MaxCgroups = 1
	set, tel = settings(t)
	r, err := NewFactory().CreateLogs(t.Context(), set, few, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return counted(tel, "receiver_cgroup_dropped") >= 3 }, patience, poll)
	require.NoError(t, r.Shutdown(t.Context()))
}

// runtimeDelay is at least how long a runtime takes to see the end of a container's process and to run its clean-up.
const runtimeDelay = 100 * time.Millisecond

// Cgroups that are excluded are not told of, however they came to be noticed.
func TestRealExclude(t *testing.T) {
	root := realCgroup(t)
	root.delegate(t)
	cfg := root.below()
	cfg.Exclude = []string{root.path + "/no*"}
	set, _ := settings(t)
	sink := startEvents(t, cfg, set)
	no, yes := root.child(t, "not"), root.child(t, "yes")
	for _, c := range []cgroup{no, yes} {
		c.limit(t, tight)
		startWorkload(t, c).dieOf(t, "anon", 2*tight)
		time.Sleep(runtimeDelay)
		c.remove(t)
	}
	assert.Equal(t, []event{{cgroup: yes.path, count: 1}}, await(t, sink, eventOOMKill, 1))
	assert.NotContains(t, await(t, sink, eventRemoved, 2), event{cgroup: no.path})
}

// Of a cgroup that is gone no watch is left, neither the kernel's nor ours, and one that takes its place has its own.
func TestRealWatchesOfWhatIsGone(t *testing.T) {
	const cgroups = 100
	root := realCgroup(t)
	root.delegate(t)
	set, _ := settings(t)
	r, sink := startReceiver(t, root.below(), set)
	watched := func(c cgroup) func() bool {
		info, err := os.Stat(c.h.memory.of(c.path))
		require.NoError(t, err)
		return func() bool { return slices.Contains(inotifyInodes(t), inode(info)) }
	}
	onlyTheRoot := func() bool {
		want := 1
		if root.h.memory.v2 {
			want = 2 // memory.events
		}
		return len(r.folders.WatchList()) == want && len(inotifyInodes(t)) == want
	}
	require.Eventually(t, onlyTheRoot, patience, poll, "before")
	var children []cgroup
	for i := range cgroups {
		children = append(children, root.child(t, fmt.Sprintf("child%d", i)))
	}
	for _, c := range children {
		require.Eventually(t, watched(c), patience, poll)
	}
	for _, c := range children {
		c.remove(t)
	}
	await(t, sink, eventRemoved, cgroups)
	require.Eventually(t, onlyTheRoot, patience, poll, "after many were removed")

	again := root.child(t, "again")
	for range cgroups {
		require.Eventually(t, watched(again), patience, poll)
		again.remove(t)
		require.NoError(t, again.make(t)) // at once: it may be seen before the end of the one before it is
	}
	require.Eventually(t, watched(again), patience, poll)
	again.remove(t)
	require.Eventually(t, onlyTheRoot, patience, poll, "after one was removed and made again many times")
}

// inotifyInodes are the inodes that this process watches, as the kernel has them.
func inotifyInodes(t *testing.T) []uint64 {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fdinfo/*")
	require.NoError(t, err)
	var inodes []uint64
	for _, file := range files {
		info, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		for line := range strings.Lines(string(info)) {
			var wd int
			var ino uint64
			if n, _ := fmt.Sscanf(line, "inotify wd:%x ino:%x", &wd, &ino); n == 2 {
				inodes = append(inodes, ino)
			}
		}
	}
	return inodes
}

// An event is not lost when the next component refuses it for a while.
func TestRealKillIsToldAgainUntilItIsTaken(t *testing.T) {
	root := realCgroup(t)
	c := root.child(t, "refused")
	c.limit(t, tight)
	set, _ := settings(t)
	sink := startEvents(t, root.below(), set, func(next consumer.Logs) consumer.Logs { return &refusing{next, 3} })
	startWorkload(t, c).dieOf(t, "anon", 2*tight)
	assert.Equal(t, []event{{cgroup: c.path, count: 1}}, await(t, sink, eventOOMKill, 1))
}

// refusing refuses each record some times, for now.
type refusing struct {
	consumer.Logs
	left int
}

func (r *refusing) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	if r.left--; r.left > 0 {
		return errors.New("come again")
	}
	r.left = 3
	return r.Logs.ConsumeLogs(ctx, ld)
}
