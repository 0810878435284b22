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

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/test/harness"
)

// leaking is a server in a cgroup that leaks in one handler while another makes thirty times as much garbage.
type leaking struct {
	cgroup *harness.Cgroup
	cmd    *exec.Cmd
	ended  chan error
	said   strings.Builder
}

func startLeaking(t *testing.T, name string, limit int64, every time.Duration) *leaking {
	t.Helper()
	server := filepath.Join(t.TempDir(), "goleak")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", server, ".")
	build.Dir = "../../receiver/ebpfreceiver/internal/attribution/testdata/goleak"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	c, err := harness.NewCgroup(name, limit)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Remove()) })
	l := &leaking{cgroup: c, ended: make(chan error, 1)}
	l.cmd = exec.Command("sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(c.Folder, "cgroup.procs"), server, "-every", every.String())
	l.cmd.Stderr = &l.said
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, l.cmd.Start())
	go func() { l.ended <- l.cmd.Wait() }()
	t.Cleanup(func() { _ = l.cmd.Process.Kill() })
	return l
}

// Before the kernel kills it, the prediction tells who holds the memory.
func TestLeakIsAttributed(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("tapio-test-attribution-%d", os.Getpid())
	collector := newCollector(t, everySecond)
	start(t, collector)
	l := startLeaking(t, name, 160<<20, 40*time.Millisecond) // three minutes: slow enough that the answer comes well before the kill
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var held *finding.Evidence
	var id string
	for {
		f, err := collector.Finding(ctx, "memory-exhaustion", name)
		require.NoError(t, err)
		if f != nil {
			id = f.ID
			for _, e := range f.Evidence {
				if e.Signal == "memory.retained" {
					held = &e
					assert.Contains(t, f.Explanation, e.Text)
				}
			}
		}
		if held != nil {
			break
		}
		select {
		case err := <-l.ended:
			require.FailNow(t, "nobody was told in time who holds the memory", "it ended: %v %s", err, &l.said)
		case <-ctx.Done():
			t.Fatal("nobody told who holds the memory")
		case <-time.After(time.Second):
		}
	}
	assert.Equal(t, finding.LayerEBPF, held.Layer)
	assert.Contains(t, held.Text, "held by main.(*SessionCache).Put (main.go:")
	assert.Contains(t, held.Text, "← main.users (GET /api/users)")
	assert.NotContains(t, held.Text, "main.health")
	why, stderr, status := collector.Tapio(ctx, "why", id)
	require.Zero(t, status, stderr)
	assert.Contains(t, why, "held by main.(*SessionCache).Put")
	t.Logf("\n%s", why)
	l.cgroup.Tighten(8 << 20)
	select {
	case <-l.ended:
	case <-ctx.Done():
		t.Fatal("it was not killed")
	}
	state := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	assert.True(t, state.Signaled() && state.Signal() == syscall.SIGKILL)
}

// By hand, whether or not anything is foreseen: the answer is told, and joins what is found.
func TestLeakIsAttributedByHand(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("tapio-test-by-hand-%d", os.Getpid())
	collector := newCollector(t, everySecond)
	start(t, collector)
	startLeaking(t, name, 1<<30, 10*time.Millisecond)
	time.Sleep(5 * time.Second)
	pprof := filepath.Join(t.TempDir(), "leak.pb.gz")
	asked, stderr, status := collector.Tapio(t.Context(), "why", name, "--profile", "8s", "--pprof", pprof)
	require.Zero(t, status, stderr)
	assert.Contains(t, asked, "1. main.(*SessionCache).Put ← main.users\n     retained, +")
	assert.Contains(t, asked, "HTTP handler: main.users (GET /api/users)")
	_, err := profile.ParseData(read(t, pprof))
	require.NoError(t, err)
	_, stderr, status = collector.Tapio(t.Context(), "why", "nobody", "--profile", "8s")
	assert.NotZero(t, status)
	assert.Contains(t, stderr, "no entity \"nobody\"")
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}
