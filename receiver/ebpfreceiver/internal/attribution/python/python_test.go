//go:build linux

package python

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// debian is the interpreter that tests always have.
const debian = "/usr/bin/python3"

// interpreters are those of other versions that are there, besides.
func interpreters() map[string]string {
	all := map[string]string{}
	home, _ := os.UserHomeDir()
	found, _ := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*/bin/python3"))
	for _, path := range found {
		all[filepath.Base(filepath.Dir(filepath.Dir(path)))] = path
	}
	return all
}

// run starts a program that leaks.
func run(t *testing.T, interpreter, leak string) *Program {
	t.Helper()
	if _, err := os.Stat(interpreter); err != nil {
		t.Skip("needs python3: make setup installs it")
	}
	cmd := exec.Command(interpreter, "../testdata/python/leak.py", leak)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p, err := process.Open(cmd.Process.Pid)
	require.NoError(t, err)
	_, err = said.Read(make([]byte, 1)) // it has begun
	require.NoError(t, err)
	m, err := modules.Read(p, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	of, err := Open(p, m)
	require.NoError(t, err)
	return of
}

// cases are how a program may leak: who holds what it gains.
var cases = []struct {
	leak, path, holder, of string
	users                  string // empty: not asked for
	every                  bool   // it is looked at in each version, since they keep it in different ways
}{
	{"sessions", `store.SESSIONS`, "dict", "store.Session", `put\(\) \(store.py:[0-9]+\)`, true},
	{"blobs", `__main__.BLOBS`, "list", "bytearray", "", false},
	{"class", `__main__.Registry.items`, "list", "store.Session", `<lambda>\(\) \(leak.py:[0-9]+\)`, true},
	{"instance", `__main__.app.handlers`, "list", "store.Session", `<lambda>\(\) \(leak.py:[0-9]+\); (App\.)?__init__\(\) \(leak.py:[0-9]+\)`, true},
	{"slots", `__main__.slotted.kept`, "list", "store.Session", "", true},
	{"lru", `__main__.lookup.cache`, "dict", "store.Session", "", true},
	{"default", `__main__.remember.__defaults__\[…\]`, "list", "store.Session", "", true},
	{"closure", `all in (counter\.<locals>\.)?put\(\)`, "list", "store.Session", "", true},
	{"deque", `__main__.QUEUE`, "collections.deque", "store.Session", "", true},
	{"set", `__main__.SEEN`, "set", "tuple", "", true},
	{"buckets", `__main__.BUCKETS\[…\]`, "list", "store.Session", "", false},
	{"one bucket", `__main__.BUCKETS\["events"\]`, "list", "store.Session", "", true},
	{"bytes", `__main__.LOG`, "bytearray", "byte", "", false},
	{"chain", `__main__.head`, "__main__.Node", "__main__.Node", `chain\(\) \(leak.py:[0-9]+\)`, true},
	{"local", `kept in local\(\)`, "list", "store.Session", "", true},
	{"tasks", `(never._waiters in tasks|event._waiters in wait|self._waiters in wait)\(\)`, "collections.deque", "_asyncio.Future", "", true},
	{"threads", `threading._active`, "dict", "threading.Thread", "", false},
	{"cycles", `reference cycles`, "never collected, for gc is disabled", "store.Session", "", true},
	{"threshold", `reference cycles`, "never collected, for gc is disabled", "store.Session", "", false},
	{"attributes", `__main__.bag.__dict__`, "dict", "store.Session", "", true},
	{"str", `__main__.text`, "str", "", `concatenated\(\) \(leak.py:[0-9]+\)`, true},
	{"file", `__main__.OUT.<bytes>`, "bytes", "", "", true},
	{"array", `__main__.SAMPLES`, "array.array", "", "", false},
	{"errors", `__main__.ERRORS`, "list", "ValueError", "", true},
	{"swept", "", "", "", "", false},
	{"bounded", "", "", "", "", true},
	{"bounded lru", "", "", "", "", true},
	{"extension", "", "", "", "", false},
	{"nothing", "", "", "", "", false},
}

func TestMain(m *testing.M) {
	// The cases wait more than they compute: more of them at once than there are CPUs.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestWatch(t *testing.T) {
	versions := interpreters()
	versions["debian"] = debian
	for version, interpreter := range versions {
		for _, c := range cases {
			if version != "debian" && !c.every {
				continue
			}
			t.Run(version+"/"+c.leak, func(t *testing.T) {
				if strings.HasPrefix(version, "3.6.") || strings.HasPrefix(version, "3.7.") {
					t.Skip("is not supported")
				}
				t.Parallel()
				p := run(t, interpreter, c.leak)
				r, err := p.Watch(t.Context(), 4*time.Second)
				require.NoError(t, err)
				for _, h := range r.Holders {
					t.Logf("%+v", h)
				}
				assert.False(t, r.Partial)
				if c.path == "" {
					for _, h := range r.Holders {
						assert.Less(t, h.Bytes, 100e3, "%+v", h)
					}
					return
				}
				require.NotEmpty(t, r.Holders)
				h := r.Holders[0]
				assert.Regexp(t, "^("+c.path+")$", h.Path)
				assert.Equal(t, c.holder, h.Type)
				assert.Equal(t, c.of, strings.TrimPrefix(h.Of, "asyncio.futures."))
				if h.Of != "" {
					assert.Greater(t, h.Entries, 20.)
				}
				if c.leak == "errors" { // with the variables of the function
					assert.Greater(t, h.Bytes/h.Entries, 3000.)
				}
				if c.users != "" {
					assert.Regexp(t, "^("+c.users+")$", strings.Join(h.Users, "; "))
				}
				for _, other := range r.Holders[1:] {
					assert.Less(t, other.Bytes, h.Bytes/4, "%+v", other)
				}
			})
		}
	}
}

// A version that is not known is refused.
func TestOffsetsOf(t *testing.T) {
	maps := func(path string) []process.Mapping { return []process.Mapping{{Path: "/lib/libc.so.6"}, {Path: path}} }
	for name, c := range map[string]struct {
		version uint64
		path    string
		minor   int
		err     string
	}{
		"by its own word":    {0x030b02f0, "/usr/bin/python3.9", 11, ""},
		"by its library":     {0, "/opt/lib/libpython3.8.so.1.0", 8, ""},
		"by its program":     {0, "/usr/bin/python3.10", 10, ""},
		"by its extensions":  {0, "/app/x.cpython-39-x86_64-linux-gnu.so", 9, ""},
		"too new":            {0x030e00f0, "", 0, "version 3.14 of Python is not among"},
		"too old":            {0, "/usr/lib/libpython3.7m.so.1.0", 0, "version 3.7 of Python is not among"},
		"another major":      {0x040b02f0, "", 0, "is not known"},
		"nothing tells":      {0, "/usr/bin/app", 0, "is not known"},
		"no version at all":  {0, "/usr/bin/python3", 0, "is not known"},
		"more than a number": {0, "/usr/lib/python3.999/x", 0, "is not known"},
	} {
		o, err := offsetsOf(c.version, maps(c.path))
		if c.err != "" {
			assert.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, c.minor, o.minor, name)
	}
}
