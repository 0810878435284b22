package correlationprocessor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/finding"
)

var ctx = context.Background()

func TestWhatMetricsSayComesOutOfTheLogsPipelines(t *testing.T) {
	r := newRig(t, nil)
	var a, b, passed sink
	first, second, m := r.logs(&a), r.logs(&b), r.metrics(&passed)
	leak(t, m, "/app")
	for _, s := range []*sink{&a, &b} {
		// It must hold for 5 s before it is told.
		eventually(t, "every logs pipeline has the prediction", func() bool { return s.found()["memory-exhaustion"].ID != "" })
		assert.Equal(t, "app", s.found()["memory-exhaustion"].Entity.Name)
	}
	_, n := passed.named("container.memory.anon")
	assert.Equal(t, 420, n, "metrics pass")
	eventually(t, "and Tapio's own come with them", func() bool {
		m, n := passed.named(metricTimeToEvent)
		return n > 0 && m.Gauge().DataPoints().Len() == 1
	})
	r.stop(m, first, second)
}

func TestEachIDHasItsOwnEngine(t *testing.T) {
	r := newRig(t, nil)
	other := *r.cfg
	var mine, theirs sink
	l := r.logs(&mine)
	c, err := r.factory.CreateLogs(ctx, r.set, &other, &theirs)
	r.start(c, err)
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "the finding is told", func() bool { return len(mine.found()) == 1 })
	r.stop(l)
	require.NoError(t, c.ConsumeLogs(ctx, killed("/other")))
	eventually(t, "the other engine goes on", func() bool { return len(theirs.found()) == 1 })
	assert.Equal(t, "other", theirs.found()["oom-killed"].Entity.Name)
	r.stop(c)
}

func TestTheFirstInstanceThatStopsDoesNotStopTheOthers(t *testing.T) {
	r := newRig(t, nil)
	var gone, stays, passed sink
	first, second, m := r.logs(&gone), r.logs(&stays), r.metrics(&passed)
	r.stop(first)
	before, _, _ := gone.count()
	require.NoError(t, second.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "the one that stays is told", func() bool { return len(stays.found()) == 1 })
	r.stop(m)
	require.NoError(t, second.ConsumeLogs(ctx, killed("/other")))
	eventually(t, "and goes on without the metrics", func() bool { return stays.found()["oom-killed"].Entity.Name == "other" })
	after, _, _ := gone.count()
	assert.Equal(t, before, after, "nothing goes to what has shut down")
	r.stop(second)
}

func TestInstancesThatNeverStartedCanBeShutDown(t *testing.T) {
	r := newRig(t, nil)
	a, err := r.factory.CreateLogs(ctx, r.set, r.cfg, consumertest.NewNop())
	require.NoError(t, err)
	b, err := r.factory.CreateMetrics(ctx, r.set, r.cfg, consumertest.NewNop())
	require.NoError(t, err)
	r.stop(a, b)
}

func TestPassThrough(t *testing.T) {
	for pass, want := range map[bool]int{false: 0, true: 1} {
		r := newRig(t, func(c *Config) { c.PassThrough = pass })
		var out sink
		l := r.logs(&out)
		require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
		eventually(t, "the finding is told either way", func() bool { return len(out.found()) == 1 })
		raw := 0
		out.mu.Lock()
		for _, ld := range out.logs {
			for _, rl := range ld.ResourceLogs().All() {
				for _, rec := range rl.ScopeLogs().At(0).LogRecords().All() {
					if rec.EventName() == "cgroup.memory.oom_kill" {
						raw++
					}
				}
			}
		}
		out.mu.Unlock()
		assert.Equal(t, want, raw)
		r.stop(l)
	}
}

