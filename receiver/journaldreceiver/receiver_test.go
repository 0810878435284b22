package journaldreceiver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
)

func sumOf(m metricdata.Metrics) int64 {
	var sum int64
	if data, ok := m.Data.(metricdata.Sum[int64]); ok {
		for _, p := range data.DataPoints {
			sum += p.Value
		}
	}
	return sum
}

func TestReadsAndFollows(t *testing.T) {
	dir := t.TempDir()
	journal := filepath.Join(dir, "remote", "remote-a.journal")
	writeJournal(t, journal, sequence("old", 2500)...)
	r := start(t, configure(nil, dir), nil, &sink{})
	want := messages("old", 1, 2500)
	require.Equal(t, want, r.wait(t, len(want)))

	writeJournal(t, journal, at(10_000_000, "MESSAGE=new"))
	want = append(want, "new")
	require.Equal(t, want, r.wait(t, len(want)), "written later to the same file")

	writeJournal(t, filepath.Join(dir, "remote", "remote-b.journal"), at(0, "MESSAGE=older, of another machine"))
	want = append(want, "older, of another machine")
	require.Equal(t, want, r.wait(t, len(want)), "a new file, with entries older than those that were read")

	writeJournal(t, filepath.Join(dir, machineB, "system.journal"), at(0, "MESSAGE=in a new folder"))
	want = append(want, "in a new folder")
	require.Equal(t, want, r.wait(t, len(want)))
}

func TestResumesAtThePosition(t *testing.T) {
	dir, h := t.TempDir(), newHost(t, t.TempDir())
	a, b := filepath.Join(dir, "remote", "remote-a.journal"), filepath.Join(dir, "remote", "remote-b.journal")
	writeJournal(t, a, sequence("a", 100)...)
	writeJournal(t, b, sequence("b", 50)...)
	r := start(t, configure(nil, dir), h, &sink{})
	r.wait(t, 150)
	r.stop()

	r = start(t, configure(nil, dir), h, &sink{})
	assert.Empty(t, r.wait(t, 0), "nothing is told twice")
	r.stop()

	writeJournal(t, a, at(1_000_000, "MESSAGE=a 101"))
	require.NoError(t, os.Rename(b, filepath.Join(dir, "remote", "remote-b@"+machineA+"-0000000000000001-0006123456789abc.journal")))
	writeJournal(t, b, at(1_000_000, "MESSAGE=b 51"))
	r = start(t, configure(nil, dir), h, &sink{})
	assert.ElementsMatch(t, []string{"a 101", "b 51"}, r.wait(t, 2), "what came meanwhile, and no more, whatever was renamed")
}

// Positions that cannot be read any more are no reason not to read: it is a first start, and remembered beside what is damaged.
func TestPositionsThatAreDamaged(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string, h host){
		"the file": func(t *testing.T, file string, _ host) {
			require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<16), 0o600))
		},
		"what is in it": func(t *testing.T, _ string, h host) {
			client, err := h.extensions[storageID].(storage.Extension).GetClient(t.Context(), component.KindReceiver, component.NewID(metadata.Type), "")
			require.NoError(t, err)
			require.NoError(t, client.Set(t.Context(), indexKey, []byte(`["a`)))
			require.NoError(t, client.Close(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, state := t.TempDir(), t.TempDir()
			h, a := newHost(t, state), filepath.Join(dir, "remote", "remote-a.journal")
			writeJournal(t, a, sequence("a", 10)...)
			r := start(t, configure(nil, dir), h, &sink{})
			r.wait(t, 10)
			r.stop()
			damage(t, filepath.Join(state, "receiver_journald_"), h)

			r = start(t, configure(nil, dir), h, &sink{})
			assert.Equal(t, messages("a", 1, 10), r.wait(t, 10))
			assert.Equal(t, 1, r.logs.FilterMessageSnippet("the stored state is damaged").Len())
			r.stop()
			writeJournal(t, a, at(1_000_000, "MESSAGE=a 11"))
			later := t.TempDir() // as another process finds it: this one holds locks on what it could not open
			require.NoError(t, os.CopyFS(later, os.DirFS(state)))
			r = start(t, configure(nil, dir), newHost(t, later), &sink{})
			assert.Equal(t, []string{"a 11"}, r.wait(t, 1))
		})
	}
}

