//go:build linux

package attribution

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/test/harness"
)

const (
	megabyte   = 1 << 20
	eventually = 30 * time.Second
	often      = 200 * time.Millisecond
)

// program is a program under testdata that is built once.
type program struct {
	once sync.Once
	path string
	err  error
	out  []byte
	// missing says that what builds it is not installed.
	missing error
	args    []string // of what builds it; what is made follows the last
	dir     string
}

// name is how it is built: "gcc -O2 native.c".
func (p *program) name() string {
	return strings.ReplaceAll(strings.Join(p.args, " "), " -o OUT", "")
}

func (p *program) build(t testing.TB) string {
	if built := os.Getenv(programsVariable); built != "" {
		return filepath.Join(built, p.dir)
	}
	p.once.Do(func() {
		dir := filepath.Join(programs, fmt.Sprintf("%p", p))
		if p.err = os.Mkdir(dir, 0o755); p.err != nil {
			return
		}
		p.path = filepath.Join(dir, filepath.Base(p.dir))
		if _, err := exec.LookPath(p.args[0]); err != nil {
			p.missing = err
			return
		}
		var args []string
		for _, a := range p.args {
			args = append(args, strings.ReplaceAll(a, "OUT", p.path))
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = filepath.Join("testdata", p.dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off")
		p.out, p.err = cmd.CombinedOutput()
	})
	if p.missing != nil {
		t.Skip(p.missing)
	}
	require.NoError(t, p.err, "%s", p.out)
	return p.path
}

var (
	goleak         = &program{dir: "goleak", args: []string{"go", "build", "-o", "OUT", "."}}
	goleakStripped = &program{dir: "goleak", args: []string{"go", "build", "-ldflags=-s -w", "-o", "OUT", "."}}
	goleakPIE      = &program{dir: "goleak", args: []string{"go", "build", "-buildmode=pie", "-ldflags=-s -w", "-o", "OUT", "."}}
	cleak          = &program{dir: "cleak", args: []string{"gcc", "-O2", "-pthread", "-o", "OUT", "cleak.c"}}
	cleakMusl      = &program{dir: "cleak", args: []string{"musl-gcc", "-O2", "-static", "-o", "OUT", "cleak.c"}}

	programs string
)

func TestMain(m *testing.M) {
	// A kernel before 5.11 counts programs as locked memory: a service has LimitMEMLOCK for that. Others do not care.
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	serveLook()
	var err error
	if programs, err = os.MkdirTemp("", "attribution"); err != nil {
		panic(err)
	}
	// The cases wait more than they compute: more of them at once than there are CPUs. With too many none of them gets on, and on a
	// machine that is emulated one is work enough.
	flag.Parse()
	atOnce := "16"
	if os.Getenv(programsVariable) != "" {
		atOnce = "1"
	}
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(status)
}

var notName = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// workload is a process in a memory cgroup with a limit.
type workload struct {
	cmd    *exec.Cmd
	cgroup *harness.Cgroup
	ended  chan struct{}
	said   strings.Builder
}

func start(t *testing.T, limit int64, path string, args ...string) *workload {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes a cgroup, and loads programs into the kernel")
	}
	c, err := harness.NewCgroup(fmt.Sprintf("attribution-%d-%s", os.Getpid(), notName.ReplaceAllString(t.Name(), "-")), limit)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Remove()) })
	w := &workload{cgroup: c, ended: make(chan struct{})}
	join := `echo $$ > "$0" && exec "$@"`
	w.cmd = exec.Command("sh", append([]string{"-c", join, filepath.Join(c.Folder, "cgroup.procs"), path}, args...)...)
	w.cmd.Stderr = &w.said
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, w.cmd.Start())
	go func() {
		_ = w.cmd.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL) // its children as well
		<-w.ended
	})
	return w
}

// look attributes what the workload gains, once it has begun.
func (w *workload) look(t *testing.T) Process {
	t.Helper()
	return w.lookFor(t, Options{Window: 10 * time.Second, Longest: 20 * time.Second, Duty: Duty})
}

func (w *workload) lookFor(t *testing.T, o Options) Process {
	t.Helper()
	time.Sleep(2 * time.Second)
	r, err := Run(t.Context(), []int{w.cmd.Process.Pid}, o)
	require.NoError(t, err)
	require.Len(t, r.Processes, 1)
	p := r.Processes[0]
	t.Logf("%s: growth %.1f MB, grows %v, unattributed %.1f MB, %d hits, %v of CPU; %s", p.Runtime, p.Growth/1e6, p.Grows, p.Unattributed/1e6, p.Hits, r.CPU, p.Reason)
	for i, s := range p.Sites[:min(len(p.Sites), 5)] {
		t.Logf("%d. %s %.1f MB, %.0f %%, %.0f objects, %d samples: %s", i+1, s.Grade, s.Bytes/1e6, s.Share*100, s.Objects, s.Samples, s.Text())
	}
	return p
}

