//go:build linux

package attribution

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/java"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/node"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// theJava is Leak.java, compiled.
var theJava = &program{dir: "java", args: []string{"javac", "-d", "OUT", "Leak.java"}}

// has finds a program, or skips the test.
func has(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s: make setup installs it", name)
	}
	return path
}

// script is a program under testdata, as a whole path.
func script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	require.NoError(t, err)
	return path
}

// grows asserts that what grows is of one of these kinds, and how that is told.
func grows(t *testing.T, p Process, kinds ...string) string {
	t.Helper()
	assert.True(t, p.Grows)
	require.NotEmpty(t, p.Mappings)
	assert.Contains(t, kinds, p.Mappings[0].Kind, "%v", p.Mappings)
	told := p.explain()
	t.Log(told)
	assert.Contains(t, told, "what grows is "+p.Mappings[0].Kind)
	return told
}

// bounded asserts that nobody is named, and that the program lives.
func (w *workload) bounded(t *testing.T) {
	t.Helper()
	time.Sleep(5 * time.Second) // what a runtime gains at first, as for code that it compiles
	p := w.look(t)
	assert.False(t, p.Grows, "%v", p.Mappings)
	assert.Empty(t, p.Sites)
	assert.NoError(t, syscall.Kill(w.cmd.Process.Pid, 0), "it lives")
}

func TestNode(t *testing.T) {
	for leak, kinds := range map[string][]string{
		"heap":    {node.KindHeap},
		"buffers": {process.KindBlocks},
		"small":   {process.KindHeap, process.KindArena},
	} {
		t.Run(leak, func(t *testing.T) {
			t.Parallel()
			w := start(t, 220*megabyte, has(t, "node"), "--max-old-space-size=1000", script(t, "node/leak.js"), leak)
			p := w.look(t)
			assert.Equal(t, "node", p.Runtime)
			told := grows(t, p, kinds...)
			assert.Contains(t, told, "kill -USR1")
			assert.Equal(t, leak != "heap", strings.Contains(told, "arrayBuffers"), told)
			w.killed(t)
		})
	}
	t.Run("bounded", func(t *testing.T) {
		t.Parallel()
		start(t, 300*megabyte, has(t, "node"), script(t, "node/leak.js"), "bounded").bounded(t)
	})
}

// Of an interpreter whose variables are not read nobody is named, least of all a function of its own.
func TestPerl(t *testing.T) {
	t.Parallel()
	w := start(t, 80*megabyte, has(t, "perl"), "-e", `my %c; for (my $n = 0; ; $n++) {
		$c{$n} = ("x" x 3000) . $n;
		for (1..30) { my $y = ("y" x 3000) . $_ }
		select(undef, undef, undef, 0.002);
	}`)
	p := w.look(t)
	assert.Equal(t, "perl", p.Runtime)
	assert.Contains(t, grows(t, p, process.KindHeap), "Devel::MAT")
	assert.Empty(t, p.Sites)
	w.killed(t)
}

func TestJava(t *testing.T) {
	has(t, "javac")
	for leak, c := range map[string]struct {
		limit int64
		kinds []string
		next  string
	}{
		"heap":    {220 * megabyte, []string{java.KindHeap}, "GC.class_histogram"},
		"buffers": {220 * megabyte, []string{process.KindArena}, "DirectByteBuffer"},
		"large":   {220 * megabyte, []string{process.KindBlocks}, "DirectByteBuffer"},
		"classes": {220 * megabyte, []string{java.KindMetaspace, process.KindArena}, "VM.classloader_stats"},
		"threads": {220 * megabyte, []string{process.KindThreadStack}, "Thread.print"},
	} {
		t.Run(leak, func(t *testing.T) {
			t.Parallel()
			// What is not the subject has its size from the beginning, so that it does not grow.
			w := start(t, c.limit, has(t, "java"), "-Xmx"+map[bool]string{true: "600m", false: "40m"}[leak == "heap"], "-XX:MaxDirectMemorySize=1g",
				"-XX:+UseSerialGC", "-cp", theJava.build(t), "Leak", leak)
			p := w.look(t)
			assert.Equal(t, "java", p.Runtime)
			told := grows(t, p, c.kinds...)
			assert.Contains(t, told, c.next)
			if leak == "heap" {
				assert.Contains(t, told, "collections of garbage")
				assert.NotContains(t, told, "thread VM Thread")
			}
			if leak == "threads" {
				assert.Contains(t, told, "threads more, named pool-1-thread-N")
			}
			w.killed(t)
		})
	}
	// The heap is as large as it may become, and what whole collections leave there grows.
	t.Run("within its heap", func(t *testing.T) {
		t.Parallel()
		w := start(t, 500*megabyte, has(t, "java"), "-Xms300m", "-Xmx300m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC", "-cp", theJava.build(t), "Leak", "old")
		p := w.look(t)
		assert.True(t, p.Grows)
		assert.Regexp(t, `what \d+ whole collections of garbage left in the old generation grew by`, p.explain())
	})
	t.Run("bounded", func(t *testing.T) {
		t.Parallel()
		start(t, 300*megabyte, has(t, "java"), "-Xms60m", "-Xmx60m", "-XX:+AlwaysPreTouch", "-cp", theJava.build(t), "Leak", "bounded").bounded(t)
	})
}