// What comes through two pipelines, or is offered once more because the next component refused it, happened once.
func TestAnEventThatComesTwiceIsOne(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PassThrough = true })
	var out sink
	first, second := r.logs(&out), r.logs(consumertest.NewErr(errors.New("the queue is full")))
	kill := killed("/app")
	require.NoError(t, first.ConsumeLogs(ctx, kill))
	for range 3 {
		require.Error(t, second.ConsumeLogs(ctx, kill))
	}
	eventually(t, "it is told", func() bool { return out.found()["oom-killed"].Entity.Name == "app" })
	require.NoError(t, first.ConsumeLogs(ctx, killed("/other")))
	eventually(t, "another is told", func() bool { return out.found()["oom-killed"].Entity.Name == "other" })
	r.stop(first, second)
	for _, ld := range out.logs {
		for _, f := range findings(ld) {
			assert.NotContains(t, f.Title, "times")
		}
	}
}

func TestARefusedFindingIsToldAgain(t *testing.T) {
	r := newRig(t, nil)
	out := sink{answer: func(call int, _ []finding.Finding) error {
		if call <= 2 {
			return errors.New("the queue is full")
		}
		return nil
	}}
	l := r.logs(&out)
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "it arrives in the end", func() bool { return len(out.found()) == 1 })
	_, _, calls := out.count()
	assert.Equal(t, 3, calls)
	assert.EqualValues(t, 2, r.counted("otelcol_processor_correlation_findings_undelivered"))
	r.stop(l)
}

func TestAFindingRefusedForGoodIsNotToldForEver(t *testing.T) {
	r := newRig(t, nil)
	out := sink{answer: func(_ int, found []finding.Finding) error {
		if found[0].Entity.Name == "app" {
			return consumererror.NewPermanent(errors.New("no such tenant"))
		}
		return nil
	}}
	l := r.logs(&out)
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "it is refused", func() bool { _, _, calls := out.count(); return calls == 1 })
	require.NoError(t, l.ConsumeLogs(ctx, killed("/other")))
	eventually(t, "the next one is told without it", func() bool { return len(out.found()) == 1 })
	_, _, calls := out.count()
	assert.Equal(t, 2, calls)
	assert.EqualValues(t, 1, r.counted("otelcol_processor_correlation_findings_dropped"))
	r.stop(l)
}

func (r *rig) counted(name string) int64 {
	m, err := r.tel.GetMetric(name)
	require.NoError(r.t, err)
	return sum(m)
}

func TestFindingsOutliveARestart(t *testing.T) {
	folder := t.TempDir()
	r := newRig(t, stored)
	ext := r.storage(folder)
	var out sink
	l := r.logs(&out)
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "the finding is told", func() bool { return len(out.found()) == 1 })
	r.stop(l, ext)

	again := newRig(t, stored)
	ext = again.storage(folder)
	var later sink
	l = again.logs(&later)
	eventually(t, "and told again after the restart", func() bool { return len(later.found()) == 1 })
	before, after := out.found()["oom-killed"], later.found()["oom-killed"]
	assert.Equal(t, before.ID, after.ID)
	assert.True(t, before.FirstSeen.Equal(after.FirstSeen))
	assert.Equal(t, finding.Active, after.State)
	assert.Equal(t, before.Evidence[0].Time, after.Evidence[0].Time)
	again.stop(l, ext)
}

// A kill of which the kernel told the pid only waits for who knows the process; where the collector ends first, it is told after the
// restart, of the machine.
func TestWhatWaitsOutlivesARestart(t *testing.T) {
	folder := t.TempDir()
	r := newRig(t, stored)
	ext := r.storage(folder)
	var out sink
	l := r.logs(&out)
	ld := plog.NewLogs()
	rec := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	rec.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	rec.Body().SetStr("Memory cgroup out of memory: Killed process 4488 (java) total-vm:1358024kB, anon-rss:131328kB, file-rss:1796kB, shmem-rss:0kB, UID:0")
	rec.Attributes().PutStr("systemd.journal._transport", "kernel")
	rec.Attributes().PutStr("systemd.journal.syslog_facility", "0")
	require.NoError(t, l.ConsumeLogs(ctx, ld))
	r.stop(l, ext)
	require.Empty(t, out.found())

	again := newRig(t, stored)
	ext = again.storage(folder)
	var later sink
	l = again.logs(&later)
	eventually(t, "it is told after the restart", func() bool { return len(later.found()) == 1 })
	assert.Equal(t, "the kernel killed java on n1 for want of memory", later.found()["process-oom-killed"].Title)
	again.stop(l, ext)
}

