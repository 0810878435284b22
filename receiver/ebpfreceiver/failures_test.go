//go:build linux

package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/extension/attributionextension"
	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
	"github.com/your-org/tapio/test/harness"
)

// deskHost is a collector with the attribution extension.
type deskHost struct{ attribution.Desk }

func (h deskHost) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("attribution"): h.Desk}
}

// startWithDesk starts the receiver beside the real attribution extension.
func startWithDesk(t *testing.T) (attribution.Desk, *events) {
	t.Helper()
	f := attributionextension.NewFactory()
	e, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), f.CreateDefaultConfig())
	require.NoError(t, err)
	desk := e.(attribution.Desk)
	host := deskHost{desk}
	require.NoError(t, desk.Start(t.Context(), host))
	t.Cleanup(func() { require.NoError(t, desk.Shutdown(context.Background())) })
	sink := new(events)
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), createDefaultConfig(), sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return desk, sink
}

// looking says whether this process holds a program at system calls; what nobody holds, the kernel takes away.
func looking(t *testing.T) bool {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fdinfo")
	require.NoError(t, err)
	return slices.ContainsFunc(descriptors, func(d os.DirEntry) bool {
		b, _ := os.ReadFile(filepath.Join("/proc/self/fdinfo", d.Name())) // it may be closed meanwhile
		return strings.Contains(string(b), "tp_name:\tsys_exit")
	})
}

// ask asks, waits for the answer, and makes sure that there is a program at system calls meanwhile, and none afterwards.
func ask(t *testing.T, desk attribution.Desk, q attribution.Question) attribution.Answer {
	t.Helper()
	id, err := desk.Ask(q)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return looking(t) }, patience, poll)
	var a attribution.Answer
	require.Eventually(t, func() bool {
		a, _ = desk.Answer(id)
		return a.State == attribution.Done || a.State == attribution.Failed
	}, patience, poll)
	assert.False(t, looking(t), "the program stays at system calls")
	return a
}

// What fails for want of something is told of who is asked about, by call and error, and not of a neighbour to which the same happens.
func TestRealSyscallFailures(t *testing.T) {
	c, id := realCgroup(t, 256*mib)
	other, otherID := realCgroup(t, 256*mib)
	require.NoError(t, c.LimitPIDs(1000))
	require.NoError(t, other.LimitPIDs(1000))
	desk, sink := startWithDesk(t)
	want := map[string]string{"openat EMFILE": "", "mmap ENOMEM": "", "write ENOSPC": "", "openat EROFS": "", "connect EADDRNOTAVAIL": "", "clone EAGAIN": ""}
	var w *exec.Cmd
	for _, of := range []*harness.Cgroup{other, c} {
		folder := t.TempDir()
		w = workload(t, of, "exhaust", folder, strings.Join(of.Folders(), ","))
		require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(folder, "limited")); return err == nil }, patience, poll)
	}
	a := ask(t, desk, attribution.Question{Kind: attribution.Errors, Window: 3 * time.Second, Subject: attribution.Subject{Name: "c", Cgroup: "/" + c.Name}})
	require.Equal(t, attribution.Done, a.State, a.Reason)
	t.Log(a.Text)
	comm := filepath.Base(os.Args[0])
	comm = comm[:min(len(comm), 15)]
	got := map[string]string{}
	for _, f := range a.Failures {
		got[f.Syscall+" "+f.Error] = ""
		assert.Equal(t, w.Process.Pid, f.PID, "%+v", f)
		assert.Equal(t, comm, f.Process)
		assert.Empty(t, f.Cgroup)
		assert.GreaterOrEqual(t, f.Count, uint64(2), "%+v", f)
	}
	assert.Equal(t, want, got, "and no bind to an address of another machine")

	told := map[string]string{}
	for _, e := range sink.named(eventSyscallFailed) {
		assert.Equal(t, id, e.resource["container.id"])
		assert.NotEqual(t, otherID, e.resource["container.id"])
		told[e.attribute("syscall.name").Str()+" "+e.attribute("error.type").Str()] = ""
		assert.Equal(t, int64(w.Process.Pid), e.attribute("process.pid").Int())
		assert.Regexp(t, fmt.Sprintf(`^%s failed with %s %d times in \d+s \(%s\)`, e.attribute("syscall.name").Str(),
			e.attribute("error.type").Str(), e.attribute("syscall.failed.count").Int(), regexp.QuoteMeta(comm)), e.record.Body().Str(), "a busy machine ends it later")
	}
	assert.Equal(t, want, told)
}

