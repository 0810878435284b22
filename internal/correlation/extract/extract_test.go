package extract_test

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/your-org/tapio/internal/correlation/extract"
	"github.com/your-org/tapio/internal/correlation/extract/lines"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// write puts what was extracted into lines: entity, then a signal a line.
func write(out *strings.Builder) func(signal.Batch) {
	return func(b signal.Batch) {
		fmt.Fprintf(out, "%s %s namespace=%q name=%q container=%q\n", b.Entity.Kind, b.Entity.ID, b.Entity.Namespace, b.Entity.Name, b.Entity.Container)
		for _, s := range b.Signals {
			shape := [...]string{"event", "gauge", "counter"}[s.Shape]
			fmt.Fprintf(out, "  %s %s %v %s layer=%s at=%s", shape, s.Kind, s.Value, s.Unit, s.Layer, s.Time.UTC().Format(time.RFC3339))
			if !s.Start.IsZero() {
				fmt.Fprintf(out, " since=%s", s.Start.UTC().Format(time.RFC3339))
			}
			if s.Doubt > 0 {
				fmt.Fprintf(out, " doubt=%d", s.Doubt)
			}
			for _, name := range slices.Sorted(maps.Keys(s.Attributes)) {
				fmt.Fprintf(out, " %s=%q", name, s.Attributes[name])
			}
			if s.Text != "" {
				fmt.Fprintf(out, "\n    %s", s.Text)
			}
			fmt.Fprintln(out)
		}
	}
}

func golden(t *testing.T, input, got string) {
	t.Helper()
	file := strings.TrimSuffix(input, ".json") + ".golden"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func inputs(t testing.TB) []string {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// What each source's records mean, under the source's old and new names. The inputs are as the sources emit them.
func TestSources(t *testing.T) {
	rules, err := lines.Load()
	require.NoError(t, err)
	for _, file := range inputs(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			var out strings.Builder
			if strings.HasSuffix(file, ".logs.json") {
				ld, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(b)
				require.NoError(t, err)
				extract.Logs(ld, "this-node", rules, write(&out))
			} else {
				md, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(b)
				require.NoError(t, err)
				extract.Metrics(md, "this-node", write(&out))
			}
			golden(t, file, out.String())
		})
	}
}

// A pattern that waits for what nobody tells would never hold. What the objects of Kubernetes tell is tested where they are read, and what
// grows is the forecast's.
func TestEverySignalOfAPatternIsTold(t *testing.T) {
	// Told on demand only, and of what the API server measures.
	told := map[string]bool{signal.MemoryRetained: true, signal.MemoryUnattributed: true, signal.CPULimitShare: true}
	for _, files := range []string{"testdata/*.golden", "lines/testdata/*.golden"} {
		found, err := filepath.Glob(files)
		require.NoError(t, err)
		require.NotEmpty(t, found)
		for _, file := range found {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, word := range strings.Fields(string(b)) {
				told[word] = true
			}
		}
	}
	// The others of their kind are like the one in the golden file.
	for _, name := range []string{"EADDRNOTAVAIL", "EDQUOT", "ENFILE", "ENOMEM"} {
		told[signal.SyscallFailed(name)] = true
	}
	all, err := pattern.Builtin()
	require.NoError(t, err)
	for _, p := range all {
		for _, c := range p.Signals {
			for _, kind := range c.Any {
				if !strings.HasPrefix(kind, "k8s.") && !strings.HasSuffix(kind, ".growth") {
					assert.True(t, told[kind], "%s waits for %s", p.Name, kind)
				}
			}
		}
	}
}

// Wherever memory comes from, it is the same memory.
func TestMemoryIsTheSameFromEverySource(t *testing.T) {
	for file, want := range map[string]float64{
		"cgroup": 112, // anon 100, shmem 8, kernel 4
		// These tell anonymous memory only.
		"kubeletstats": 100, "docker_stats_v1": 100, "docker_stats_v2": 100, "cadvisor": 100,
	} {
		b, err := os.ReadFile("testdata/" + file + ".json")
		require.NoError(t, err)
		md, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(b)
		require.NoError(t, err)
		var got []float64
		extract.Metrics(md, "this-node", func(b signal.Batch) {
			for _, s := range b.Signals {
				if s.Kind == signal.MemoryUsed {
					got = append(got, s.Value/(1<<20))
				}
			}
		})
		require.NotEmpty(t, got, file)
		assert.Equal(t, want, got[0], file)
	}
}

func FuzzMetrics(f *testing.F) {
	for _, file := range inputs(f) {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		md, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(b)
		if err != nil {
			t.Skip()
		}
		extract.Metrics(md, "n", func(b signal.Batch) {
			for _, s := range b.Signals {
				if s.Entity != b.Entity.ID || s.Kind == "" || math.IsNaN(s.Value) || s.Value < 0 && s.Kind != signal.CertificateLeft {
					t.Errorf("%+v", s)
				}
			}
		})
	})
}

func FuzzLogs(f *testing.F) {
	rules, err := lines.Load()
	require.NoError(f, err)
	for _, file := range inputs(f) {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ld, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(b)
		if err != nil {
			t.Skip()
		}
		extract.Logs(ld, "n", rules, func(b signal.Batch) {
			for _, s := range b.Signals {
				if s.Entity != b.Entity.ID || s.Kind == "" || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
					t.Errorf("%+v", s)
				}
			}
		})
	})
}

// A container's scope is the container, for whoever speaks of the unit; what systemd says of the slices around a unit is said already.
func TestScopesOfContainersAndSlices(t *testing.T) {
	const id = "0f32894de86edf3d3832702af794874ef8d400b4969acdea4976b12040756e0d"
	rules, err := lines.Load()
	require.NoError(t, err)
	for unit, want := range map[string]string{
		"api.service":                                    "unit:n1:api.service",
		"cri-containerd-" + id + ".scope":                "container:" + id,
		"crio-" + id + ".scope":                          "container:" + id,
		"session-1.scope":                                "unit:n1:session-1.scope",
		"kubepods-burstable-pod0a1b2c3d_0000_4000.slice": "",
		"system.slice":                                   "",
	} {
		t.Run(unit, func(t *testing.T) {
			said := plog.NewLogs()
			rec := said.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
			rec.Body().SetStr(unit + ": A process of this unit has been killed by the OOM killer.")
			for name, v := range map[string]string{"systemd.journal._transport": "journal", "process.pid": "1"} {
				rec.Attributes().PutStr(name, v)
			}
			event := plog.NewLogs()
			rl := event.ResourceLogs().AppendEmpty()
			rl.Resource().Attributes().PutStr("systemd.unit", unit)
			rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetEventName("systemd.unit.oom_kill")
			for source, ld := range map[string]plog.Logs{"journal": said, "bus": event} {
				if source == "bus" && want == "" {
					continue // the systemd receiver follows no slices
				}
				var got []string
				extract.Logs(ld, "n1", rules, func(b signal.Batch) {
					for _, s := range b.Signals {
						got = append(got, string(b.Entity.ID)+" "+s.Kind)
					}
				})
				if want == "" {
					assert.Empty(t, got, source)
				} else {
					assert.Equal(t, []string{want + " unit.oom_kill"}, got, source)
				}
			}
		})
	}
}
