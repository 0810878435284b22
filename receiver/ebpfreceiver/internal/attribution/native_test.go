//go:build linux

package attribution

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

func native(args ...string) *program { return &program{dir: "native", args: args} }

var (
	inC         = native("gcc", "-O2", "-g", "-pthread", "-o", "OUT", "native.c")
	inCAsIs     = native("gcc", "-O0", "-pthread", "-o", "OUT", "native.c")
	inCNoPIE    = native("gcc", "-O2", "-fomit-frame-pointer", "-no-pie", "-pthread", "-o", "OUT", "native.c")
	inCStatic   = native("gcc", "-O2", "-static-pie", "-pthread", "-o", "OUT", "native.c")
	inCStripped = native("gcc", "-O2", "-s", "-pthread", "-o", "OUT", "native.c")
	inCNoTables = native("gcc", "-O2", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-pthread", "-o", "OUT", "native.c")
	onMusl      = native("musl-gcc", "-O2", "-o", "OUT", "native.c")
	onMuslAlone = native("musl-gcc", "-O2", "-static", "-o", "OUT", "native.c")
	inCXX       = native("g++", "-O2", "-g", "-o", "OUT", "native.cc")
	inCXXAsIs   = native("g++", "-O0", "-o", "OUT", "native.cc")
	inRust      = native("rustc", "-O", "-g", "-o", "OUT", "native.rs")
	inRustAsIs  = native("rustc", "-C", "symbol-mangling-version=v0", "-o", "OUT", "native.rs")
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
		{inC, "one of thirty," + fast, jemalloc, []string{"one_of_thirty_keep ← work ← main"}},
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
			if c.preload != "" {
				if m, _ := filepath.Glob("/usr/lib/*/" + c.preload); len(m) == 0 {
					t.Skipf("no %s here", c.preload)
				}
				path, args = "env", append([]string{"LD_PRELOAD=" + c.preload, path}, args...)
			}
			limit := int64(50 * megabyte)
			if args[0] == "tiny" {
				limit = 8 * megabyte
			}
			w := start(t, limit, path, args...)
			holds(t, w.look(t), c.want...)
			w.killed(t)
		})
	}
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
