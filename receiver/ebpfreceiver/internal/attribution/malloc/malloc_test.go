//go:build linux

package malloc

import (
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

func TestShare(t *testing.T) {
	const window, growth = 10 * time.Second, 1e6
	const leak, churn, cache = 0, 1, 2
	groups := []group{{stack: []uint64{1, 9}}, {stack: []uint64{2, 9}}, {stack: []uint64{3, 9}}}
	of := func(stack int32, n int, change func(s *sample)) (all []*sample) {
		for i := range n {
			at := time.Duration(i) * time.Second % (window / 2)
			s := &sample{stack: stack, size: 100, count: 1000, at: at, lived: window - at, first: []byte{0}}
			change(s)
			all = append(all, s)
		}
		return all
	}
	kept, changed := func(*sample) {}, func(s *sample) { s.changed = true }
	young := func(s *sample) { s.at = window * 9 / 10 }
	atOnce := func(s *sample) { s.dead, s.first, s.lived = true, nil, time.Millisecond }
	later := func(s *sample) { s.dead, s.lived = true, time.Second }
	moved := func(s *sample) { s.superseded = true }
	for name, c := range map[string]struct {
		all  [][]*sample
		want map[uint64]float64
	}{
		"what stays":                         {[][]*sample{of(leak, 8, kept)}, map[uint64]float64{1: growth}},
		"in equal parts":                     {[][]*sample{of(leak, 8, kept), of(cache, 8, kept)}, map[uint64]float64{1: growth / 2, 3: growth / 2}},
		"the churner dies":                   {[][]*sample{of(leak, 8, kept), of(churn, 200, atOnce)}, map[uint64]float64{1: growth}},
		"what is used, and never given back": {[][]*sample{of(leak, 8, changed)}, map[uint64]float64{1: growth}},
		"what is given back unseen, beside what stays": {
			[][]*sample{of(leak, 20, kept), of(cache, 20, func(s *sample) { s.count, s.changed = 10_000, true })}, map[uint64]float64{1: growth},
		},
		"the churner's place is taken": {[][]*sample{of(leak, 8, kept), of(churn, 50, atOnce), of(churn, 50, changed)}, map[uint64]float64{1: growth}},
		"too young to tell":            {[][]*sample{of(leak, 8, young)}, map[uint64]float64{}},
		"too few to tell":              {[][]*sample{of(leak, 3, kept)}, map[uint64]float64{}},
		"a few that are few because they are large": {
			[][]*sample{of(leak, 2, func(s *sample) { s.size, s.count = growth/2, 1 })}, map[uint64]float64{1: growth},
		},
		"what is kept among what is given back later": {[][]*sample{of(leak, 20, kept), of(leak, 400, later)}, map[uint64]float64{1: growth}},
		"arrays that are replaced by larger ones": {[][]*sample{
			of(leak, 1, func(s *sample) { s.set, s.size, s.count, s.dead, s.lived = mapping, growth, 1, true, window*4/5 }),
			of(leak, 1, func(s *sample) { s.set, s.size, s.count, s.at = mapping, 2*growth, 1, window*4/5 }),
		}, map[uint64]float64{1: growth}},
		"what grows was there before, beside a little that is kept": {[][]*sample{of(leak, 20, func(s *sample) { s.count = 1 })}, map[uint64]float64{}},
		"the same, and of that even less is seen":                   {[][]*sample{of(leak, 5, func(s *sample) { s.count = 1 })}, map[uint64]float64{}},
		"the same, and what is kept is worth a word": {
			[][]*sample{of(leak, 32, func(s *sample) { s.count = 24 }), of(cache, 20, func(s *sample) { s.count = 1 })}, map[uint64]float64{1: 1.28e5},
		},
		"of a busy program, little is seen of what it does otherwise": {[][]*sample{of(leak, 40, func(s *sample) { s.count = 10 })}, map[uint64]float64{1: growth}},
		"of a busy program too, something else may grow":              {[][]*sample{of(leak, 40, func(s *sample) { s.count = 2 })}, map[uint64]float64{}},
		"blocks of a byte take 32": {
			[][]*sample{of(leak, 32, func(s *sample) { s.size, s.count = 1, 500 })}, map[uint64]float64{1: growth},
		},
		"what goes on elsewhere": {[][]*sample{of(leak, 100, moved), of(cache, 8, kept)}, map[uint64]float64{3: growth}},
	} {
		var all []*sample
		for _, s := range c.all {
			all = append(all, s...)
		}
		got := map[uint64]float64{}
		held, _ := share(groups, all, circumstances{window, growth, 1, strings.Contains(name, "busy")})
		for _, h := range held {
			got[h.Stack[0]] = h.Bytes
		}
		assert.Equal(t, len(c.want), len(got), name)
		for stack, bytes := range c.want {
			assert.InDelta(t, bytes, got[stack], growth/1e3, name)
		}
	}
}

// That none was seen to be given back tells nothing where that was hardly watched.
func TestShareUnwatched(t *testing.T) {
	const window, growth = 10 * time.Second, 1e6
	var all []*sample
	for range 15 {
		all = append(all, &sample{size: 100, count: 1000, lived: window, first: []byte{0}, changed: true})
	}
	for freeing, want := range map[float64]int{0.05: 0, 0.1: 1, 1: 1} {
		held, _ := share([]group{{stack: []uint64{1, 9}}}, all, circumstances{window: window, growth: growth, freeing: freeing})
		assert.Len(t, held, want, "%v", freeing)
	}
}

// Where filters decide about returns, or that is not known, nothing is attached to a program of which a thread has one.
func TestFiltered(t *testing.T) {
	p, err := process.Open(os.Getpid())
	require.NoError(t, err)
	pass := func() (bool, error) { return true, nil }
	denied := func() (bool, error) { return false, nil }
	unknown := func() (bool, error) { return false, io.ErrUnexpectedEOF }
	if filtered, err := p.Filtered(); err != nil || filtered {
		t.Skip("the test itself is filtered, or cannot tell: ", err)
	}
	require.NoError(t, survives(p, denied), "it has none")
	filtered, tested, ended := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and it ends with this function
		allow := unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW}
		program := unix.SockFprog{Len: 1, Filter: &allow}
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if _, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program))); errno != 0 {
			err = errno
		}
		filtered <- err
		<-tested
	}()
	require.NoError(t, <-filtered)
	assert.ErrorIs(t, survives(p, denied), ErrFiltered)
	assert.ErrorIs(t, survives(p, unknown), ErrFiltered)
	assert.ErrorIs(t, survives(p, unknown), io.ErrUnexpectedEOF, "and why")
	assert.NoError(t, survives(p, pass))
	close(tested)
	<-ended
}