func TestPositionIsThatOfWhatWasTaken(t *testing.T) {
	dir, h := t.TempDir(), newHost(t, t.TempDir())
	writeJournal(t, filepath.Join(dir, "system.journal"), sequence("m", 100)...)
	small := func(c *Config) { c.MaxBatchSize = 10 }
	r := start(t, configure(small, dir), h, &sink{refuse: func(n int) error {
		if n >= 3 {
			return errors.New("busy")
		}
		return nil
	}})
	require.Eventually(t, func() bool { return r.offered() > 4 }, soon, time.Millisecond)
	assert.Equal(t, messages("m", 1, 30), r.got())
	r.stop()

	r = start(t, configure(small, dir), h, &sink{})
	assert.Equal(t, messages("m", 31, 100), r.wait(t, 70), "the refused ones come first after a restart")
}

func TestRetriesUntilTaken(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, filepath.Join(dir, "system.journal"), sequence("m", 100)...)
	for _, mutate := range []bool{false, true} {
		r := start(t, configure(func(c *Config) { c.MaxBatchSize = 10 }, dir), nil, &sink{mutate: mutate, refuse: func(n int) error {
			if n%2 == 0 {
				return errors.New("busy")
			}
			return nil
		}})
		assert.Equal(t, messages("m", 1, 100), r.wait(t, 100))
		assert.EqualValues(t, 10, r.metric("retries"))
		assert.Zero(t, r.metric("lost"))
		r.stop()
	}
}

func TestDoesNotRetryWhatIsRefusedForGood(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, filepath.Join(dir, "system.journal"), sequence("m", 30)...)
	r := start(t, configure(func(c *Config) { c.MaxBatchSize = 10 }, dir), nil, &sink{refuse: func(n int) error {
		if n == 1 {
			return consumererror.NewPermanent(errors.New("cannot be"))
		}
		return nil
	}})
	assert.Equal(t, append(messages("m", 1, 10), messages("m", 21, 30)...), r.wait(t, 20))
	assert.Equal(t, 3, r.offered())
	assert.EqualValues(t, 10, r.metric("lost"))
}

func TestStartAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "system.journal")
	writeJournal(t, path, sequence("m", 10)...)
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"end":            {func(c *Config) { c.StartAt = startEnd }, nil},
		"beginning":      {func(c *Config) { c.StartAt = startBeginning }, messages("m", 1, 10)},
		"time":           {func(c *Config) { c.StartAt, c.Time = startTime, "2025-11-22T12:00:00.005Z" }, messages("m", 6, 10)},
		"before all":     {func(c *Config) { c.StartAt, c.Time = startTime, "2025-11-22T11:00:00Z" }, messages("m", 1, 10)},
		"after all":      {func(c *Config) { c.StartAt, c.Time = startTime, "1h" }, nil},
		"cursor":         {func(c *Config) { c.StartAt, c.Cursor = startCursor, cursorOf(t, path, 4) }, messages("m", 5, 10)},
		"foreign cursor": {func(c *Config) { c.StartAt, c.Cursor = startCursor, foreignCursor }, messages("m", 9, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, t.TempDir())
			r := start(t, configure(c.change, dir), h, &sink{})
			assert.Equal(t, c.want, nilIfEmpty(r.wait(t, len(c.want))))
			r.stop()
			r = start(t, configure(nil, dir), h, &sink{})
			assert.Empty(t, r.wait(t, 0), "the start is remembered, also when nothing was read")
		})
	}
}

func nilIfEmpty(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

func TestTakenInPartIsOfferedInPart(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, filepath.Join(dir, "system.journal"), sequence("m", 10)...)
	rest := plog.NewLogs()
	rest.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("the rest")
	r := start(t, configure(nil, dir), nil, &sink{refuse: func(n int) error {
		if n == 0 {
			return consumererror.NewLogs(errors.New("busy"), rest)
		}
		return nil
	}})
	assert.Equal(t, []string{"the rest"}, r.wait(t, 1))
}

func TestMoreFilesThanMayBeOpen(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 5 {
		prefix := fmt.Sprintf("file %d", i)
		path := filepath.Join(dir, "system.journal")
		writeJournal(t, path, sequence(prefix, 20)...)
		require.NoError(t, os.Rename(path, filepath.Join(dir, fmt.Sprintf("system@%s-%016x-%016x.journal", machineA, i, i))))
		want = append(want, messages(prefix, 1, 20)...)
	}
	r := start(t, configure(func(c *Config) { c.MaxFiles = 2 }, dir), nil, &sink{})
	assert.ElementsMatch(t, want, r.wait(t, len(want)))
	assert.Equal(t, 1, r.logs.FilterMessageSnippet("max_files").Len(), "and says so, once")
}
