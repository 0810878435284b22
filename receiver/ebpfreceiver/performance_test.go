//go:build linux

package ebpfreceiver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"golang.org/x/sys/unix"
)

// Two threads that want one CPU wait for half of the time, each time for as long as the other has it.
func TestRealRunQueue(t *testing.T) {
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	m.find(t, "/"+c.Name, "container.cpu.run_queue.time") // the first look
	w := workload(t, c, "spin", "2s")
	require.NoError(t, w.Wait())
	p, ok := m.find(t, "/"+c.Name, "container.cpu.run_queue.time")
	require.True(t, ok)
	assert.GreaterOrEqual(t, p.Sum().DataPoints().At(0).DoubleValue(), 1.0)
	assert.Positive(t, m.histogram(t, "/"+c.Name, "container.cpu.run_queue.duration"))
}

// A kernel without the memory controller has none of its tracepoints: the rest is told.
func TestRealWithoutMemoryController(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this test loads programs into the kernel, which takes root")
	}
	spec, err := loadPerformance()
	require.NoError(t, err)
	for _, p := range spec.Programs {
		if strings.HasPrefix(p.SectionName, ofMemoryController) {
			p.SectionName += "_of_none"
		}
	}
	a, err := attach(spec)
	require.NoError(t, err)
	require.NoError(t, a.close())
}

// Page cache that fills the limit has to be reclaimed by who wants more, and what was written reaches a disk.
func TestRealReclaimAndDisks(t *testing.T) {
	c, _ := realCgroup(t, 48*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	w := workload(t, c, "cache", strconv.Itoa(80*mib), filepath.Join(t.TempDir(), "cache"))
	require.NoError(t, w.Wait())
	assert.Positive(t, m.of(t, "/"+c.Name)["container.memory.reclaim.count"])
	p, ok := m.find(t, "/"+c.Name, "container.memory.reclaim.time")
	require.True(t, ok)
	assert.Positive(t, p.Sum().DataPoints().At(0).DoubleValue())

	written, ok := m.find(t, "", "system.disk.io.duration")
	require.True(t, ok)
	assert.Positive(t, written.Histogram().DataPoints().At(0).Count())
	failed, ok := m.find(t, "", "system.disk.io.errors")
	require.True(t, ok)
	v, _ := failed.Sum().DataPoints().At(0).Attributes().Get("system.device")
	assert.NotEmpty(t, v.Str())
}

// The process that grows is named, and by how much.
func TestRealGrowth(t *testing.T) {
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	w := workload(t, c, "grow", strconv.Itoa(64*mib))
	require.Eventually(t, func() bool {
		p, ok := m.find(t, "/"+c.Name, "container.memory.process.growth")
		if !ok {
			return false
		}
		at := p.Gauge().DataPoints().At(0)
		pid, _ := at.Attributes().Get("process.pid")
		return pid.Int() == int64(w.Process.Pid) && at.IntValue() > 32*mib
	}, patience, time.Second)
}

// Who has made a process by vfork waits in state D until that ends or runs a program.
func TestRealUninterruptible(t *testing.T) {
	c, _ := realCgroup(t, 256*mib)
	m := startMetrics(t, createDefaultConfig().(*Config))
	m.find(t, "/"+c.Name, "container.task.uninterruptible.time") // the first look
	w := workload(t, c, "uninterruptible", "20s")
	waited := func() float64 {
		p, ok := m.find(t, "/"+c.Name, "container.task.uninterruptible.time")
		if !ok {
			return 0
		}
		return p.Sum().DataPoints().At(0).DoubleValue()
	}
	require.Eventually(t, func() bool { return waited() >= 1 }, patience, 200*time.Millisecond)
	require.NoError(t, w.Process.Kill())
	_ = w.Wait()
}

// waitUninterruptibly waits for a process that it has made by vfork, which does nothing for a while.
func waitUninterruptibly(duration string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	while := unix.NsecToTimespec(d.Nanoseconds())
	// Its memory is a copy, so that nothing can happen to this process's. No signal to its parent tells of its end.
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_VFORK, 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&while)), 0, 0)
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// A disk that lies in a file system without space fails to write.
func TestRealDiskErrors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a disk")
	}
	m := startMetrics(t, createDefaultConfig().(*Config))
	device := loopDisk(t)
	failed := func() int64 { return m.of(t, "")["system.disk.io.errors "+filepath.Base(device)] }
	f, err := os.OpenFile(device, os.O_WRONLY|unix.O_DIRECT, 0)
	require.NoError(t, err)
	defer f.Close()
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	before := failed()
	for i := range 3 {
		_, err := f.WriteAt(page, int64(i)*mib)
		require.Error(t, err)
	}
	assert.Equal(t, before+3, failed())
}

// loopDisk makes a disk of a file that cannot grow. It skips the test where the kernel has no such disks, as those of our virtual
// machines, which come without modules.
func loopDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(folder, 0)) })
	file, err := os.Create(filepath.Join(folder, "disk"))
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, file.Truncate(16*mib))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "all the space there is"), make([]byte, 64<<10), 0o600))
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no loop devices here: %v", err)
	}
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	require.NoError(t, err)
	device := fmt.Sprintf("/dev/loop%d", number)
	disk, err := os.OpenFile(device, os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetInt(int(disk.Fd()), unix.LOOP_SET_FD, int(file.Fd())))
	t.Cleanup(func() {
		require.NoError(t, unix.IoctlSetInt(int(disk.Fd()), unix.LOOP_CLR_FD, 0))
		require.NoError(t, disk.Close())
	})
	return device
}

// find returns a metric of a cgroup, or of the machine (""), after a new reading.
func (m metrics) find(t *testing.T, cgroup, name string) (pmetric.Metric, bool) {
	t.Helper()
	md, err := m.scraper.scrape(context.Background())
	require.NoError(t, err)
	for _, rm := range md.ResourceMetrics().All() {
		if v, ok := rm.Resource().Attributes().Get("cgroup.path"); ok != (cgroup != "") || ok && v.Str() != cgroup {
			continue
		}
		for _, metric := range rm.ScopeMetrics().At(0).Metrics().All() {
			if metric.Name() == name {
				return metric, true
			}
		}
	}
	return pmetric.Metric{}, false
}
