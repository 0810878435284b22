package cgroupreceiver

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// What a process allocates is what the receiver shows: anonymous memory as anonymous, page cache as page cache and not as
// anything that could not be dropped.
func TestRealMemory(t *testing.T) {
	c := realCgroup(t).child(t, "memory")
	c.limit(t, 256*mib)
	set, _ := settings(t)
	s := startScraper(t, c.below(), set)
	w := startWorkload(t, c)
	w.do(t, "spin", "1ms")
	before := scrape(t, s)
	grown := func(md pmetric.Metrics, name string) float64 {
		return (value(t, md, c.path, name) - value(t, before, c.path, name)) / mib
	}

	w.do(t, "anon", 48*mib)
	md := scrape(t, s)
	assert.InDelta(t, 48, grown(md, "container.memory.anon"), 4)
	assert.InDelta(t, 48, grown(md, "container.memory.usage"), 6)
	assert.InDelta(t, 0, grown(md, "container.memory.file"), 4)
	assert.InDelta(t, 0, grown(md, "container.memory.shmem"), 1)
	assert.EqualValues(t, 256*mib, value(t, md, c.path, "container.memory.limit"))
	assert.Greater(t, value(t, md, c.path, "container.memory.paging.faults", "minor"), float64(48*mib/os.Getpagesize()/512))

	file := filepath.Join(t.TempDir(), "file")
	w.do(t, "file", file, 64*mib)
	onTmpfs := fsType(t, file) == 0x01021994
	md = scrape(t, s)
	assert.InDelta(t, 64, grown(md, "container.memory.file"), 6)
	assert.InDelta(t, 48, grown(md, "container.memory.anon"), 8, "page cache is not anonymous")
	assert.InDelta(t, 112, grown(md, "container.memory.usage"), 16)
	if !onTmpfs {
		assert.InDelta(t, 0, grown(md, "container.memory.shmem"), 1, "page cache is not shared memory")
	}
	if c.h.memory.v2 {
		assert.Less(t, value(t, md, c.path, "container.memory.kernel.unreclaimable"), float64(8*mib), "page cache is not kernel memory")
	} else {
		_, ok := point(md, c.path, "container.memory.kernel.unreclaimable")
		assert.False(t, ok, "v1 does not tell what of the kernel's memory can be reclaimed")
	}
}

// Page cache that fills a limit is dropped again and again: the limit is hit, and nothing but page cache has grown.
func TestRealPageCacheFillsTheLimit(t *testing.T) {
	c := realCgroup(t).child(t, "cache")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	if fsType(t, file) == 0x01021994 {
		t.Skip("the folder for temporary files is in memory, whose page cache cannot be dropped; set TMPDIR")
	}
	c.limit(t, 48*mib)
	set, _ := settings(t)
	s := startScraper(t, c.below(), set)
	w := startWorkload(t, c)
	w.do(t, "file", file, 128*mib)
	md := scrape(t, s)
	assert.Positive(t, value(t, md, c.path, "container.memory.events", "max"))
	assert.Zero(t, value(t, md, c.path, "container.memory.events", "oom_kill"))
	assert.Less(t, value(t, md, c.path, "container.memory.anon")+value(t, md, c.path, "container.memory.shmem"), float64(24*mib))
	assert.Greater(t, value(t, md, c.path, "container.memory.file"), float64(8*mib))
}

func fsType(t *testing.T, file string) int64 {
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(file, &st))
	return int64(st.Type)
}