// Of the whole machine it is told whose calls fail.
func TestRealMachineFailures(t *testing.T) {
	c, _ := realCgroup(t, 256*mib)
	require.NoError(t, c.LimitPIDs(1000))
	desk, sink := startWithDesk(t)
	folder := t.TempDir()
	workload(t, c, "exhaust", folder, strings.Join(c.Folders(), ","))
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(folder, "limited")); return err == nil }, patience, poll)
	a := ask(t, desk, attribution.Question{Kind: attribution.Errors, Window: 3 * time.Second, Subject: attribution.Subject{Name: "machine"}})
	require.Equal(t, attribution.Done, a.State, a.Reason)
	assert.True(t, slices.ContainsFunc(a.Failures, func(f attribution.Failure) bool {
		return f.Cgroup == "/"+c.Name && f.Syscall == "openat" && f.Error == "EMFILE"
	}), "%+v", a.Failures)
	told := sink.named(eventSyscallFailed)
	require.NotEmpty(t, told)
	for _, e := range told {
		assert.Empty(t, e.resource, "it is the machine's")
	}
}

// The users of a file system are told by whose it is that they write to, or make files in, wherever they are.
func TestRealFilesystemFailures(t *testing.T) {
	desk, sink := startWithDesk(t)
	stop, done := make(chan struct{}), new(sync.WaitGroup)
	full := func(pause time.Duration) (at string, attempts *atomic.Int64) {
		at, err := os.MkdirTemp("", "tapio") // a short path
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.Remove(at)) })
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k,nr_inodes=8"); err != nil {
			t.Skipf("this test mounts: %v", err)
		}
		t.Cleanup(func() { require.NoError(t, unix.Unmount(at, unix.MNT_DETACH)) })
		for i := 0; err == nil; i++ {
			err = os.WriteFile(filepath.Join(at, fmt.Sprint(i)), nil, 0o600)
		}
		require.ErrorIs(t, err, unix.ENOSPC, "no inode is left")
		attempts = new(atomic.Int64)
		done.Go(func() {
			for {
				attempts.Add(1)
				made, written := os.WriteFile(filepath.Join(at, "new"), nil, 0o600), fill(filepath.Join(at, "0"))
				if !assert.ErrorIs(t, made, unix.ENOSPC) || !assert.NoError(t, written) {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(pause):
				}
			}
		})
		return at, attempts
	}
	_, _ = full(time.Millisecond) // of which nothing is told
	at, attempts := full(50 * time.Millisecond)
	a := ask(t, desk, attribution.Question{Kind: attribution.Errors, Window: 2 * time.Second, Subject: attribution.Subject{Name: at, Mountpoint: at}})
	close(stop)
	done.Wait()
	failed := map[string]bool{}
	for _, f := range a.Failures {
		failed[f.Syscall+" "+f.Error] = true
		assert.Equal(t, os.Getpid(), f.PID)
		assert.LessOrEqual(t, f.Count, uint64(attempts.Load()), "%+v", f)
	}
	assert.Equal(t, map[string]bool{"write ENOSPC": true, "openat ENOSPC": true}, failed, a.Reason)
	require.Len(t, sink.named(eventSyscallFailed), 2)
	for _, e := range sink.named(eventSyscallFailed) {
		assert.Empty(t, e.resource)
		assert.Equal(t, at, e.attribute("system.filesystem.mountpoint").Str())
	}

	id, err := desk.Ask(attribution.Question{Kind: attribution.Errors, Window: time.Second, Subject: attribution.Subject{Name: "/nowhere", Mountpoint: "/nowhere"}})
	require.NoError(t, err)
	require.Eventually(t, func() bool { a, _ = desk.Answer(id); return a.State == attribution.Failed }, patience, poll)
	assert.Contains(t, a.Reason, "nothing is mounted at /nowhere")
}

// Nobody is named where nothing fails, and a look that is given up leaves nothing behind.
func TestRealNoSyscallFailures(t *testing.T) {
	c, _ := realCgroup(t, 64*mib)
	workload(t, c, "wait")
	desk, sink := startWithDesk(t)
	a := ask(t, desk, attribution.Question{Kind: attribution.Errors, Window: time.Second, Subject: attribution.Subject{Name: "c", Cgroup: "/" + c.Name}})
	assert.Equal(t, attribution.Done, a.State)
	assert.True(t, a.Empty())
	assert.Contains(t, a.Reason, "no system call of c failed for want of something in 1s")
	a = ask(t, desk, attribution.Question{Kind: attribution.Errors, Window: time.Second, Subject: attribution.Subject{Name: "c", Cgroup: "/nowhere"}})
	assert.Equal(t, attribution.Failed, a.State)
	assert.Contains(t, a.Reason, "there is no cgroup /nowhere")
	assert.Empty(t, sink.named(eventSyscallFailed))

	// Shutting down ends it at once.
	_, err := desk.Ask(attribution.Question{Kind: attribution.Errors, Window: 30 * time.Second, Subject: attribution.Subject{Name: "c", Cgroup: "/" + c.Name}})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return looking(t) }, patience, poll)
	require.NoError(t, desk.Shutdown(context.Background()))
	assert.False(t, looking(t))
	require.NoError(t, desk.Start(context.Background(), nil))
}