// What kill -9 leaves is what the file holds at that moment. The moment is the worst one: the finding is just being told.
func TestWhatIsToldIsStoredBefore(t *testing.T) {
	folder, left := t.TempDir(), t.TempDir()
	r := newRig(t, stored)
	ext := r.storage(folder)
	copied := false
	out := sink{answer: func(_ int, found []finding.Finding) error {
		if !copied {
			copied = true
			return os.CopyFS(left, os.DirFS(folder))
		}
		return nil
	}}
	l := r.logs(&out)
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "the finding is told", func() bool { return len(out.found()) == 1 })
	r.stop(l, ext)

	again := newRig(t, stored)
	ext = again.storage(left)
	var later sink
	l = again.logs(&later)
	eventually(t, "it is told again", func() bool { return len(later.found()) == 1 })
	assert.True(t, out.found()["oom-killed"].FirstSeen.Equal(later.found()["oom-killed"].FirstSeen))
	again.stop(l, ext)
}

func TestAPredictionOutlivesARestart(t *testing.T) {
	folder := t.TempDir()
	r := newRig(t, stored)
	ext := r.storage(folder)
	var out sink
	l, m := r.logs(&out), r.metrics(consumertest.NewNop())
	leak(t, m, "/app")
	eventually(t, "the prediction is told", func() bool { return len(out.found()) == 1 })
	r.stop(m, l, ext)

	again := newRig(t, stored)
	ext = again.storage(folder)
	var later sink
	l, m = again.logs(&later), again.metrics(consumertest.NewNop())
	eventually(t, "and told again", func() bool { return len(later.found()) == 1 })
	require.NoError(t, m.ConsumeMetrics(ctx, memory("/app", time.Now(), 490<<20, 512<<20)))
	require.NoError(t, l.ConsumeLogs(ctx, killed("/other")))
	eventually(t, "it is looked at again", func() bool { return len(later.found()) == 2 })
	assert.Equal(t, finding.Active, later.found()["memory-exhaustion"].State)
	again.stop(m, l, ext)
}

// Where nothing can be stored for a while, findings are told all the same, and stored when that works again, though nothing
// about them changes any more.
func TestWhatCouldNotBeStoredIsStoredLater(t *testing.T) {
	r := newRig(t, func(c *Config) { stored(c); c.SaveInterval = time.Second })
	ext := r.storage(t.TempDir())
	full := &full{Extension: ext.(storage.Extension)}
	r.host[storageID] = full
	var out sink
	l := r.logs(&out)
	full.is.Store(true)
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "the finding is told", func() bool { return len(out.found()) == 1 })
	assert.NotZero(t, r.counted("otelcol_processor_correlation_save_errors"))
	full.is.Store(false)
	eventually(t, "and stored later", func() bool { return full.stored.Load() > 0 })
	r.stop(l, ext)
}

// full is a storage on a disk that may be full.
type full struct {
	storage.Extension
	is     atomic.Bool
	stored atomic.Int64 // values with a finding
}

func (f *full) GetClient(ctx context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	c, err := f.Extension.GetClient(ctx, kind, id, name)
	return fullClient{c, f}, err
}

type fullClient struct {
	storage.Client
	disk *full
}

func (c fullClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if c.disk.is.Load() {
		return errors.New("no space left on device")
	}
	for _, op := range ops {
		if op.Type == storage.Set && bytes.Contains(op.Value, []byte("oom-killed")) {
			c.disk.stored.Add(1)
		}
	}
	return c.Client.Batch(ctx, ops...)
}