// named looks until somebody is named, three times at most, as the extension does: on a machine that is too busy one look may see too little.
func (w *workload) named(t *testing.T) (p Process) {
	t.Helper()
	for range 3 {
		if p = w.look(t); len(p.Sites) > 0 {
			break
		}
	}
	return p
}

// killed waits for the kernel's kill, which there is no need to wait for longer than what was seen wants.
func (w *workload) killed(t *testing.T) {
	t.Helper()
	w.finish(t)
	status := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	assert.True(t, status.Signaled() && status.Signal() == syscall.SIGKILL, "it ended with %v: %s", w.cmd.ProcessState, w.said.String())
}

// finish waits for the end of the workload, which is near from now on.
func (w *workload) finish(t *testing.T) {
	t.Helper()
	w.cgroup.Tighten(4 * megabyte)
	select {
	case <-w.ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("the workload was not killed")
	}
}

// holds asserts that nearly all of the growth is held where the texts say, and nothing by whom all the others are called.
func holds(t *testing.T, p Process, want ...string) {
	t.Helper()
	assert.True(t, p.Grows)
	var share float64
	var named []string
	for _, s := range p.Sites {
		if s.Share < 0.05 {
			continue
		}
		assert.Equal(t, Retained, s.Grade)
		share += s.Share
		named = append(named, s.Text())
	}
	assert.ElementsMatch(t, want, named)
	assert.Greater(t, share, 0.85)
}

// The handler health makes thirty times as much garbage as the leaking one keeps, in objects of the same size.
func TestGo(t *testing.T) {
	for name, p := range map[string]*program{"whole": goleak, "stripped": goleakStripped, "position independent": goleakPIE} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, 80*megabyte, p.build(t))
			got := w.named(t)
			holds(t, got, "main.(*SessionCache).Put ← main.users")
			if len(got.Sites) > 0 {
				assert.Equal(t, "main.users", got.Sites[0].Handler)
				assert.Equal(t, "GET /api/users", got.Sites[0].Route)
				assert.Equal(t, "example.com/goleak/main.go", got.Sites[0].Function.File)
				assert.NotZero(t, got.Sites[0].Function.Line)
			}
			w.killed(t)
		})
	}
}

func TestGoLibraryWithTwoCallers(t *testing.T) {
	t.Parallel()
	w := start(t, 120*megabyte, goleak.build(t), "-leak", "library")
	holds(t, w.named(t), "example.com/goleak/store.(*Log).Append ← main.orders", "example.com/goleak/store.(*Log).Append ← main.payments")
	w.killed(t)
}

func TestGoroutines(t *testing.T) {
	t.Parallel()
	w := start(t, 60*megabyte, goleakStripped.build(t), "-leak", "goroutines", "-every", "5ms")
	p := w.named(t)
	require.NotEmpty(t, p.Sites)
	var found bool
	for _, s := range p.Sites {
		if s.Kind != KindGoroutines {
			continue
		}
		found = true
		assert.Equal(t, "main.subscribe", s.Function.Function)
		assert.Equal(t, "GET /api/subscribe", s.Route)
		assert.Greater(t, s.Objects, 100.)
		var blocked []string
		for _, f := range s.Blocked {
			blocked = append(blocked, f.Function)
		}
		assert.Contains(t, blocked, "runtime.chanrecv1")
		assert.Contains(t, blocked, "main.deliver")
	}
	assert.True(t, found)
	w.killed(t)
}

// A cache that has reached its bound replaces what it holds: no site is named.
func TestGoBoundedCache(t *testing.T) {
	t.Parallel()
	w := start(t, 100*megabyte, goleak.build(t), "-leak", "cache", "-slots", "100")
	p := w.look(t)
	assert.False(t, p.Grows)
	assert.Empty(t, p.Sites)
	assert.NotEmpty(t, p.Reason)
	assert.NoError(t, syscall.Kill(w.cmd.Process.Pid, 0), "it lives")
}

func TestC(t *testing.T) {
	t.Parallel()
	w := start(t, 80*megabyte, cleak.build(t), "leak")
	p := w.named(t)
	holds(t, p, "session_new ← session_put ← main")
	w.killed(t)
}

func TestCBoundedCache(t *testing.T) {
	t.Parallel()
	w := start(t, 40*megabyte, cleak.build(t), "bounded")
	p := w.look(t)
	assert.False(t, p.Grows)
	assert.Empty(t, p.Sites)
	assert.NoError(t, syscall.Kill(w.cmd.Process.Pid, 0), "it lives")
}