// It shows that system calls can be looked at, by itself.
func TestRealFailuresCoverage(t *testing.T) {
	_, sink := startWithDesk(t)
	parts := map[string]finding.CoverageState{}
	require.Eventually(t, func() bool {
		for _, e := range sink.named(coveragelog.EventName) {
			p, _ := coveragelog.Read(e.record)
			parts[p.Name] = p.State
		}
		return len(parts) > 0
	}, patience, poll)
	assert.False(t, looking(t))
	assert.Equal(t, finding.CoverageOK, parts["errors"])
}

func TestHolding(t *testing.T) {
	const mountinfo = "21 1 8:1 / / rw - ext4 x rw\n30 21 0:25 / /data rw - tmpfs tmpfs rw\n31 21 0:26 / /data rw - tmpfs tmpfs rw\n32 31 0:27 / /data/deep rw - tmpfs tmpfs rw\n"
	for _, c := range []struct {
		path string
		cut  bool
		want uint32
	}{
		{"/etc/hosts", false, 8<<20 | 1}, {"/", false, 8<<20 | 1}, {"/data", false, 26}, {"/data/x", false, 26}, {"/database", false, 8<<20 | 1},
		{"/data/deep/x", false, 27}, {"/data/de", true, 0}, {"/data/dx", true, 26}, {"relative", false, 0}, {"", false, 8<<20 | 1},
	} {
		got, _ := holding(mounts(mountinfo), c.path, c.cut)
		assert.Equal(t, c.want, got, "%+v", c)
	}
}

// What a process has mounted is read once, however many of its calls fail: also of one that has ended meanwhile.
func TestFilesystemsAreReadOnce(t *testing.T) {
	failed := func(path string) (f bpf.ErrnoFailure) {
		copy(f.Path[:], path)
		return f
	}
	w := exec.Command("sleep", "60")
	require.NoError(t, w.Start())
	pid := uint32(w.Process.Pid)
	f := filesystems{}
	root := f.deviceOf(failed("/"), pid)
	require.NotZero(t, root)
	require.NoError(t, w.Process.Kill())
	_ = w.Wait()
	assert.Equal(t, root, f.deviceOf(failed("/"), pid))
	assert.Zero(t, filesystems{}.deviceOf(failed("/"), pid))
	assert.Equal(t, uint32(7), f.deviceOf(bpf.ErrnoFailure{Device: 7}, pid), "the kernel knows it")
}

func TestMounted(t *testing.T) {
	const mountinfo = `21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 21 0:25 / /data rw shared:5 - tmpfs tmpfs rw
31 21 8:17 /sub /data rw shared:6 - ext4 /dev/sdb1 rw
32 21 0:26 / /with\040space rw - tmpfs tmpfs rw
33 21 x:y / /broken rw - tmpfs tmpfs rw
34
`
	for at, want := range map[string]uint32{"/": 254 << 20, "/data": 8<<20 | 17, "/with space": 26} {
		got, ok := mounted(mountinfo, at)
		assert.True(t, ok, at)
		assert.Equal(t, want, got, at)
	}
	for _, at := range []string{"/nothing", "/broken", ""} {
		_, ok := mounted(mountinfo, at)
		assert.False(t, ok, at)
	}
}

