//go:build linux

package process

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const maps = `00400000-00401000 r--p 00000000 08:01 42                         /usr/bin/a program
00401000-00402000 r-xp 00001000 08:01 42                         /usr/bin/a program
c000000000-c000400000 rw-p 00000000 00:00 0
7f0000000000-7f0000021000 rw-p 00000000 00:00 0 
7ffd0000-7ffe0000 rw-p 00000000 00:00 0                          [stack]
`

func TestParseMaps(t *testing.T) {
	all, err := parseMaps(strings.NewReader(maps))
	require.NoError(t, err)
	require.Len(t, all, 5)
	assert.Equal(t, Mapping{Start: 0x401000, End: 0x402000, Offset: 0x1000, Perms: "r-xp", Inode: 42, Path: "/usr/bin/a program"}, all[1])
	assert.True(t, all[1].Executable() && all[1].File() && !all[1].Writable())
	assert.Empty(t, all[3].Path)
	for _, bad := range []string{"x", "1-0 r--p 0 08:01 1", "0-1 r--p 0 08:01", "0-1 r 0 08:01 1 /x", "z-1 r--p 0 08:01 1 /x"} {
		_, err := parseMaps(strings.NewReader(bad))
		assert.Error(t, err, bad)
	}
}

// A program may map a file that lies deep, again and again, and many such files.
func TestBoundMaps(t *testing.T) {
	deep := strings.Repeat("/"+strings.Repeat("x", 250), 16)
	of := func(path func(i int) string) string {
		var b strings.Builder
		for i := range 8192 {
			fmt.Fprintf(&b, "%x-%x r-xp 00000000 08:01 7 %s\n", (i+1)<<12, (i+2)<<12, path(i))
		}
		return b.String()
	}
	one := of(func(int) string { return deep })
	all, err := parseMaps(strings.NewReader(one))
	require.NoError(t, err)
	for _, m := range all {
		require.Same(t, unsafe.StringData(all[0].Path), unsafe.StringData(m.Path))
	}
	_, err = parseSmaps(strings.NewReader(one))
	require.NoError(t, err)
	many := of(func(i int) string { return deep + fmt.Sprint(i) })
	_, err = parseMaps(strings.NewReader(many))
	assert.ErrorContains(t, err, fmt.Sprint(maxPaths))
	_, err = parseSmaps(strings.NewReader(many))
	assert.ErrorContains(t, err, fmt.Sprint(maxPaths))
}

func TestParseSmaps(t *testing.T) {
	entry := func(line string, rss, anonymous string) string {
		return line + "\nSize: 100 kB\nRss:   " + rss + " kB\nAnonymous:  " + anonymous + " kB\nSwap:   3 kB\nSwapPss:   2 kB\nVmFlags: rd wr\n"
	}
	all, err := parseSmaps(strings.NewReader(
		entry("5580-5590 rw-p 00000000 00:00 0 [heap]", "10", "10") +
			entry("c000000000-c000400000 rw-p 00000000 00:00 0 ", "20", "20") +
			entry("7f0000000000-7f0000001000 ---p 00000000 00:00 0 ", "0", "0") +
			entry("7f0000001000-7f0000801000 rw-p 00000000 00:00 0 ", "30", "30") +
			entry("7f1000000000-7f1000021000 rw-p 00000000 00:00 0 ", "40", "40") +
			entry("7f4000000000-7f4000400000 rw-p 00000000 00:00 0 ", "90", "90") + // as if it were an arena of malloc's
			entry("7f2000000000-7f2000021000 rwxp 00000000 00:00 0 ", "50", "50") +
			entry("7f3000001000-7f3000021000 rw-s 00000000 00:00 7 /dev/shm/x (deleted)", "60", "0") +
			entry("7f3100001000-7f3100021000 rw-p 00000000 08:01 7 /lib/x.so", "80", "70")))
	require.NoError(t, err)
	u := Usage{}
	for _, h := range all {
		(&walk{layout: Layout{Regions: []Region{{0xc000000000, 0xd000000000, KindGoHeap}, {0x7f4000000000, 0x7f5000000000, KindGoHeap}}}}).add(u, h)
	}
	assert.Equal(t, Usage{
		KindHeap: 13 << 10, KindGoHeap: 116 << 10, KindThreadStack: 33 << 10, KindArena: 43 << 10, KindCode: 53 << 10,
		KindShared: 63 << 10, KindFile: 73 << 10, KindAnonymous: 3 << 10,
	}, u, "what is swapped out is held as well")
	assert.Equal(t, []Growth{{KindHeap, 4 << 10}, {KindCode, 1 << 10}},
		Usage{KindHeap: 10 << 10, KindCode: 1 << 10, KindFile: 5}.Since(Usage{KindHeap: 6 << 10, KindFile: 9}))
}

