package cgroupreceiver

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/pmetrictest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/scraper/scrapererror"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"
)

// idA is the container whose files the layouts have.
const idA = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"

var update = flag.Bool("update", false, "write the expected metrics of testdata anew; the run that does fails, to be told from one that tests")

// unpack writes an archive of testdata as a cgroup file system, and returns its mount point.
func unpack(t testing.TB, name string) string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, archive.Files)
	mount := t.TempDir()
	for _, f := range archive.Files {
		file := filepath.Join(mount, f.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, f.Data, 0o600))
	}
	return mount
}

// What real kernels showed for cgroups named as Kubernetes, container runtimes and systemd name them (testdata/record-all.sh),
// and the metrics that it means.
func TestLayouts(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".txtar")
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			cfg.Mount = unpack(t, name)
			set, tel := settings(t)
			md := scrape(t, startScraper(t, cfg, set))
			assert.Zero(t, counted(tel, "receiver_cgroup_read_errors"))
			expected := filepath.Join("testdata", name+".yaml")
			if *update {
				require.NoError(t, golden.WriteMetrics(t, expected, md))
			}
			want, err := golden.ReadMetrics(expected)
			require.NoError(t, err)
			require.NoError(t, pmetrictest.CompareMetrics(want, md, pmetrictest.IgnoreTimestamp(), pmetrictest.IgnoreStartTimestamp(),
				pmetrictest.IgnoreResourceMetricsOrder(), pmetrictest.IgnoreMetricsOrder(), pmetrictest.IgnoreMetricDataPointsOrder()))
		})
	}
}

// Hosts that lack something tell what they have, without errors.
func TestUnusualHosts(t *testing.T) {
	const v2, v1 = "kubernetes-v2-systemd-containerd", "docker-v1-cgroupfs"
	container := map[string]string{
		v2: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6b5a1f0e_2c3d_4e5f_8091_a2b3c4d5e6f7.slice/cri-containerd-" + idA + ".scope",
		v1: "/docker/" + idA,
	}
	for _, c := range []struct {
		what, layout string
		remove       []string // files and folders by the end of their path
		has, hasNot  []string // metrics of the container
	}{
		{"no PSI", v2, []string{".pressure"}, []string{"container.memory.usage"}, []string{"container.pressure.avg10"}},
		{"before memory.events.local", v2, []string{"memory.events.local"}, []string{"container.memory.events"}, nil},
		{"memory controller off", v2, []string{"memory.current", "memory.max", "memory.stat", "memory.events", "memory.events.local"},
			[]string{"container.cpu.time", "container.pids.count"}, []string{"container.memory.usage", "container.memory.events"}},
		{"pids controller off", v2, []string{"pids.current", "pids.max", "pids.events"}, []string{"container.memory.usage"}, []string{"container.pids.count"}},
		{"only the base files", v2, []string{"memory.current", "memory.max", "memory.stat", "memory.events", "memory.events.local", "pids.current",
			"pids.max", "pids.events", "cpu.max", "io.stat"}, []string{"container.cpu.time"}, []string{"container.cpu.limit", "container.disk.io"}},
		{"v1 without memory", v1, []string{"memory"}, []string{"container.cpu.time", "container.pids.count"}, []string{"container.memory.usage"}},
		{"v1 without pids and blkio", v1, []string{"pids", "blkio"}, []string{"container.memory.usage", "container.cpu.time"}, []string{"container.pids.count"}},
		{"v1 without CPU", v1, []string{"cpu,cpuacct"}, []string{"container.memory.usage"}, []string{"container.cpu.time", "container.cpu.limit"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			cfg.Mount = unpack(t, c.layout)
			var absent []string
			require.NoError(t, filepath.WalkDir(cfg.Mount, func(file string, _ os.DirEntry, err error) error {
				if slices.ContainsFunc(c.remove, func(end string) bool { return strings.HasSuffix(file, end) }) {
					absent = append(absent, file)
				}
				return err
			}))
			require.NotEmpty(t, absent)
			for _, file := range absent {
				require.NoError(t, os.RemoveAll(file))
			}
			set, tel := settings(t)
			md := scrape(t, startScraper(t, cfg, set))
			assert.Zero(t, counted(tel, "receiver_cgroup_read_errors"))
			for _, name := range c.has {
				_, ok := point(md, container[c.layout], name)
				assert.True(t, ok, name)
			}
			for _, name := range c.hasNot {
				_, ok := point(md, container[c.layout], name)
				assert.False(t, ok, name)
			}
		})
	}
}

