package cgroupreceiver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

// many makes n cgroups below one, real ones where that is possible, else copies of a recorded one.
func many(b *testing.B, n int) (*Config, []string) {
	cfg := createDefaultConfig().(*Config)
	var paths []string
	root := "/tapio-test-" + random(4)
	h, err := openHierarchy(cfg.Mount)
	c := cgroup{h: h, path: root}
	if err == nil && c.makeAll(b, n) == nil {
		cfg.Roots = []string{root}
	} else {
		cfg.Mount = b.TempDir()
		cfg.Roots = []string{root}
		from := unpack(b, "docker-v2-systemd")
		require.NoError(b, os.WriteFile(cfg.Mount+"/cgroup.controllers", nil, 0o600))
		for i := range n {
			require.NoError(b, os.CopyFS(fmt.Sprintf("%s%s/%d", cfg.Mount, root, i), os.DirFS(from+"/system.slice/docker-"+idA+".scope")))
		}
		b.Log("not root: reading ordinary files, not cgroups")
	}
	for i := range n {
		paths = append(paths, fmt.Sprintf("%s/%d", root, i))
	}
	return cfg, paths
}

// limits are what containers have, of v1 and v2: with them there is more to read.
var limits = map[string]string{
	"memory.max": "67108864", "memory.limit_in_bytes": "67108864", "pids.max": "100", "cpu.max": "50000 100000", "cpu.cfs_quota_us": "50000",
}

func (c cgroup) makeAll(b *testing.B, n int) error {
	for _, tree := range c.trees() {
		folder := tree + c.path
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		b.Cleanup(func() {
			for i := range n {
				_ = syscall.Rmdir(fmt.Sprintf("%s/%d", folder, i))
			}
			require.NoError(b, syscall.Rmdir(folder))
		})
		if _, err := os.Stat(filepath.Join(folder, "cgroup.controllers")); err == nil {
			for _, name := range []string{"memory", "cpu", "pids", "io"} {
				_ = os.WriteFile(folder+"/cgroup.subtree_control", []byte("+"+name), 0)
			}
		}
		for i := range n {
			child := fmt.Sprintf("%s/%d", folder, i)
			if err := os.Mkdir(child, 0o755); err != nil {
				return err
			}
			for name, value := range limits {
				if f := child + "/" + name; exists(f) {
					if err := os.WriteFile(f, []byte(value), 0); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// perCgroup reports the CPU time of the whole process, garbage collection included, by cgroup that was read.
func perCgroup(b *testing.B, n int, read func()) {
	read() // what is made once
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		read()
	}
	b.ReportMetric((cpuTime()-before)*1e6/float64(b.N)/float64(n), "cpu-µs/cgroup")
}

// BenchmarkScrape is a whole scrape: finding the cgroups, reading them from files that stay open, as many as may, and making metrics of them.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkScrape(b, n, 8192) })
	}
	b.Run("100 opened each time", func(b *testing.B) { benchmarkScrape(b, 100, 0) })
}

func benchmarkScrape(b *testing.B, n, keep int) {
	cfg, _ := many(b, n)
	cfg.MaxOpenFiles = keep
	s := startScraper(b, cfg, receivertest.NewNopSettings(metadata.Type))
	require.Equal(b, n+1, scrape(b, s).ResourceMetrics().Len())
	perCgroup(b, n, func() {
		if _, err := s.scrape(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkRead is the reading alone, to compare with BenchmarkContainerd.
func BenchmarkRead(b *testing.B) {
	cfg, paths := many(b, 100)
	h, err := openHierarchy(cfg.Mount)
	require.NoError(b, err)
	r, err := newReader(h, 8192)
	require.NoError(b, err)
	defer func() { require.NoError(b, r.close()) }()
	perCgroup(b, len(paths), func() {
		for _, p := range paths {
			if _, ok := r.read(p, false); !ok {
				b.Fatal(p)
			}
		}
	})
}

// BenchmarkContainerd reads the same cgroups with containerd/cgroups, all its controllers, PSI where there is.
func BenchmarkContainerd(b *testing.B) {
	cfg, paths := many(b, 100)
	h, err := openHierarchy(cfg.Mount)
	require.NoError(b, err)
	if cfg.Mount != "/sys/fs/cgroup" {
		b.Skip("it reads real cgroups only")
	}
	var stats []func() error
	for _, p := range paths {
		if h.memory.v2 {
			m, err := cgroup2.Load(p)
			require.NoError(b, err)
			stats = append(stats, func() error { _, err := m.Stat(); return err })
		} else {
			c, err := cgroup1.Load(cgroup1.StaticPath(p), cgroup1.WithHierarchy(v1Subsystems))
			require.NoError(b, err)
			stats = append(stats, func() error { _, err := c.Stat(cgroup1.IgnoreNotExist); return err })
		}
	}
	perCgroup(b, len(paths), func() {
		for _, stat := range stats {
			if err := stat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// v1Subsystems are those that the receiver reads.
func v1Subsystems() ([]cgroup1.Subsystem, error) {
	const root = "/sys/fs/cgroup"
	return []cgroup1.Subsystem{cgroup1.NewMemory(root), cgroup1.NewCpu(root), cgroup1.NewCpuacct(root), cgroup1.NewPids(root),
		cgroup1.NewBlkio(root)}, nil
}

// BenchmarkEvents is the look at every cgroup that the logs half does each second beside its notifications.
func BenchmarkEvents(b *testing.B) {
	cfg, paths := many(b, 100)
	h, err := openHierarchy(cfg.Mount)
	require.NoError(b, err)
	r, err := newReader(h, 0)
	require.NoError(b, err)
	defer func() { require.NoError(b, r.close()) }()
	perCgroup(b, len(paths), func() {
		for _, p := range paths {
			if _, ok := r.kills(p, false); !ok {
				b.Fatal(p)
			}
		}
	})
}
