//go:build linux

package ebpfreceiver

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
)

// Ends of processes are told with how, and by whom.
func TestRealProcessExits(t *testing.T) {
	c, id := realCgroup(t, 256*mib)
	sink := startEvents(t, createDefaultConfig().(*Config))

	t.Run("with a code", func(t *testing.T) {
		w := workload(t, c, "exit", "3")
		require.Error(t, w.Wait())
		e := sink.await(t, eventProcessExit, w.Process.Pid)
		assert.Equal(t, id, e.resource["container.id"])
		assert.EqualValues(t, 3, e.attribute("process.exit.code").Int())
		assert.True(t, e.attribute("process.main").Bool(), "who started it is in another cgroup")
		assert.EqualValues(t, os.Getpid(), e.attribute("process.parent_pid").Int())
		assert.Contains(t, e.record.Body().Str(), "ended with code 3")
	})
	t.Run("killed by somebody", func(t *testing.T) {
		w := workload(t, c, "wait")
		require.NoError(t, w.Process.Kill())
		require.Error(t, w.Wait())
		e := sink.await(t, eventProcessExit, w.Process.Pid)
		assert.EqualValues(t, unix.SIGKILL, e.attribute("process.exit.signal").Int())
		assert.Equal(t, "process", e.attribute("signal.origin").Str())
		assert.EqualValues(t, os.Getpid(), e.attribute("signal.sender.pid").Int())
		assert.False(t, e.attribute("signal.sender.inside").Bool())
	})
	t.Run("a bad address", func(t *testing.T) {
		w := workload(t, c, "fault")
		require.Error(t, w.Wait())
		e := sink.await(t, eventProcessExit, w.Process.Pid)
		assert.Equal(t, "SIGSEGV", e.attribute("process.exit.signal.name").Str())
		assert.Equal(t, "fault", e.attribute("signal.origin").Str())
		assert.Regexp(t, "^0x[0-9a-f]+000$", e.attribute("signal.address").Str(), "the beginning of a page")
	})
	t.Run("an address that none can be", func(t *testing.T) {
		w := workload(t, c, "wild")
		require.Error(t, w.Wait())
		e := sink.await(t, eventProcessExit, w.Process.Pid)
		assert.Equal(t, "SIGSEGV", e.attribute("process.exit.signal.name").Str())
		assert.Equal(t, "fault", e.attribute("signal.origin").Str())
		_, told := e.record.Attributes().Get("signal.address")
		assert.Equal(t, runtime.GOARCH != "amd64", told, "that of x86 does not tell it")
	})
	t.Run("its own signal", func(t *testing.T) {
		w := workload(t, c, "abort")
		require.Error(t, w.Wait())
		e := sink.await(t, eventProcessExit, w.Process.Pid)
		assert.Equal(t, "SIGABRT", e.attribute("process.exit.signal.name").Str())
		assert.Equal(t, "self", e.attribute("signal.origin").Str())
	})
	t.Run("an end without fault is none of it", func(t *testing.T) {
		w := workload(t, c, "exit", "0")
		require.NoError(t, w.Wait())
		last := workload(t, c, "exit", "4")
		require.Error(t, last.Wait())
		sink.await(t, eventProcessExit, last.Process.Pid)
		for _, e := range sink.named(eventProcessExit) {
			assert.NotEqual(t, int64(w.Process.Pid), e.attribute("process.pid").Int())
		}
	})
}

// A signal whose end was not told was not sent to who has the number of that process later.
func TestRealNumberUsedAgain(t *testing.T) {
	first, _ := realCgroup(t, 256*mib)
	second, id := realCgroup(t, 256*mib)
	sink := startEvents(t, createDefaultConfig().(*Config))
	require.NoError(t, workload(t, first, "again", second.Folder).Wait())
	require.Eventually(t, func() bool { return sink.count(eventProcessExit, id) > 0 }, patience, poll)
	for _, e := range sink.named(eventProcessExit) {
		if e.resource["container.id"] == id {
			assert.EqualValues(t, unix.SIGKILL, e.attribute("process.exit.signal").Int())
			_, told := e.record.Attributes().Get("signal.origin")
			assert.False(t, told, "%s", e.record.Body().Str())
		}
	}
}