// CPU time is what the process says that it used; a quota below it throttles, and shows as a limit.
func TestRealCPU(t *testing.T) {
	c := realCgroup(t).child(t, "cpu")
	set, _ := settings(t)
	s := startScraper(t, c.below(), set)
	w := startWorkload(t, c)
	w.do(t, "spin", "1ms")
	used := func(md pmetric.Metrics) float64 {
		return value(t, md, c.path, "container.cpu.time", "user") + value(t, md, c.path, "container.cpu.time", "system")
	}
	before := scrape(t, s)
	_, limited := point(before, c.path, "container.cpu.limit")
	assert.False(t, limited, "there is no quota yet")
	var spun, told float64
	for range 5 { // v1 counts ticks, of which an emulated machine that is busy loses some
		var err error
		spun, err = strconv.ParseFloat(w.do(t, "spin", "500ms"), 64)
		require.NoError(t, err)
		after := scrape(t, s)
		told, before = used(after)-used(before), after
		if math.Abs(told-spun) < 0.1 {
			break
		}
	}
	assert.InDelta(t, spun, told, 0.1+spun/3)

	if c.h.cpu.v2 {
		c.set(t, c.h.cpu, "cpu.max", "", "20000 100000")
	} else {
		c.set(t, c.h.cpu, "", "cpu.cfs_quota_us", "20000")
	}
	// The kernel counts the time when it is over; where others keep the CPUs busy, the quota may not be reached in a second.
	var md pmetric.Metrics
	for range 20 {
		w.do(t, "spin", "1s")
		md = scrape(t, s)
		if value(t, md, c.path, "container.cpu.throttling_data.throttled_time") > 0 {
			break
		}
	}
	assert.InDelta(t, 0.2, value(t, md, c.path, "container.cpu.limit"), 1e-9)
	assert.Positive(t, value(t, md, c.path, "container.cpu.throttling_data.throttled_periods"))
	assert.Positive(t, value(t, md, c.path, "container.cpu.throttling_data.throttled_time"))
	assert.GreaterOrEqual(t, value(t, md, c.path, "container.cpu.throttling_data.periods"),
		value(t, md, c.path, "container.cpu.throttling_data.throttled_periods"))
}

// Pressure is told where the kernel has it for cgroups, on v2; elsewhere its absence is no error.
func TestRealPressure(t *testing.T) {
	c := realCgroup(t).child(t, "pressure")
	set, tel := settings(t)
	s := startScraper(t, c.below(), set)
	md := scrape(t, s)
	_, told := point(md, c.path, "container.pressure.stall_time", "cpu", "some")
	_, err := os.Stat(c.h.unified + c.path + "/cpu.pressure")
	assert.Equal(t, c.h.unified != "" && err == nil, told)
	assert.Zero(t, counted(tel, "receiver_cgroup_read_errors"))
	if !told || !c.h.cpu.v2 {
		return
	}
	c.set(t, c.h.cpu, "cpu.max", "", "10000 100000")
	startWorkload(t, c).do(t, "spin", "1s")
	assert.Positive(t, value(t, scrape(t, s), c.path, "container.pressure.stall_time", "cpu", "some"))
}

// Bytes that were written past the page cache are told as written.
func TestRealIO(t *testing.T) {
	c := realCgroup(t).child(t, "io")
	set, _ := settings(t)
	s := startScraper(t, c.below(), set)
	file := filepath.Join(t.TempDir(), "file")
	w := startWorkload(t, c)
	require.NoError(t, w.tell("direct", file, 16*mib))
	answer, err := w.out.ReadString('\n')
	require.NoError(t, err)
	if strings.HasPrefix(answer, "error") {
		t.Skipf("the folder for temporary files cannot be written directly (%s); set TMPDIR", answer)
	}
	md := scrape(t, s)
	if _, ok := point(md, c.path, "container.disk.io", "write"); !ok {
		// On v1 many kernels account for throttled devices only: then nothing is told, rather than zero.
		require.False(t, c.h.io.v2, "v2 accounts for every device")
		return
	}
	assert.InDelta(t, 16*mib, value(t, md, c.path, "container.disk.io", "write"), mib)
	assert.Positive(t, value(t, md, c.path, "container.disk.operations", "write"))
}

// The limit of processes, how many there are, and how often one more was refused.
func TestRealPIDs(t *testing.T) {
	c := realCgroup(t).child(t, "pids")
	if c.h.pids.folder == "" {
		t.Skip("this host has no pids controller")
	}
	c.set(t, c.h.pids, "pids.max", "pids.max", "1")
	set, _ := settings(t)
	s := startScraper(t, c.below(), set)
	shell := exec.Command("sh", "-c", "read go; (exit 0); echo done; read go")
	in, err := shell.StdinPipe()
	require.NoError(t, err)
	out, err := shell.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, shell.Start())
	defer func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
	}()
	c.enter(t, shell.Process.Pid)
	md := scrape(t, s)
	assert.EqualValues(t, 1, value(t, md, c.path, "container.pids.count"))
	assert.EqualValues(t, 1, value(t, md, c.path, "container.pids.limit"))
	assert.Zero(t, value(t, md, c.path, "container.pids.limit_hits"))
	_, err = in.Write([]byte("go\n"))
	require.NoError(t, err)
	_, _ = out.Read(make([]byte, 16)) // it went on, or ended for want of a process
	assert.Positive(t, value(t, scrape(t, s), c.path, "container.pids.limit_hits"))
}