func TestAStateThatCannotBeReadIsKeptAside(t *testing.T) {
	folder := t.TempDir()
	r := newRig(t, stored)
	ext := r.storage(folder)
	var out sink
	l := r.logs(&out)
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "the finding is told", func() bool { return len(out.found()) == 1 })
	r.stop(l)
	client := func() storage.Client {
		c, err := r.host[storageID].(storage.Extension).GetClient(ctx, component.KindProcessor, r.set.ID, "")
		require.NoError(t, err)
		return c
	}
	c := client()
	require.NoError(t, c.Set(ctx, "state.3ff", []byte("}{"))) // the finding is in another one
	require.NoError(t, c.Close(ctx))

	var later sink
	l = r.logs(&later)
	eventually(t, "it starts with the rest", func() bool { return later.found()["oom-killed"].Entity.Name == "app" })
	said := r.logged.FilterMessageSnippet("the stored state is not usable: starting without it, and keeping it aside").All()
	require.Len(t, said, 1)
	assert.Equal(t, []any{"state.3ff.unusable"}, said[0].ContextMap()["kept_as"])
	assert.Contains(t, said[0].ContextMap()["first_error"], "invalid character '}'")
	r.stop(l)

	c = client()
	aside, err := c.Get(ctx, "state.3ff.unusable")
	require.NoError(t, err)
	assert.Equal(t, "}{", string(aside))
	spoiled, err := c.Get(ctx, "state.3ff")
	require.NoError(t, err)
	assert.Empty(t, spoiled)
	require.NoError(t, c.Close(ctx))
	r.stop(ext)
}

// A damaged file stays where it is; another one beside it takes its place, for as long as it is there.
func TestAStorageFileThatIsDamaged(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"overwritten": func(t *testing.T, file string) {
			require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<16), 0o600))
		},
		"cut off": func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 2*int64(os.Getpagesize()))) },
		"spoiled inside": func(t *testing.T, file string) {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			for i := 2 * os.Getpagesize(); i < len(b); i++ { // all but the two pages that describe the rest
				b[i] = 0xff
			}
			require.NoError(t, os.WriteFile(file, b, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			r := newRig(t, stored)
			ext := r.storage(folder)
			var out sink
			l := r.logs(&out)
			require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
			eventually(t, "the finding is told", func() bool { return len(out.found()) == 1 })
			r.stop(l, ext)
			files, err := filepath.Glob(filepath.Join(folder, "*"))
			require.NoError(t, err)
			require.Len(t, files, 1)
			damage(t, files[0])

			r = newRig(t, stored)
			ext = r.storage(folder)
			out = sink{}
			l = r.logs(&out)
			assert.Equal(t, 1, r.logged.FilterMessageSnippet("the stored state is damaged: going on with another file beside it").Len())
			require.NoError(t, l.ConsumeLogs(ctx, killed("/other")))
			eventually(t, "it watches", func() bool { return len(out.found()) == 1 })
			r.stop(l, ext)

			later := t.TempDir() // as another process finds it: this one holds locks on what it could not open
			require.NoError(t, os.CopyFS(later, os.DirFS(folder)))
			r = newRig(t, stored)
			ext = r.storage(later)
			out = sink{}
			l = r.logs(&out)
			eventually(t, "and remembers", func() bool { return len(out.found()) == 1 })
			r.stop(l, ext)
		})
	}
}

func TestStorageThatIsMissingFailsTheStart(t *testing.T) {
	for name, tt := range map[string]struct {
		extension component.Component
		want      string
	}{
		"no such extension":      {nil, `storage: there is no extension "file_storage"; want the id of a storage extension`},
		"not one of this kind":   {struct{ component.Component }{}, `storage: extension "file_storage" is no storage extension`},
		"one that does not open": {closed{}, `storage: open "file_storage": the disk is on fire`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, stored)
			if tt.extension != nil {
				r.host[storageID] = tt.extension
			}
			l, err := r.factory.CreateLogs(ctx, r.set, r.cfg, consumertest.NewNop())
			require.NoError(t, err)
			assert.ErrorContains(t, l.Start(ctx, r.host), tt.want)
			r.stop(l)
		})
	}
}