// endAgain has more processes killed by a signal than are told of a cgroup, and then, in another, one with the number of the last be ended as if by
// it: seccomp sends none.
func endAgain(folder string) error {
	var pid int
	for range 20 {
		var err error
		if pid, err = child(0); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	again, err := child(pid)
	if err == nil && again != pid {
		err = fmt.Errorf("want the number %d, got %d", pid, again)
	}
	return err
}

// child makes a process that ends by SIGKILL: sent by itself, or, where it is given a number, by what it may not call.
//
//go:norace
func child(number int) (int, error) {
	numbers := [1]int32{int32(number)}
	args := struct{ flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64 }{exitSignal: uint64(unix.SIGCHLD)}
	if number > 0 {
		args.setTID, args.setTIDSize = uint64(uintptr(unsafe.Pointer(&numbers))), 1
	}
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno != 0 {
		return 0, fmt.Errorf("make a process: %w", errno)
	}
	if pid == 0 { // which has one thread, and can make system calls only
		if number > 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_STRICT, 0)
		}
		self, _, _ := unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
		for {
			_, _, _ = unix.RawSyscall(unix.SYS_KILL, self, uintptr(unix.SIGKILL), 0)
		}
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return int(pid), err
}

// A fault without an address is not taken for one at 0, nor what the kernel sends for other reasons for a fault.
func TestSignalOfTheKernel(t *testing.T) {
	for _, c := range []struct {
		signal       unix.Signal
		code         int32
		origin, body string
		address      bool
	}{
		{unix.SIGSEGV, 1, "fault", "at the address 0x1000", true}, // SEGV_MAPERR
		{unix.SIGSEGV, siKernel, "fault", "whose address the CPU does not tell", false},
		{unix.SIGTRAP, siKernel, "fault", "whose address the CPU does not tell", false},
		{unix.SIGKILL, siKernel, "kernel", "which the kernel sent", false},
	} {
		r := plog.NewLogRecord()
		processHandler{}.fill(r, bpf.ProcessExit{Code: uint32(c.signal), HasSender: 1, Sent: bpf.ProcessSent{By: bpf.ProcessSenderFAULT, Signal: int32(c.signal), Code: c.code, Address: 0x1000}})
		origin, _ := r.Attributes().Get("signal.origin")
		assert.Equal(t, c.origin, origin.Str())
		_, told := r.Attributes().Get("signal.address")
		assert.Equal(t, c.address, told)
		assert.Contains(t, r.Body().Str(), c.body)
	}
}

// A cgroup that ends badly all the time is counted, and only some of it told.
func TestRealProcessCounts(t *testing.T) {
	c, id := realCgroup(t, 256*mib)
	cfg := createDefaultConfig().(*Config)
	m := startMetrics(t, cfg)
	sink := startEvents(t, cfg)
	const children = 20
	began := time.Now()
	w := workload(t, c, "children", "20")
	require.NoError(t, w.Wait())
	took := time.Since(began)
	m.await(t, "/"+c.Name, map[string]int64{
		"container.process.forks":          children,
		"container.process.execs":          children,
		"container.process.exits ok":       1, // the workload itself
		"container.process.exits failed":   0,
		"container.process.exits signaled": children,
	})
	windows := 1 + int(took/(10*time.Second))
	assert.LessOrEqual(t, sink.count(eventProcessExit, id), min(16*windows, children))
	assert.GreaterOrEqual(t, sink.count(eventProcessExit, id), 16)
	untold, err := m.telemetry.GetMetric("otelcol_receiver_ebpf_untold")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, untold.Data.(metricdata.Sum[int64]).DataPoints[0].Value, int64(children-16*windows))
}