// An allocator that has two names for its functions is one.
func TestAllocators(t *testing.T) {
	const tcmalloc = "libtcmalloc_minimal.so.4"
	if m, _ := filepath.Glob("/usr/lib/*/" + tcmalloc); len(m) == 0 {
		t.Skipf("no %s here", tcmalloc)
	}
	cmd := exec.Command("sleep", "60")
	cmd.Env = []string{"LD_PRELOAD=" + tcmalloc}
	require.NoError(t, cmd.Start())
	defer func() {
		assert.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}()
	p, err := process.Open(cmd.Process.Pid)
	require.NoError(t, err)
	of := map[string]int{}
	require.Eventually(t, func() bool {
		m, err := modules.Read(p, nil)
		require.NoError(t, err)
		defer func() { assert.NoError(t, m.Close()) }()
		if !slices.Contains(m.Names(), "libc.so.6") {
			return false // it is being loaded
		}
		for _, a := range allocators(m) {
			name, _, _ := strings.Cut(filepath.Base(a.module.Path), ".")
			of[name]++
		}
		return true
	}, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, map[string]int{"libtcmalloc_minimal": 1, "libc": 1}, of)
}

// What dies at a steady rate leaves some alive when it is looked for the last time: these are not kept.
func TestKept(t *testing.T) {
	sum := func(all []float64) (n float64) {
		for _, x := range all {
			n += x
		}
		return n
	}
	var alive, died []float64
	for i := range 100 { // a third of them dies in each second
		born := float64(i%10) / 10
		if x := -math.Log(float64(i)/100+0.005) * 3; born+x < 6 {
			died = append(died, x)
		} else {
			alive = append(alive, 6-born)
		}
	}
	assert.Greater(t, len(alive), 10)
	assert.Less(t, sum(kept(alive, died)), float64(len(alive))/2)
	for range 100 {
		alive = append(alive, 5)
	}
	assert.InDelta(t, 100, sum(kept(alive, died)), 15)
	assert.InDelta(t, float64(len(alive)), sum(kept(alive, nil)), 0)
}