// The commands that people are told to run are right: a JDK's own program knows them.
func TestJavaNext(t *testing.T) {
	jcmd := has(t, "jcmd")
	of := func(kind string) []process.Growth { return []process.Growth{{Kind: kind, Bytes: 1}} }
	w := start(t, 300*megabyte, has(t, "java"), "-Xmx60m", "-cp", theJava.build(t), "Leak", "bounded")
	p, err := process.Open(w.cmd.Process.Pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return exec.Command(jcmd, strings.Fields(nextJava(p, of(java.KindHeap)))[1], "help").Run() == nil
	}, eventually, often)
	for _, kind := range []string{java.KindHeap, process.KindThreadStack, java.KindMetaspace, java.KindCode} {
		fields := strings.Fields(nextJava(p, of(kind)))
		out, err := exec.Command(jcmd, fields[1], strings.Trim(fields[2], ",")).CombinedOutput()
		assert.NoError(t, err, "%v: %s", fields, out)
		assert.Greater(t, strings.Count(string(out), "\n"), 5, "%v: %s", fields, out)
	}
}

// While churn makes thirty times as much garbage of the same size, what is named is the variable that holds what is kept.
func TestPython(t *testing.T) {
	for leak, want := range map[string]string{
		"sessions": `^\+[0-9.]+ MiB/min held by store\.SESSIONS \(store\.py: dict, \+[0-9]+ entries/min of store\.Session\), used in put\(\) \(store\.py:[0-9]+\), (8[5-9]|9[0-9]|100) % of the growth$`,
		"blobs":    `^\+[0-9.]+ MiB/min held by __main__\.BLOBS \(leak\.py: list, \+[0-9]+ entries/min of bytearray\), used in <lambda>\(\) \(leak\.py:[0-9]+\), (8[5-9]|9[0-9]|100) % of the growth$`,
		"local":    `^\+[0-9.]+ MiB/min held by kept in local\(\) \(leak\.py:[0-9]+: list, \+[0-9]+ entries/min of store\.Session\), (8[5-9]|9[0-9]|100) % of the growth$`,
		"tasks":    `^\+[0-9.]+ MiB/min held by (never|event|self)\._waiters in (tasks|wait|Event\.wait)\(\) \([a-z]+\.py:[0-9]+: collections\.deque, \+[0-9]+ entries/min of _asyncio\.Future\), [6-9][0-9] % of the growth`,
	} {
		t.Run(leak, func(t *testing.T) {
			t.Parallel()
			w := start(t, 80*megabyte, debianPython(t), script(t, "python/leak.py"), leak)
			p := w.look(t)
			assert.Equal(t, "python3.11", p.Runtime)
			assert.True(t, p.Grows)
			require.NotEmpty(t, p.Sites)
			assert.Equal(t, Retained, p.Sites[0].Grade)
			assert.Equal(t, KindObjects, p.Sites[0].Kind)
			r := Report{Processes: []Process{p}}
			assert.Regexp(t, want, r.Answer().Text)
			w.killed(t)
		})
	}
	for _, how := range []string{"bounded", "bounded lru", "nothing"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			start(t, 80*megabyte, debianPython(t), script(t, "python/leak.py"), how).bounded(t)
		})
	}
}

// What is not held by Python's objects is told by its kind.
func TestPythonKinds(t *testing.T) {
	for leak, kinds := range map[string][]string{
		"extension": {process.KindHeap},
		"threads":   {process.KindThreadStack},
	} {
		t.Run(leak, func(t *testing.T) {
			t.Parallel()
			w := start(t, 80*megabyte, debianPython(t), script(t, "python/leak.py"), leak)
			p := w.look(t)
			told := grows(t, p, kinds...)
			assert.Contains(t, told, "py-spy dump")
			if leak == "threads" {
				assert.Contains(t, told, "threads more, named python3")
			}
			w.killed(t)
		})
	}
}

// debianPython is the system's own.
func debianPython(t *testing.T) string {
	t.Helper()
	const path = "/usr/bin/python3"
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs python3: make setup installs it")
	}
	return path
}
