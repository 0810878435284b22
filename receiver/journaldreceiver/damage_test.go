package journaldreceiver

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// padded is a sequence of entries of some size each, with fields that all have and fields that none else has.
func padded(prefix string, n int) []entry {
	entries := sequence(prefix, n)
	for i := range entries {
		entries[i].fields = append(entries[i].fields, fmt.Sprintf("PAD=%d %s", i, strings.Repeat("x", 200)))
	}
	return entries
}

// undamaged checks that got has nothing twice, nothing out of order, and nothing that was not written.
func undamaged(t testing.TB, want, got []string) {
	t.Helper()
	next := 0
	for _, g := range got {
		if g == "" {
			continue // the message itself was damaged
		}
		i := slices.Index(want[next:], g)
		if i < 0 && slices.Contains(want, g) {
			assert.Fail(t, "told twice or out of order", g)
		}
		if i >= 0 {
			next += i + 1
		}
	}
}

func TestTruncatedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, machineA, "system.journal")
	writeJournal(t, path, padded("m", 20_000)...)
	info, err := os.Stat(path)
	require.NoError(t, err)
	writeJournal(t, filepath.Join(dir, machineB, "system.journal"), sequence("whole", 10)...)
	require.NoError(t, os.Truncate(path, info.Size()*6/10))

	r := start(t, configure(nil, dir), newHost(t, t.TempDir()), &sink{})
	require.Eventually(t, func() bool { return r.metric("lost") > 0 }, soon, 5*time.Millisecond)
	got := r.got()
	assert.Subset(t, got, messages("whole", 1, 10), "other files are not affected")
	told := slices.DeleteFunc(got, func(m string) bool { return strings.HasPrefix(m, "whole") })
	undamaged(t, messages("m", 1, 20_000), told)
	assert.Greater(t, len(told), 8000, "what is there is told")
	assert.InDelta(t, 20_000-len(told), r.metric("lost"), 2, "what is not is counted; libsystemd may pass over one at the edge")
	temp, err := filepath.Glob(filepath.Join(os.TempDir(), "tapio-*.journal"))
	require.NoError(t, err)
	r.stop()
	after, err := filepath.Glob(filepath.Join(os.TempDir(), "tapio-*.journal"))
	require.NoError(t, err)
	assert.Empty(t, after, "the copy is removed; there were %d", len(temp))
}

func TestTruncatedWhileItIsRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "system.journal")
	writeJournal(t, path, padded("m", 20_000)...)
	info, err := os.Stat(path)
	require.NoError(t, err)
	s := &sink{}
	s.refuse = func(n int) error {
		if n == 3 {
			return os.Truncate(path, info.Size()/2) // libsystemd has it mapped: what it touches next is gone
		}
		return nil
	}
	r := start(t, configure(nil, dir), nil, s)
	require.Eventually(t, func() bool { return r.metric("lost") > 0 }, soon, 5*time.Millisecond)
	undamaged(t, messages("m", 1, 20_000), r.got())
	assert.Greater(t, len(r.got()), 4000)
	assert.InDelta(t, 20_000-len(r.got()), r.metric("lost"), 2)
}

func TestRandomDamage(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole", "system.journal")
	writeJournal(t, whole, padded("m", 3000)...)
	content, err := os.ReadFile(whole)
	require.NoError(t, err)
	seeds := 40
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(seed), 1))
			bad := slices.Clone(content)
			for range 1 + random.IntN(20) {
				at := 512 + random.IntN(len(bad)-512-4096) // behind the header
				for i := range 1 + random.IntN(4096) {
					bad[at+i] = byte(random.Uint32())
				}
			}
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.journal"), bad, 0o600))
			writeJournal(t, filepath.Join(dir, "good.journal"), sequence("good", 10)...)
			r := start(t, configure(nil, dir), nil, &sink{})
			require.Eventually(t, func() bool { return slices.Contains(r.got(), "good 10") }, soon, 5*time.Millisecond)
			// It settles: all of the file is told, or given up.
			require.Eventually(t, func() bool { return r.settled() }, soon, 20*time.Millisecond)
			var told []string
			for _, m := range r.got() {
				if strings.HasPrefix(m, "m ") {
					told = append(told, m)
				}
			}
			undamaged(t, messages("m", 1, 3000), told)
			t.Logf("%d of 3000 told, %d lost, %d files", len(told), r.metric("lost"), r.metric("lost_files"))
		})
	}
}

// settled says whether every file was read to its end, as its header has it, or given up.
func (r *running) settled() bool {
	f := r.receiver.(*journalReceiver).folders
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.files {
		if h, err := sdjournal.ReadHeader(o.file); err != nil || h.Tail > o.Seqnum {
			return false
		}
	}
	return true
}

func TestGarbage(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, filepath.Join(dir, "good.journal"), sequence("good", 10)...)
	content, err := os.ReadFile(filepath.Join(dir, "good.journal"))
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"empty": nil, "short": []byte("LPKSHHRH"), "zeros": make([]byte, 1<<16), "text": []byte(strings.Repeat("text\n", 1000)),
		"header only": content[:240],
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".journal"), b, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder.journal"), 0o700))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(dir, "device.journal")))
	r := start(t, configure(nil, dir), nil, &sink{})
	assert.Equal(t, messages("good", 1, 10), r.wait(t, 10))
	assert.EqualValues(t, 3, r.metric("lost_files"), "short, zeros and text, each told once")
}

// Where reading fails at the end of a file again and again, as on a bad disk, there is nothing to go on at: the file is given up,
// once, until it changes.
func TestErrorAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "system.journal")
	writeJournal(t, path, sequence("m", 10)...)
	s := &sink{}
	tel := componenttest.NewTelemetry()
	defer func() { _ = tel.Shutdown(t.Context()) }()
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	r, err := newReceiver(configure(nil, dir), set, s)
	require.NoError(t, err)
	r.checkpoints = &checkpoints{}
	r.folders = &folders{cfg: r.cfg, log: zap.NewNop(), telemetry: r.telemetry, files: map[sdjournal.ID]*file{},
		positions: map[sdjournal.ID]*position{}, passed: map[string]passed{}}
	read := func() {
		r.folders.scan()
		for _, stream := range r.folders.streams() {
			r.readStream(t.Context(), stream)
		}
	}
	read()
	require.Equal(t, messages("m", 1, 10), s.got())
	require.Len(t, r.folders.files, 1)
	for _, f := range r.folders.files {
		r.failed(t.Context(), f, syscall.EIO)
		<-r.wake // it is tried once more, from the same position
		require.NoError(t, f.open())
		r.failed(t.Context(), f, syscall.EIO)
	}
	assert.Empty(t, r.wake)
	read()
	assert.Empty(t, r.folders.files, "it is the same as before")
	m, err := tel.GetMetric("otelcol_receiver_journald_lost_files")
	require.NoError(t, err)
	assert.EqualValues(t, 1, sumOf(m))

	writeJournal(t, path, at(20_000, "MESSAGE=later"))
	read()
	assert.Equal(t, append(messages("m", 1, 10), "later"), s.got())
	require.NoError(t, r.stop(t.Context()))
}
