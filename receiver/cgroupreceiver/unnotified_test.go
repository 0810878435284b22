package cgroupreceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"golang.org/x/sys/unix"
)

// innerVariable says that the test runs in a user namespace of its own.
const innerVariable = "TAPIO_TEST_INNER"

// On a node whose other programs have all instances of inotify that root may have (128 by default), kills are told all the same, a moment later.
func TestWithoutInotify(t *testing.T) {
	if os.Getenv(innerVariable) == "" {
		inner := exec.Command(os.Args[0], "-test.run=^TestWithoutInotify$")
		inner.Env = append(os.Environ(), innerVariable+"=1")
		inner.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := inner.CombinedOutput()
		if errors.Is(err, unix.EPERM) {
			t.Skip("this test makes a user namespace, which this machine allows root alone")
		}
		require.NoError(t, err, string(out))
		return
	}
	require.NoError(t, os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("0"), 0))
	_, err := unix.InotifyInit()
	require.ErrorIs(t, err, unix.EMFILE)
	for layout, file := range map[string]string{
		"docker-v2-systemd":  "/system.slice/docker-" + idA + ".scope/memory.events.local",
		"docker-v1-cgroupfs": "/memory/docker/" + idA + "/memory.oom_control",
	} {
		t.Run(layout, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			cfg.Mount = unpack(t, layout)
			set, _ := settings(t)
			sink := new(consumertest.LogsSink)
			r, err := NewFactory().CreateLogs(t.Context(), set, cfg, sink)
			require.NoError(t, err)
			require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
			t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
			kills := 1000
			require.Eventually(t, func() bool { // what was there at first is no news
				kills++
				require.NoError(t, os.WriteFile(filepath.Join(cfg.Mount, file), fmt.Appendf(nil, "oom_kill %d\n", kills), 0o600))
				return len(events(sink, eventOOMKill)) > 0
			}, patience, poll)
			e := await(t, sink, eventOOMKill, 1)[0]
			assert.Equal(t, idA, e.containerID)
			require.NoError(t, os.RemoveAll(filepath.Dir(filepath.Join(cfg.Mount, file))))
			assert.Equal(t, idA, await(t, sink, eventRemoved, 1)[0].containerID)
		})
	}
}
