package journaldreceiver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// soon is for how long tests wait for what must come.
const soon = 20 * time.Second

const (
	machineA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"
	machineB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb1"
	bootA    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2"
	bootB    = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb2"
	noon     = uint64(1_763_812_800_000_000) // 2025-11-22 12:00 UTC, in microseconds
)

// entry is one to be written: when, since 1970 and since boot in microseconds, and its fields as NAME=value.
type entry struct {
	realtime, monotonic uint64
	machine, boot       string
	fields              []string
}

// at makes an entry some microseconds after noon, and as long after boot.
func at(usec uint64, fields ...string) entry {
	return entry{noon + usec, 1_000_000 + usec, machineA, bootA, fields}
}

// export is the entry in the Journal Export Format.
func (e entry) export(b *bytes.Buffer) {
	fmt.Fprintf(b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n", e.realtime, e.monotonic)
	for _, f := range append([]string{"_BOOT_ID=" + e.boot, "_MACHINE_ID=" + e.machine}, e.fields...) {
		name, value, _ := strings.Cut(f, "=")
		if strings.HasPrefix(name, "_") || value == "" { // which systemd-journal-remote takes in this form only
			b.WriteString(f + "\n")
			continue
		}
		b.WriteString(name)
		b.WriteByte('\n')
		_ = binary.Write(b, binary.LittleEndian, uint64(len(value)))
		b.WriteString(value)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
}

// needLibsystemd skips where libsystemd cannot be used.
func needLibsystemd(t testing.TB) {
	if err := sdjournal.Load(); err != nil {
		t.Skip(err)
	}
}

// writeJournal makes a journal file of entries, or adds to it, with systemd-journal-remote.
func writeJournal(t testing.TB, path string, entries ...entry) {
	needLibsystemd(t)
	const remote = "/lib/systemd/systemd-journal-remote"
	if _, err := os.Stat(remote); err != nil {
		t.Skip("systemd-journal-remote is missing (make setup, as root)")
	}
	var b bytes.Buffer
	for _, e := range entries {
		e.export(&b)
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	c := exec.Command(remote, "--output", path, "-")
	c.Stdin = &b
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
}

// sequence makes n entries with the messages PREFIX 1 to PREFIX n.
func sequence(prefix string, n int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = at(uint64(i)*1000, fmt.Sprintf("MESSAGE=%s %d", prefix, i+1), "PRIORITY=6", "SYSLOG_IDENTIFIER=test", "_TRANSPORT=journal")
	}
	return entries
}

// messages are the messages of a sequence.
func messages(prefix string, from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("%s %d", prefix, i))
	}
	return all
}

// sink takes records, or refuses them.
type sink struct {
	mu     sync.Mutex
	all    []plog.Logs
	bodies []string
	refuse func(n int) error // of the nth offer, from 0; nil takes it
	offers int
	mutate bool
}

func (s *sink) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: s.mutate}
}

func (s *sink) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers++
	if s.refuse != nil {
		if err := s.refuse(s.offers - 1); err != nil {
			if s.mutate {
				ld.ResourceLogs().RemoveIf(func(plog.ResourceLogs) bool { return true })
			}
			return err
		}
	}
	s.all = append(s.all, ld)
	for _, r := range records(ld) {
		s.bodies = append(s.bodies, r.Body().AsString())
	}
	return nil
}

func records(ld plog.Logs) []plog.LogRecord {
	var all []plog.LogRecord
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				all = append(all, r)
			}
		}
	}
	return all
}

// got are the bodies so far.
func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.bodies...)
}

func (s *sink) offered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offers
}

// running is a receiver at work.
type running struct {
	*sink
	receiver  receiver.Logs
	telemetry *componenttest.Telemetry
	logs      *observer.ObservedLogs
	stopped   bool
}

// host has a real storage in a folder.
type host struct {
	component.Host
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

var storageID = component.MustNewID("file_storage")

func newHost(t testing.TB, folder string) host {
	f := filestorage.NewFactory()
	cfg := f.CreateDefaultConfig().(*filestorage.Config)
	cfg.Directory = folder
	x, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, x.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { _ = x.Shutdown(context.Background()) })
	return host{componenttest.NewNopHost(), map[component.ID]component.Component{storageID: x}}
}

// configure is a configuration for folders of a test's own, which are read from the beginning.
func configure(change func(*Config), folders ...string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Directories, cfg.StartAt, cfg.PollInterval = folders, startBeginning, 50*time.Millisecond
	if change != nil {
		change(cfg)
	}
	return cfg
}

// start starts a receiver. With a host it keeps positions in the host's storage.
func start(t testing.TB, cfg *Config, h component.Host, s *sink) *running {
	needLibsystemd(t)
	if h == nil {
		h = componenttest.NewNopHost()
	} else {
		cfg.StorageID = &storageID
	}
	require.NoError(t, cfg.Validate())
	r := &running{sink: s, telemetry: componenttest.NewTelemetry()}
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.NewID(metadata.Type) // the same one each time, as in a configuration
	set.TelemetrySettings = r.telemetry.NewTelemetrySettings()
	var core zapcore.Core
	core, r.logs = observer.New(zap.DebugLevel)
	set.Logger = zap.New(core)
	var err error
	r.receiver, err = createLogs(t.Context(), set, cfg, s)
	require.NoError(t, err)
	require.NoError(t, r.receiver.Start(t.Context(), h))
	t.Cleanup(r.stop)
	return r
}

func (r *running) stop() {
	if !r.stopped {
		r.stopped = true
		_ = r.receiver.Shutdown(context.Background())
		_ = r.telemetry.Shutdown(context.Background())
	}
}

// metric is the sum of one of the receiver's own counters; 0 where it was never counted.
func (r *running) metric(name string) int64 {
	m, err := r.telemetry.GetMetric("otelcol_receiver_journald_" + name)
	if err != nil {
		return 0
	}
	return sumOf(m)
}

// wait waits until the receiver has told at least n records, and then for as long as a repetition could take to come.
func (r *running) wait(t testing.TB, n int) []string {
	t.Helper()
	defer r.show(t)
	require.Eventually(t, func() bool { return len(r.got()) >= n }, soon, 5*time.Millisecond, "%d records of %d", len(r.got()), n)
	time.Sleep(150 * time.Millisecond)
	return r.got()
}

// foreignCursor is of a journal that is not here; its time is 7.5 ms after noon.
const foreignCursor = "s=cccccccccccccccccccccccccccccccc;i=7;b=cccccccccccccccccccccccccccccccc;m=1;t=6442dab650d4c;x=1"

// cursorOf is the cursor of the nth entry, as journalctl shows it.
func cursorOf(t testing.TB, path string, n int) string {
	out, err := exec.Command("journalctl", "--file", path, "-n", "all", "-o", "export").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		if cursor, ok := strings.CutPrefix(line, "__CURSOR="); ok {
			if n--; n == 0 {
				return strings.TrimSpace(cursor)
			}
		}
	}
	require.Fail(t, "no such entry")
	return ""
}

// show shows what the receiver logged, for a test that failed.
func (r *running) show(t testing.TB) {
	if t.Failed() {
		for _, e := range r.logs.All() {
			t.Log(e.Level, e.Message, e.ContextMap())
		}
	}
}
