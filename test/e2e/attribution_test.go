//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/harness"
)

// A server leaks in one handler while another makes thirty times as much garbage: before the kernel kills it, the prediction tells
// who holds the memory.
func TestLeakIsAttributed(t *testing.T) {
	t.Parallel()
	const name = "tapio-test-attribution"
	server := filepath.Join(t.TempDir(), "goleak")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", server, ".")
	build.Dir = "../../receiver/ebpfreceiver/internal/attribution/testdata/goleak"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	c, err := harness.NewCgroup(name, 160<<20)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Remove()) })
	collector := newCollector(t, []string{"TAPIO_INTERVAL=1s"})
	start(t, collector)

	var said strings.Builder
	cmd := exec.Command("sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(c.Folder, "cgroup.procs"), server)
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var held *finding.Evidence
	for held == nil {
		f, err := collector.Finding(ctx, "memory-exhaustion", name)
		require.NoError(t, err)
		if f != nil {
			for _, e := range f.Evidence {
				if e.Signal == "memory.retained" {
					held = &e
					assert.Contains(t, f.Explanation, e.Text)
				}
			}
		}
		select {
		case err := <-ended:
			require.NotNil(t, held, "it ended (%v) before it was told who holds the memory: %s", err, said.String())
		case <-ctx.Done():
			t.Fatal("nobody told who holds the memory")
		case <-time.After(time.Second):
		}
	}
	assert.Equal(t, finding.LayerEBPF, held.Layer)
	assert.Contains(t, held.Text, "held by main.(*SessionCache).Put (main.go:")
	assert.Contains(t, held.Text, "← main.users (HTTP handler)")
	assert.NotContains(t, held.Text, "main.health")
	why, stderr, status := collector.Tapio(ctx, "why", name)
	require.Zero(t, status, stderr)
	assert.Contains(t, why, "held by main.(*SessionCache).Put")
	t.Log(fmt.Sprintf("\n%s", why))
	select {
	case <-ended:
	case <-ctx.Done():
		t.Fatal("it was not killed")
	}
	state := cmd.ProcessState.Sys().(syscall.WaitStatus)
	assert.True(t, state.Signaled() && state.Signal() == syscall.SIGKILL)
}
