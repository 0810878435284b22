//go:build linux

package attribution

import (
	"fmt"
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

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

func native(args ...string) *program { return &program{dir: "native", args: args} }

var (
	inC            = native("gcc", "-O2", "-g", "-pthread", "-o", "OUT", "native.c")
	inCAsIs        = native("gcc", "-O0", "-pthread", "-o", "OUT", "native.c")
	inCNoPIE       = native("gcc", "-O2", "-fomit-frame-pointer", "-no-pie", "-pthread", "-o", "OUT", "native.c")
	inCStatic      = native("gcc", "-O2", "-static-pie", "-pthread", "-o", "OUT", "native.c")
	inCStripped    = native("gcc", "-O2", "-s", "-pthread", "-o", "OUT", "native.c")
	inCPlain       = native("gcc", "-O2", "-pthread", "-o", "OUT", "native.c")
	inCStaticWhole = native("gcc", "-O2", "-g", "-static", "-pthread", "-o", "OUT", "native.c")
	inCNoTables    = native("gcc", "-O2", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-pthread", "-o", "OUT", "native.c")
	onMusl         = native("musl-gcc", "-O2", "-o", "OUT", "native.c")
	onMuslAlone    = native("musl-gcc", "-O2", "-static", "-o", "OUT", "native.c")
	inCXX          = native("g++", "-O2", "-g", "-o", "OUT", "native.cc")
	inCXXAsIs      = native("g++", "-O0", "-o", "OUT", "native.cc")
	inRust         = native("rustc", "-O", "-g", "-o", "OUT", "native.rs")
	inRustAsIs     = native("rustc", "-C", "symbol-mangling-version=v0", "-o", "OUT", "native.rs")
)

const (
	jemalloc = "libjemalloc.so.2"
	tcmalloc = "libtcmalloc_minimal.so.4"
)

// Who keeps what it allocates is named, and who allocates thirty times as much and gives it back is not.
func TestNative(t *testing.T) {
	const fast = "1000"
	for _, c := range []struct {
		p       *program
		args    string // split at commas
		preload string
		want    []string
	}{
		{inC, "malloc," + fast, "", []string{"malloc_keep ← work ← main"}},
		{inC, "calloc," + fast, "", []string{"calloc_keep ← work ← main"}},
		{inC, "posix_memalign," + fast, "", []string{"posix_memalign_keep ← work ← main"}},
		{inC, "aligned_alloc," + fast, "", []string{"aligned_alloc_keep ← work ← main"}},
		{inC, "strdup," + fast, "", []string{"strdup_keep ← work ← main"}},
		{inC, "asprintf," + fast, "", []string{"asprintf_keep ← work ← main"}},
		{inC, "getline," + fast, "", []string{"getline_keep ← work ← main"}},
		{inC, "realloc," + fast, "", []string{"realloc_keep ← work ← main"}},
		{inC, "mmap,20000", "", []string{"mmap_keep ← work ← main"}},
		{inC, "sbrk," + fast, "", []string{"sbrk_keep ← work ← main"}},
		{inC, "threads,50000", "", []string{"subscribe_keep ← work ← main"}},
		{inC, "both," + fast, "", []string{"store_append ← orders ← both_keep ← work", "store_append ← payments ← both_keep ← work"}},
		{inC, "large frames," + fast, "", []string{"malloc_keep ← request_keep ← large_frames_keep ← work"}},
		{inC, "one of thirty," + fast, "", []string{"one_of_thirty_keep ← work ← main"}},
		{inC, "beside a queue," + fast, "", []string{"malloc_keep ← malloc_beside_queue_keep ← work ← main"}},
		{inC, "counted," + fast, "", []string{"counted_keep ← work ← main"}},
		{inC, "big,100000", "", []string{"malloc_keep ← work ← main"}},
		{inC, "tiny,10", "", []string{"malloc_keep ← work ← main"}},
		{inC, "malloc,8000,8", "", []string{"malloc_keep ← work"}},

		{inCAsIs, "malloc," + fast, "", []string{"malloc_keep ← work ← main"}},
		{inCNoPIE, "malloc," + fast, "", []string{"malloc_keep ← work ← main"}},
		{inCStatic, "malloc," + fast, "", []string{"malloc_keep ← work ← main"}},
		{inCNoTables, "malloc," + fast, "", []string{"malloc_keep ← work ← main"}},

		{inC, "malloc," + fast, jemalloc, []string{"malloc_keep ← work ← main"}},
		{inC, "beside a queue," + fast, jemalloc, []string{"malloc_keep ← malloc_beside_queue_keep ← work ← main"}},
		{inC, "realloc," + fast, jemalloc, []string{"realloc_keep ← work ← main"}},
		{inC, "malloc,8000,8", jemalloc, []string{"malloc_keep ← work"}},
		{inC, "malloc," + fast, tcmalloc, []string{"malloc_keep ← work ← main"}},
		{inC, "beside a queue," + fast, tcmalloc, []string{"malloc_keep ← malloc_beside_queue_keep ← work ← main"}},
		{inCXX, "new", jemalloc, []string{"shop::Cache::put ← main"}},
		{inCXX, "map", tcmalloc, []string{"shop::Index::add ← main"}},

		{onMusl, "malloc," + fast, "", []string{"malloc_keep ← work ← main"}},
		{onMusl, "strdup," + fast, "", []string{"strdup_keep ← work ← main"}},
		{onMusl, "beside a queue," + fast, "", []string{"malloc_keep ← malloc_beside_queue_keep ← work ← main"}},
		{onMuslAlone, "malloc," + fast, "", []string{"malloc_keep ← work ← main"}},
		{onMuslAlone, "one of thirty," + fast, "", []string{"one_of_thirty_keep ← work ← main"}},
		{onMuslAlone, "asprintf," + fast, "", []string{"asprintf_keep ← work ← main"}},
		{onMuslAlone, "big,100000", "", []string{"malloc_keep ← work ← main"}},

		{inCXX, "new", "", []string{"shop::Cache::put ← main"}},
		{inCXX, "map", "", []string{"shop::Index::add ← main"}},
		{inCXX, "unordered_map", "", []string{"shop::Table::add ← main"}},
		{inCXX, "shared_ptr", "", []string{"shop::pair_up ← main"}},
		{inCXX, "vector", "", []string{"shop::Rows::append ← main"}},
		{inCXX, "template", "", []string{"shop::Pool<shop::Session>::make ← main"}},
		{inCXXAsIs, "map", "", []string{"shop::Index::add ← main"}},

		{inRust, "box", "", []string{"native::Store::put_session ← native::main"}},
		{inRust, "hashmap", "", []string{"native::Store::add_user ← native::main"}},
		{inRust, "vec", "", []string{"native::Store::append_row ← native::main"}},
		{inRust, "arc", "", []string{"native::make_cycle ← native::main"}},
		{inRust, "mutex", "", []string{"native::Store::enqueue ← native::main"}},
		{inRustAsIs, "box", "", []string{"<native::Store>::put_session ← native::main"}},
		{inRustAsIs, "hashmap", "", []string{"<native::Store>::add_user ← native::main"}},
	} {
		t.Run(strings.Join([]string{c.p.name(), c.args, c.preload}, " "), func(t *testing.T) {
			t.Parallel()
			path, args := c.p.build(t), strings.Split(c.args, ",")
			form := args[0]
			if c.preload != "" {
				if m, _ := filepath.Glob("/usr/lib/*/" + c.preload); len(m) == 0 {
					t.Skipf("no %s here", c.preload)
				}
				path, args = "env", append([]string{"LD_PRELOAD=" + c.preload, path}, args...)
			}
			limit := int64(50 * megabyte)
			switch {
			case form == "tiny":
				limit = 16 * megabyte
			case c.p.args[0] == "g++", c.p.args[0] == "rustc": // faster
				limit = 100 * megabyte
			case form == "one of thirty", form == "beside a queue": // most of what it holds is given back later
				limit = 200 * megabyte
			}
			w := start(t, limit, path, args...)
			holds(t, w.named(t), c.want...)
			w.killed(t)
		})
	}
}

// What is replaced more slowly than the window is long looks as if it were kept, until it was looked at for longer.
func TestNativeBesideCache(t *testing.T) {
	t.Parallel()
	w := start(t, 300*megabyte, inC.build(t), "beside a cache")
	time.Sleep(14 * time.Second) // until it has all that it will have
	holds(t, w.named(t), "malloc_keep ← malloc_beside_cache_keep ← work ← main")
	w.killed(t)
}

// What does not grow, or has stopped to, names nobody.
func TestNativeNoLeak(t *testing.T) {
	for _, c := range []struct {
		p    *program
		args string
	}{
		{inC, "cache,1000"},
		{inC, "varying,1000"},
		{inC, "startup,1000"},
		{onMusl, "varying,1000"},
	} {
		t.Run(c.p.name()+" "+c.args, func(t *testing.T) {
			t.Parallel()
			w := start(t, 120*megabyte, c.p.build(t), strings.Split(c.args, ",")...)
			p := w.look(t)
			assert.Empty(t, p.Sites)
			assert.NotEmpty(t, p.Reason)
			assert.NoError(t, syscall.Kill(w.cmd.Process.Pid, 0), "it lives")
		})
	}
}

// Who keeps a little is not told to hold what fills a block of before.
func TestNativeFilled(t *testing.T) {
	t.Parallel()
	w := start(t, 200*megabyte, inC.build(t), "fill", "1000")
	p := w.look(t)
	assert.True(t, p.Grows)
	assert.Empty(t, p.Sites)
	assert.Greater(t, p.Unattributed, p.Growth*0.9)
	assert.Contains(t, p.explain(), "what grows may be in blocks from before")
	assert.Contains(t, p.explain(), "what grows is "+process.KindAnonymous, "of one of which there is less than a quarter, nobody looks what it is")
	w.killed(t)
}

// lookIn attributes what the processes of the workload's cgroup gain.
func (w *workload) lookIn(t *testing.T) []Process {
	t.Helper()
	time.Sleep(2 * time.Second)
	procs, err := w.cgroup.Read("cgroup.procs")
	require.NoError(t, err)
	var pids []int
	for _, field := range strings.Fields(procs) {
		pid, err := strconv.Atoi(field)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	r, err := Run(t.Context(), pids, Options{Window: 10 * time.Second, Duty: Duty})
	require.NoError(t, err)
	for _, p := range r.Processes {
		t.Logf("%s %d: growth %.1f MB, grows %v; %s", p.Name, p.PID, p.Growth/1e6, p.Grows, p.Reason)
	}
	return r.Processes
}

// killedInside waits for the kernel's kill of a process that the workload has begun.
func (w *workload) killedInside(t *testing.T) {
	t.Helper()
	w.finish(t)
	said, err := w.cgroup.Read("memory.events")
	if err != nil {
		said, err = w.cgroup.Read("memory.oom_control")
	}
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^oom_kill [1-9]`, said)
}

// Who begins others does not leak itself.
func TestNativeForks(t *testing.T) {
	t.Parallel()
	w := start(t, 100*megabyte, inC.build(t), "malloc", "1000", "fork")
	all := w.lookIn(t)
	require.Len(t, all, 3)
	for _, p := range all {
		if p.PID == w.cmd.Process.Pid {
			assert.Empty(t, p.Sites)
			continue
		}
		holds(t, p, "malloc_keep ← work ← main")
	}
	w.killedInside(t)
}

// Where the program says so, the line is told, and what the compiler has put into others.
func TestNativeLines(t *testing.T) {
	for _, c := range []struct {
		p          *program
		mode, line string
	}{
		{inC, "malloc", "keep(malloc(size), size);"},
		{inCXX, "new", "void put(int n) { all.push_back(new Session(n)); }"},
		{inRust, "box", "self.sessions.push(Box::new(Session { data: [n; 3000] }));"},
	} {
		t.Run(c.p.args[0], func(t *testing.T) {
			t.Parallel()
			w := start(t, 100*megabyte, c.p.build(t), c.mode)
			p := w.look(t)
			require.NotEmpty(t, p.Sites)
			f := p.Sites[0].Function
			source, err := os.ReadFile(filepath.Join("testdata", "native", filepath.Base(f.File)))
			require.NoError(t, err)
			lines := strings.Split(string(source), "\n")
			require.Positive(t, f.Line)
			require.LessOrEqual(t, f.Line, len(lines))
			assert.Contains(t, lines[f.Line-1], c.line)
			w.killed(t)
		})
	}
}

// A program without symbols names its functions by where they begin, as a copy of it that has some tells.
func TestNativeStripped(t *testing.T) {
	t.Parallel()
	f, err := os.Open(inCPlain.build(t))
	require.NoError(t, err)
	defer f.Close()
	whole, err := symbols.Open(f)
	require.NoError(t, err)
	at := whole.Find("malloc_keep", "work", "main")
	w := start(t, 60*megabyte, inCStripped.build(t), "malloc")
	p := w.look(t)
	require.NotEmpty(t, p.Sites)
	require.NotEmpty(t, p.Sites[0].Callers)
	for name, f := range map[string]symbols.Frame{"malloc_keep": p.Sites[0].Function, "work": p.Sites[0].Callers[0]} {
		assert.Regexp(t, fmt.Sprintf(`^native\+%#x \(build id [0-9a-f]{40}\)$`, at[name]), f.Function)
	}
	w.killed(t)
}

// In a container: with a root, mounts and process numbers of its own, where what was split off from the program is told by its
// build id.
func TestNativeInContainer(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	whole := inCStaticWhole.build(t)
	run := func(args ...string) {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	// malloc has to be found in what is left of a static program, so that only its own functions' names are taken.
	run("strip", "--strip-debug", "-N", "malloc_keep", "-N", "work", "-o", filepath.Join(root, "native"), whole)
	f, err := os.Open(whole)
	require.NoError(t, err)
	defer f.Close()
	o, err := symbols.Open(f)
	require.NoError(t, err)
	debug := filepath.Join(root, "usr/lib/debug/.build-id", o.BuildID[:2])
	require.NoError(t, os.MkdirAll(debug, 0o755))
	run("objcopy", "--only-keep-debug", whole, filepath.Join(debug, o.BuildID[2:]+".debug"))

	w := start(t, 60*megabyte, "unshare", "--mount", "--pid", "--fork", "--kill-child", "chroot", root, "/native", "malloc")
	var found bool
	for _, p := range w.lookIn(t) {
		if p.Name != "native" {
			continue
		}
		found = true
		holds(t, p, "malloc_keep ← work ← main")
		if len(p.Sites) > 0 {
			assert.Equal(t, "native.c", filepath.Base(p.Sites[0].Function.File))
		}
	}
	assert.True(t, found)
	w.killedInside(t)
}

// A program that was removed, or replaced by its next version, while it runs.
func TestNativeReplaced(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(inC.build(t))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "native")
	require.NoError(t, os.WriteFile(path, b, 0o755))
	w := start(t, 60*megabyte, path, "malloc")
	time.Sleep(time.Second) // until it runs
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("another"), 0o755))
	holds(t, w.named(t), "malloc_keep ← work ← main")
	w.killed(t)
}