// A leak does not end where it begins to be swapped out.
func TestParseAnonymous(t *testing.T) {
	n, ok := parseAnonymous([]byte("Name:\tx\nVmRSS:\t  900 kB\nRssAnon:\t  100 kB\nRssFile:\t  700 kB\nRssShmem:\t   20 kB\nVmSwap:\t    3 kB\n"))
	assert.True(t, ok)
	assert.Equal(t, uint64(123<<10), n)
	_, ok = parseAnonymous([]byte("Name:\tx\nState:\tZ (zombie)\n"))
	assert.False(t, ok)
}

// Threads that came are told by what their names have in common, and who touched most pages by its share.
func TestThreads(t *testing.T) {
	before := map[int]Thread{1: {"java", 10}, 2: {"pool-1-thread-1", 5}}
	after := map[int]Thread{1: {"java", 110}, 2: {"pool-1-thread-1", 5}, 3: {"pool-1-thread-2", 250}, 4: {"pool-1-thread-1", 50}, 5: {"GC Thread#0", 0}}
	assert.Equal(t, []Added{{"pool-1-thread-N", 2}, {"GC Thread#0", 1}}, AddedSince(before, after))
	most := TouchedMost(before, after)
	assert.Equal(t, "pool-1-thread-2", most.Name)
	assert.InDelta(t, 250./400, most.Share, 1e-9)
	assert.Zero(t, TouchedMost(after, after))

	got, ok := parseThread([]byte("7 (a ) b) S 1 7 7 0 -1 4194304 1234 0 0 0 1"))
	assert.True(t, ok)
	assert.Equal(t, Thread{"a ) b", 1234}, got)
	for _, bad := range []string{"", "7 (a", "7 (a) S 1", ") 7 ("} {
		_, ok := parseThread([]byte(bad))
		assert.False(t, ok, bad)
	}
}

// A mapping is told apart block by block; what is not known stays anonymous.
func TestLayout(t *testing.T) {
	const size = 1 << 20
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(m)) }()
	for i := 0; i < size; i += 4096 {
		m[i] = 1 // it is there
	}
	at := uint64(uintptr(unsafe.Pointer(&m[0])))
	m[0] = 0
	binary.LittleEndian.PutUint64(m[8:], size/4|2)
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	h := held{Mapping: Mapping{Start: at, End: at + size, Perms: "rw-p"}, kind: KindAnonymous, bytes: size}
	add := func(l Layout) Usage {
		u := Usage{}
		w := walk{p: p, layout: l}
		w.add(u, h)
		return u
	}
	assert.Equal(t, Usage{KindBlocks: size / 4, KindAnonymous: size * 3 / 4}, add(Layout{}))
	half := Layout{Block: func(at uint64, head []byte) (uint64, string) {
		if head[0] == 1 {
			return 4096, "ones"
		}
		return 0, ""
	}}
	assert.Equal(t, Usage{KindBlocks: size / 4, KindAnonymous: 0, "ones": size * 3 / 4}, add(half))
	assert.Equal(t, Usage{"whole": size}, add(Layout{Regions: []Region{{at, at + 1, "whole"}}}))
	// A block that claims to be longer than its mapping, and one that never ends.
	assert.Equal(t, Usage{"long": size, KindAnonymous: 0}, add(Layout{Block: func(uint64, []byte) (uint64, string) { return 1 << 62, "long" }}))
	assert.Equal(t, uint64(size), add(Layout{Block: func(uint64, []byte) (uint64, string) { return 1, "short" }}).Total())
}