// Who mounts something chooses its name.
func FuzzMounted(f *testing.F) {
	f.Add("30 21 0:25 / /data rw shared:5 - tmpfs tmpfs rw\n", "/data")
	f.Add("1 2 4096:99999999 / \\134 rw", `\`)
	f.Fuzz(func(t *testing.T, mountinfo, at string) {
		if device, ok := mounted(mountinfo, at); !ok && device != 0 {
			t.Fatal(device)
		}
		if device, ok := holding(mounts(mountinfo), at, true); !ok && device != 0 {
			t.Fatal(device)
		}
		if device, ok := holding(mounts(mountinfo), at, true); !ok && device != 0 {
			t.Fatal(device)
		}
	})
}

// That nothing failed is told only where every call was counted.
func TestUntold(t *testing.T) {
	for _, c := range []struct {
		told    int
		dropped int64
		want    string
	}{
		{0, 0, "no system call of c failed for want of something in 5s"},
		{0, 7, "it is not known whether a system call of c failed for want of something in 5s: 7 calls could not be counted"},
		{3, 7, "7 more calls failed, of too many processes and kinds to tell"},
		{3, 0, ""},
	} {
		assert.Equal(t, c.want, untold("c", 5*time.Second, c.told, c.dropped))
	}
}

func TestSentence(t *testing.T) {
	f := func(process, cgroup string, n uint64) attribution.Failure {
		return attribution.Failure{Syscall: "openat", Error: "EMFILE", Process: process, Cgroup: cgroup, Count: n}
	}
	for want, alike := range map[string][]attribution.Failure{
		"openat failed with EMFILE 312 times in 5s (nginx)":                {f("nginx", "", 312)},
		"openat failed with EMFILE once in 5s (nginx)":                     {f("nginx", "", 1)},
		"openat failed with EMFILE 3 times in 5s (a in /x 2, b 1)":         {f("a", "/x", 2), f("b", "/", 1)},
		"openat failed with EMFILE 10 times in 5s (a 4, b 3, c 2, 1 more)": {f("a", "", 4), f("b", "", 3), f("c", "", 2), f("d", "", 1)},
	} {
		assert.Equal(t, want, sentence(alike, 5*time.Second))
	}
}

// What a system call that does not fail takes, while nobody looks and while somebody does.
func BenchmarkSyscall(b *testing.B) {
	call := func(b *testing.B) {
		for range b.N {
			_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
	}
	b.Run("unwatched", call)
	spec, err := bpf.LoadErrno()
	require.NoError(b, err)
	a, err := attach(spec)
	if err != nil {
		b.Skip(err)
	}
	b.Run("watched", call)
	require.NoError(b, a.close())
}

// fill writes to a file until there is no space.
func fill(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// exhaust runs into limits of all kinds, again and again. It may use a folder, and cgroups are its cgroups' folders.
func exhaust(folder string, cgroups []string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return err
	}
	for _, cgroup := range cgroups {
		if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return err
		}
	}
	full := filepath.Join(folder, "full")
	readOnly := filepath.Join(full, "read-only")
	for _, step := range []func() error{
		loopbackUp,
		func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40000"), 0) },
		func() error { return unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "") },
		func() error { return os.Mkdir(full, 0o700) },
		func() error { return unix.Mount("tmpfs", full, "tmpfs", 0, "size=64k") },
		func() error { return os.Mkdir(readOnly, 0o700) },
		func() error { return unix.Mount(full, readOnly, "", unix.MS_BIND, "") },
		func() error {
			return unix.Mount("", readOnly, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 7001}
	if err := errors.Join(err, unix.Bind(listener, to), unix.Listen(listener, 16)); err != nil {
		return err
	}
	connect := func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, to); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		return nil // and keep the port
	}
	if err := connect(); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(full, "file"))
	if err != nil {
		return err
	}
	// Threads that the Go runtime may need later, before there may be no more.
	var threads sync.WaitGroup
	for range 16 {
		threads.Go(func() { _ = unix.Nanosleep(&unix.Timespec{Nsec: 1e8}, nil) })
	}
	threads.Wait()
	pids := cgroups[len(cgroups)-1]
	current, err := os.ReadFile(filepath.Join(pids, "pids.current"))
	if err == nil {
		err = os.WriteFile(filepath.Join(pids, "pids.max"), current, 0)
	}
	var limit unix.Rlimit
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: 1 << 45, Max: 1 << 45}), unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "limited"), nil, 0o600); err != nil {
		return err
	}
	for ; ; time.Sleep(10 * time.Millisecond) {
		few := limit
		few.Cur = 3
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
			return err
		}
		_, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		if err := expect(err, unix.EMFILE); err != nil {
			return err
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, 1<<46, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)
		if err := expect(errno, unix.ENOMEM); err != nil {
			return err
		}
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, 4096))
		}
		if err := expect(err, unix.ENOSPC); err != nil {
			return err
		}
		_, err = unix.Open(filepath.Join(readOnly, "file"), unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		if err := expect(err, unix.EROFS); err != nil {
			return err
		}
		if err := expect(connect(), unix.EADDRNOTAVAIL); err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 1}})
		if err := errors.Join(expect(err, unix.EADDRNOTAVAIL), unix.Close(fd)); err != nil {
			return err
		}
		_, _, errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 {
			return errors.New("a process was made beyond the limit")
		}
		if err := expect(errno, unix.EAGAIN); err != nil {
			return err
		}
	}
}

func expect(err error, want syscall.Errno) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("want %s, got %w", unix.ErrnoName(want), errors.Join(err))
	}
	return nil
}