type closed struct{ component.Component }

func (closed) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return nil, errors.New("the disk is on fire")
}

func TestOneWhoseFindingsGoNowhereSaysSo(t *testing.T) {
	const said = `the processor "correlation/node" is in no logs pipeline, so its findings go nowhere. Add "correlation/node" to the processors of a logs pipeline`
	r := newRig(t, nil)
	r.set.ID = component.MustNewIDWithName("correlation", "node")
	m := r.metrics(consumertest.NewNop())
	c := m.(*metricsProcessor).correlator
	c.warn()
	assert.Equal(t, 1, r.logged.FilterMessageSnippet(said).Len())
	l := r.logs(consumertest.NewNop())
	c.warn()
	assert.Equal(t, 1, r.logged.FilterMessageSnippet(said).Len())
	r.stop(m, l)
}

func TestUsersPatterns(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "big.yaml"), []byte(`
name: big
summary: It uses more than we like.
kind: diagnosis
signals:
  - {id: used, role: trigger, any: [memory.used], when: value > 1000.0, weight: 0.9, text: 'it uses {{bytes (.Reading "memory.used")}}'}
severity: [{is: info}]
title: '{{.Entity.Display}} is big'
explanation: It uses {{bytes (.Reading "memory.used")}}.
`), 0o600))
	r := newRig(t, func(c *Config) { c.Patterns = folder })
	var out sink
	l, m := r.logs(&out), r.metrics(consumertest.NewNop())
	require.NoError(t, m.ConsumeMetrics(ctx, memory("/app", time.Now(), 2<<20, 512<<20)))
	eventually(t, "it is told", func() bool { return out.found()["big"].Title == "app is big" })
	assert.Equal(t, "It uses 2 MiB.", out.found()["big"].Explanation)
	r.stop(m, l)
}

// A text that asks for what is only there at times is a mistake that shows then: it is said, once, and the others are told.
func TestAPatternThatCannotBeTold(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "big.yaml"), []byte(`
name: big
summary: It uses more than we like.
kind: diagnosis
signals:
  - {id: used, role: trigger, any: [memory.used], when: value > 1000.0, weight: 0.9, text: big}
  - {id: throttled, role: symptom, any: [cpu.throttled_periods]}
severity: [{is: info}]
title: '{{.Entity.Display}} is big, and throttled {{whole (.Clause "throttled").Sum}} times'
explanation: It is.
`), 0o600))
	r := newRig(t, func(c *Config) { c.Patterns = folder })
	var out sink
	l, m := r.logs(&out), r.metrics(consumertest.NewNop())
	for range 3 {
		before := r.counted("otelcol_processor_correlation_evaluation_errors")
		require.NoError(t, m.ConsumeMetrics(ctx, memory("/app", time.Now(), 2<<20, 512<<20)))
		eventually(t, "it is looked at", func() bool { return r.counted("otelcol_processor_correlation_evaluation_errors") > before })
	}
	require.NoError(t, l.ConsumeLogs(ctx, killed("/app")))
	eventually(t, "another is told", func() bool { return out.found()["oom-killed"].ID != "" })
	said := r.logged.FilterMessageSnippet("a text of it cannot be told").All()
	require.Len(t, said, 1)
	assert.Contains(t, said[0].ContextMap()["error"], "pattern big: template: title:")
	assert.Contains(t, said[0].ContextMap()["error"], "nil pointer evaluating *pattern.seen.Sum")
	assert.Empty(t, out.found()["big"])
	r.stop(m, l)
}