func TestStatus(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), p.InnerPID())
	assert.Equal(t, os.Args, p.Args())
	assert.True(t, p.Catches(int(unix.SIGQUIT)), "Go's runtime does")
	assert.False(t, p.Catches(int(unix.SIGKILL)))
	exe, err := os.Executable()
	require.NoError(t, err)
	assert.True(t, p.HasBeside(filepath.Base(exe)))
	assert.False(t, p.HasBeside("no-such-program"))
	threads, err := p.Threads()
	require.NoError(t, err)
	assert.NotEmpty(t, threads)
}

func TestSelf(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, p.Alive())

	words := [3]uint64{1, 2, 3}
	at := uint64(uintptr(unsafe.Pointer(&words[0])))
	v, err := p.Uint64(at + 8)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), v)
	_, err = p.Uint64(8)
	assert.Error(t, err)

	// Those that cannot be read are passed over.
	got := map[int]byte{}
	require.NoError(t, p.ReadEach([]uint64{at, 8, at + 16, 16}, 8, make([]byte, 32), func(i int, b []byte) { got[i] = b[0] }))
	assert.Equal(t, map[int]byte{0: 1, 2: 3}, got)

	all, err := p.Maps()
	require.NoError(t, err)
	exe, err := os.Executable()
	require.NoError(t, err)
	var found bool
	for _, m := range all {
		if m.Path == exe && m.Offset == 0 {
			f, err := p.MappedFile(m)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			found = true
			// A file that is another by now is refused.
			m.Path = "/proc/self/maps"
			_, err = p.MappedFile(m)
			assert.Error(t, err)
		}
	}
	assert.True(t, found)
	u, err := p.Usage(Layout{})
	require.NoError(t, err)
	assert.NotZero(t, u.Total())
	n, err := p.Anonymous()
	require.NoError(t, err)
	assert.NotZero(t, n)
}

// A node may be a container itself.
func TestOutermost(t *testing.T) {
	if os.Getenv("TAPIO_TEST_INNER") != "" {
		assert.False(t, Outermost())
		if os.Getuid() == 0 {
			assert.False(t, Alone(), "these are the machine's processes")
			require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
			require.NoError(t, unix.Mount("proc", Proc, "proc", 0, ""))
			assert.True(t, Alone())
		}
		return
	}
	var st unix.Stat_t
	require.NoError(t, unix.Stat("/proc/self/ns/pid", &st))
	if st.Ino != initial {
		t.Skip("this machine is a container itself")
	}
	assert.True(t, Outermost())
	assert.False(t, Alone())
	inner := exec.Command(os.Args[0], "-test.run=^TestOutermost$")
	inner.Env = append(os.Environ(), "TAPIO_TEST_INNER=1")
	inner.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if os.Getuid() != 0 {
		inner.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	}
	out, err := inner.CombinedOutput()
	assert.NoError(t, err, string(out))
}

