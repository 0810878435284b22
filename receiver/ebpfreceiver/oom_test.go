//go:build linux

package ebpfreceiver

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/bpf"
)

// A real kill is told with the container, the victim, what it held, whose limit it was, and who asked for more.
func TestRealOOMKill(t *testing.T) {
	c, id := realCgroup(t, 48*mib)
	sink := startEvents(t, createDefaultConfig().(*Config))
	w := workload(t, c, "hold", strconv.Itoa(96*mib))
	var exit *exec.ExitError
	require.ErrorAs(t, w.Wait(), &exit)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
	ended := time.Now()

	e := sink.await(t, eventOOMKill, w.Process.Pid)
	assert.Equal(t, "/"+c.Name, e.resource["cgroup.path"])
	assert.Equal(t, id, e.resource["container.id"])
	assert.Equal(t, "docker", e.resource["container.runtime.name"])
	version := "1"
	if c.V2() {
		version = "2"
	}
	assert.Equal(t, version, e.resource["cgroup.version"])
	assert.WithinDuration(t, ended, e.record.Timestamp().AsTime(), 10*time.Second)
	assert.False(t, e.record.Timestamp().AsTime().After(ended), "the kill came before the end")
	comm := filepath.Base(w.Path)
	comm = comm[:min(len(comm), 15)]
	assert.Equal(t, comm, e.attribute("process.executable.name").Str())
	assert.Equal(t, comm, e.attribute("oom_kill.trigger.name").Str(), "it was alone in there")
	assert.EqualValues(t, w.Process.Pid, e.attribute("oom_kill.trigger.pid").Int())
	assert.InDelta(t, 48*mib, e.attribute("oom_kill.memory.anon").Int(), 32*mib, "and what it held before it moved there")
	assert.Equal(t, "cgroup", e.attribute("oom_kill.scope").Str())
	assert.Equal(t, "/"+c.Name, e.attribute("oom_kill.limited").Str())
	assert.EqualValues(t, 48*mib, e.attribute("oom_kill.limit").Int())
	assert.InDelta(t, 48*mib, e.attribute("oom_kill.usage").Int(), 2*mib)
	assert.EqualValues(t, syscall.SIGKILL, e.attribute("process.exit.signal").Int())
	assert.Positive(t, e.attribute("oom_kill.end_after").Int())
	assert.Contains(t, e.record.Body().Str(), "was at its limit of 48 MiB")
	assert.Equal(t, plog.SeverityNumberError, e.record.SeverityNumber())

	time.Sleep(100 * time.Millisecond)
	assert.Equal(t, 1, sink.count(eventOOMKill, id), "once")
}

// The kernel's own SIGKILL is no proof, nor is that of a person.
func TestRealKillByAPersonIsNoOOMKill(t *testing.T) {
	c, id := realCgroup(t, 48*mib)
	sink := startEvents(t, createDefaultConfig().(*Config))
	w := workload(t, c, "wait")
	require.NoError(t, w.Process.Kill())
	require.Error(t, w.Wait())
	// What comes later is told, so that this would have been.
	later := workload(t, c, "hold", strconv.Itoa(96*mib))
	require.Error(t, later.Wait())
	sink.await(t, eventOOMKill, later.Process.Pid)
	assert.Equal(t, 1, sink.count(eventOOMKill, id))
}

// What ran out of memory is told only as far as it is certain.
func TestOOMScope(t *testing.T) {
	for _, c := range []struct {
		name, victim, trigger string
		limited               bool
		levels                uint8
		scope, limit          string
	}{
		{"its own limit", "/pod/app", "/pod/app", true, 0, "cgroup", "/pod/app"},
		{"the pod's limit, hit by another container", "/pods/pod/app", "/pods/pod/other", true, 1, "cgroup", "/pods/pod"},
		{"the trigger is not below the limit: the kernel charged for another", "/pods/pod/app", "/pods/pod2/app", true, 1, "", ""},
		{"a name that only begins the same", "/pod", "/pod2", true, 0, "", ""},
		{"no limit was near, and they have nothing in common", "/pods/pod/app", "/system.slice/cron.service", false, 0, "node", ""},
		{"no limit was near, but one they share may have been", "/pods/pod/app", "/pods/pod2/app", false, 0, "", ""},
		{"both in the root", "/", "/", false, 0, "node", ""},
		{"more levels than there are", "/pod", "/pod", true, 9, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := bpf.OOMKill{Levels: c.levels}
			if c.limited {
				k.Limited = 1
			}
			scope, limit := oomScope(k, c.victim, c.trigger)
			assert.Equal(t, c.scope, scope)
			assert.Equal(t, c.limit, limit)
		})
	}
}