// A file that cannot be understood is counted and left out; the rest of its cgroup is told.
func TestBrokenFiles(t *testing.T) {
	for _, name := range []string{"memory.current", "memory.max", "memory.stat", "memory.events", "cpu.stat", "cpu.max", "io.stat",
		"pids.current", "pids.max", "pids.events", "memory.pressure"} {
		for what, content := range map[string]string{"no numbers": "8:0 some rbytes=x avg10=x total=x", "negative": "-5 -5 rbytes=-5"} {
			t.Run(name+" "+what, func(t *testing.T) {
				cfg := createDefaultConfig().(*Config)
				cfg.Mount = unpack(t, "docker-v2-systemd")
				cgroup := "/system.slice/docker-" + idA + ".scope"
				require.NoError(t, os.WriteFile(cfg.Mount+cgroup+"/"+name, []byte(content), 0o600))
				set, tel := settings(t)
				md := scrape(t, startScraper(t, cfg, set))
				assert.EqualValues(t, 1, counted(tel, "receiver_cgroup_read_errors"))
				_, ok := point(md, cgroup, "container.cpu.time")
				assert.Equal(t, name != "cpu.stat", ok)
			})
		}
	}
	t.Run("memory.events, where kills are looked for", func(t *testing.T) {
		cfg := createDefaultConfig().(*Config)
		cfg.Mount = unpack(t, "docker-v2-systemd")
		for _, name := range []string{"memory.events", "memory.events.local"} {
			require.NoError(t, os.WriteFile(cfg.Mount+"/system.slice/docker-"+idA+".scope/"+name, []byte("oom_kill x"), 0o600))
		}
		set, tel := settings(t)
		logs, err := NewFactory().CreateLogs(t.Context(), set, cfg, consumertest.NewNop())
		require.NoError(t, err)
		r := logs.(*eventsReceiver)
		require.NoError(t, r.open())
		for i := range 3 {
			r.scan(t.Context())
			assert.EqualValues(t, 2*(i+1), counted(tel, "receiver_cgroup_read_errors"))
		}
		require.NoError(t, r.close())
	})
	t.Run("larger than 1 MiB", func(t *testing.T) {
		cfg := createDefaultConfig().(*Config)
		cfg.Mount = unpack(t, "docker-v2-systemd")
		cgroup := "/system.slice/docker-" + idA + ".scope"
		require.NoError(t, os.WriteFile(cfg.Mount+cgroup+"/memory.stat", make([]byte, 2<<20), 0o600))
		set, tel := settings(t)
		scrape(t, startScraper(t, cfg, set))
		assert.EqualValues(t, 1, counted(tel, "receiver_cgroup_read_errors"))
	})
}

// since is from when a container's counters count, by its CPU time.
func since(t *testing.T, md pmetric.Metrics) time.Time {
	t.Helper()
	p, ok := point(md, "/system.slice/docker-"+idA+".scope", "container.cpu.time")
	require.True(t, ok)
	return p.StartTimestamp().AsTime()
}

// Where nothing can be read for a while, for want of descriptors, what comes back is not new: its counters go on.
func TestNothingCanBeRead(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Mount, cfg.MaxOpenFiles = unpack(t, "docker-v2-systemd"), 0
	set, _ := settings(t)
	s := startScraper(t, cfg, set)
	want := since(t, scrape(t, s))
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max}))
	md, err := s.scrape(t.Context())
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	require.ErrorContains(t, err, "too many open files")
	assert.True(t, scrapererror.IsPartialScrapeError(err), "or the collector would drop what could be read")
	assert.Zero(t, md.ResourceMetrics().Len())
	assert.Equal(t, want, since(t, scrape(t, s)))

	// The same of one cgroup alone.
	files, err := filepath.Glob(filepath.Join(cfg.Mount, "system.slice", "docker-"+idA+".scope", "*"))
	require.NoError(t, err)
	for _, file := range files {
		require.NoError(t, os.Rename(file, file+"-away"))
		require.NoError(t, os.Mkdir(file, 0o700))
	}
	md = scrape(t, s)
	assert.NotZero(t, md.ResourceMetrics().Len())
	for _, file := range files {
		require.NoError(t, os.Remove(file))
		require.NoError(t, os.Rename(file+"-away", file))
	}
	assert.Equal(t, want, since(t, scrape(t, s)))
}