func TestGone(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	p, err := Open(cmd.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.ErrorIs(t, p.Alive(), ErrGone)
	_, err = p.Maps()
	require.ErrorIs(t, err, ErrGone)
	_, err = p.Uint64(4096)
	require.ErrorIs(t, err, ErrGone)
	_, err = Open(cmd.Process.Pid)
	require.Error(t, err)
}

func FuzzParse(f *testing.F) {
	f.Add(maps)
	f.Add("5580-5590 rw-p 00000000 00:00 0 [heap]\nRss: 10 kB\nAnonymous: x kB\n")
	f.Fuzz(func(_ *testing.T, s string) {
		_, _ = parseMaps(strings.NewReader(s))
		_, _ = parseSmaps(strings.NewReader(s))
		_, _ = parseThread([]byte(s))
	})
}

func TestCPU(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	first, err := p.CPU()
	require.NoError(t, err)
	assert.Positive(t, first)
	for {
		if n, err := p.CPU(); err != nil || n > first {
			require.NoError(t, err)
			break
		}
	}
	assert.Positive(t, p.Waited())
	_, err = (&Process{PID: 1 << 24}).CPU()
	assert.ErrorIs(t, err, ErrGone)
}

// Where a program has its file, its container may put anything later. Only a regular file is opened: to open a device is to do something.
func TestOpenInRoot(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	opens, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	require.NoError(t, err)
	defer unix.Close(opens)
	_, err = unix.InotifyAddWatch(opens, fifo, unix.IN_OPEN)
	require.NoError(t, err)
	for _, path := range []string{fifo, "/dev/null", filepath.Dir(fifo)} {
		_, err := p.OpenInRoot(path)
		assert.ErrorIs(t, err, errNotRegular, path)
	}
	_, err = unix.Read(opens, make([]byte, 64))
	assert.ErrorIs(t, err, unix.EAGAIN, "it was opened")
	exe, err := os.Executable()
	require.NoError(t, err)
	f, err := p.OpenInRoot(exe)
	require.NoError(t, err)
	assert.Equal(t, exe, f.Name())
	require.NoError(t, f.Close())
}

// A program whose file was removed, or never was one, is still the one that runs.
func TestMappedFileThatIsGone(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	program, err := os.ReadFile(sleep)
	require.NoError(t, err)
	for what, file := range map[string]func() *os.File{
		"removed": func() *os.File {
			f, err := os.Create(filepath.Join(t.TempDir(), "program"))
			require.NoError(t, err)
			return f
		},
		"in memory": func() *os.File {
			fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC)
			require.NoError(t, err)
			return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd))
		},
	} {
		t.Run(what, func(t *testing.T) {
			f := file()
			_, err := f.Write(program)
			require.NoError(t, err)
			require.NoError(t, f.Chmod(0o700))
			path := f.Name()
			if what == "removed" {
				require.NoError(t, f.Close()) // or it is busy
			} else {
				defer f.Close()
			}
			cmd := exec.Command(path, "60")
			require.NoError(t, cmd.Start())
			defer func() {
				require.NoError(t, cmd.Process.Kill())
				_ = cmd.Wait()
			}()
			_ = os.Remove(path)
			p, err := Open(cmd.Process.Pid)
			require.NoError(t, err)
			all, err := p.Maps()
			require.NoError(t, err)
			var found bool
			for _, m := range all {
				if !strings.HasSuffix(m.Path, "(deleted)") || m.Offset != 0 {
					continue
				}
				found = true
				of, err := p.MappedFile(m)
				require.NoError(t, err, m.Path)
				b := make([]byte, 64)
				_, err = of.ReadAt(b, 0)
				require.NoError(t, err)
				assert.Equal(t, program[:64], b)
				require.NoError(t, of.Close())
			}
			assert.True(t, found, "%+v", all)
		})
	}
}

// Of what is mapped, only what was written to takes memory.
func TestResident(t *testing.T) {
	p, err := Open(os.Getpid())
	require.NoError(t, err)
	size := os.Getpagesize()
	b, err := unix.Mmap(-1, 0, 2000*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	defer func() { assert.NoError(t, unix.Munmap(b)) }()
	require.NoError(t, unix.Madvise(b, unix.MADV_NOHUGEPAGE))
	at := uint64(uintptr(unsafe.Pointer(&b[0])))
	assert.Zero(t, p.Resident(at, at+uint64(len(b))))
	for _, i := range []int{0, 3, 1500, 1999} {
		b[i*size] = 1
	}
	assert.Equal(t, uint64(4*size), p.Resident(at, at+uint64(len(b))))
	assert.Equal(t, uint64(size), p.Resident(at+uint64(1999*size), at+uint64(len(b))))
}