// New cgroups appear with the next scrape and vanished ones are gone with it. Counters of one that was not there before
// count from the scrape before, and those of another cgroup under an old name start again.
func TestRealScrapesFollow(t *testing.T) {
	root := realCgroup(t)
	root.delegate(t)
	set, _ := settings(t)
	s := startScraper(t, root.below(), set)
	there := func(c cgroup) (time.Time, bool) {
		p, ok := point(scrape(t, s), c.path, "container.memory.paging.faults", "minor")
		if !ok {
			return time.Time{}, false
		}
		return p.StartTimestamp().AsTime(), true
	}
	c := cgroup{h: root.h, path: root.path + "/child"}
	first := time.Now()
	_, ok := there(c)
	assert.False(t, ok, "it does not exist yet")
	second := time.Now()

	require.NoError(t, c.make(t))
	start, ok := there(c)
	require.True(t, ok)
	assert.WithinRange(t, start, first, second, "it began after the scrape before")
	again, _ := there(c)
	assert.Equal(t, start, again)

	c.remove(t)
	_, ok = there(c)
	assert.False(t, ok, "it is gone")

	require.NoError(t, c.make(t))
	start, _ = there(c)
	c.remove(t)
	require.NoError(t, c.make(t))
	another, _ := there(c)
	assert.True(t, another.After(start), "another cgroup of the same name has counters of its own")
}

// Cgroups that come and go in the middle of a scrape make neither errors nor holes elsewhere.
func TestRealScrapesWhileCgroupsVanish(t *testing.T) {
	root := realCgroup(t)
	stays := root.child(t, "stays")
	set, tel := settings(t)
	s := startScraper(t, root.below(), set)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			folder := root.h.memory.of(root.path) + "/comes-and-goes-" + strconv.Itoa(i%8)
			if i%16 < 8 {
				_ = os.Mkdir(folder, 0o755)
			} else {
				_ = syscall.Rmdir(folder)
			}
			select {
			case <-stop:
				for i := range 8 {
					_ = syscall.Rmdir(root.h.memory.of(root.path) + "/comes-and-goes-" + strconv.Itoa(i))
				}
				return
			default:
			}
		}
	}()
	for range 100 {
		_, ok := point(scrape(t, s), stays.path, "container.memory.usage")
		assert.True(t, ok)
	}
	close(stop)
	<-stopped
	assert.Zero(t, counted(tel, "receiver_cgroup_read_errors"))
}

// No more than max_cgroups are read; the others are counted at each scrape.
func TestRealMaxCgroups(t *testing.T) {
	root := realCgroup(t)
	for _, name := range []string{"a", "b", "c"} {
		root.child(t, name)
	}
	cfg := root.below()
	cfg.MaxCgroups = 3
	cfg.Exclude = []string{root.path + "/c"}
	set, tel := settings(t)
	s := startScraper(t, cfg, set)
	assert.Equal(t, 3, scrape(t, s).ResourceMetrics().Len())
	assert.Zero(t, counted(tel, "receiver_cgroup_dropped"), "three are few enough")
	cfg.MaxCgroups = 1
	assert.Equal(t, 1, scrape(t, s).ResourceMetrics().Len())
	assert.EqualValues(t, 2, counted(tel, "receiver_cgroup_dropped"))
}

// No more than max_open_files stay open, what is read from them is fresh, and those of a vanished cgroup are closed.
func TestRealMaxOpenFiles(t *testing.T) {
	root := realCgroup(t)
	c := root.child(t, "child")
	for _, keep := range []int{0, 5, 2048} {
		cfg := c.below()
		cfg.MaxOpenFiles = keep
		set, tel := settings(t)
		s := startScraper(t, cfg, set)
		for _, limit := range []int{64 * mib, 128 * mib} {
			c.limit(t, limit)
			assert.EqualValues(t, limit, value(t, scrape(t, s), c.path, "container.memory.limit"))
		}
		switch open := openBelow(t, c.path); keep {
		case 0, 5:
			assert.Equal(t, keep, open)
		default:
			assert.Greater(t, open, 5)
			c.remove(t)
			scrape(t, s)
			assert.Zero(t, openBelow(t, c.path))
		}
		require.NoError(t, s.reader.close())
		assert.Zero(t, openBelow(t, c.path))
		assert.Zero(t, counted(tel, "receiver_cgroup_read_errors"))
	}
}

// openBelow counts the files of a cgroup that this process has open.
func openBelow(t *testing.T, cgroup string) int {
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	n := 0
	for _, fd := range fds {
		if file, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.Contains(file, cgroup+"/") {
			n++
		}
	}
	return n
}
