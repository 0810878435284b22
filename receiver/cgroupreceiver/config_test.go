package cgroupreceiver

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

func TestConfig(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, xconfmap.Validate(cfg), "the default is valid")
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"collection_interval": "100ms", "roots": []any{"/kubepods.slice", "/system.slice"}, "exclude": []any{"/system.slice/*.mount"},
		"max_cgroups": 10, "max_watches": 0,
	}).Unmarshal(cfg))
	require.NoError(t, xconfmap.Validate(cfg))
	assert.Equal(t, 100*time.Millisecond, cfg.CollectionInterval)
	assert.Equal(t, []string{"/kubepods.slice", "/system.slice"}, cfg.Roots)
	assert.Equal(t, []string{"/system.slice/*.mount"}, cfg.Exclude)
}

// Each error names its field and says what would be right.
func TestConfigErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"zero interval":   {func(c *Config) { c.CollectionInterval = 0 }, "collection_interval is 0s, want at least 100ms"},
		"short interval":  {func(c *Config) { c.CollectionInterval = 99 * time.Millisecond }, "collection_interval is 99ms, want at least 100ms"},
		"relative mount":  {func(c *Config) { c.Mount = "sys" }, `mount is "sys", want an absolute path such as /sys/fs/cgroup`},
		"no roots":        {func(c *Config) { c.Roots = nil }, `roots is empty, want cgroup paths such as "/"`},
		"relative root":   {func(c *Config) { c.Roots = []string{"/", "a"} }, `roots[1] is "a", want a clean path below the mount point`},
		"escaping root":   {func(c *Config) { c.Roots = []string{"/../etc"} }, `roots[0] is "/../etc", want a clean path`},
		"bad pattern":     {func(c *Config) { c.Exclude = []string{"/[a"} }, `exclude[0] is "/[a", want a pattern such as /system.slice/*`},
		"no cgroups":      {func(c *Config) { c.MaxCgroups = 0 }, "max_cgroups is 0, want at least 1"},
		"negative files":  {func(c *Config) { c.MaxOpenFiles = -1 }, "max_open_files is -1, want 0 or more"},
		"negative number": {func(c *Config) { c.MaxWatches = -1 }, "max_watches is -1, want 0 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			c.change(cfg)
			assert.ErrorContains(t, xconfmap.Validate(cfg), c.want)
		})
	}
}

// What only the host can tell is told at start, of metrics and logs alike, and nothing is left running.
func TestStartErrors(t *testing.T) {
	empty, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		mount, root string
		want        string
	}{
		"missing mount": {"/nowhere", "/", "mount: stat /nowhere: no such file or directory (want the folder of the cgroup file systems"},
		"a file":        {file, "/", "is no folder (want that of the cgroup file systems"},
		"no cgroups":    {empty, "/", "mount: there is neither cgroup v2 nor any controller of cgroup v1 at " + empty},
		"unknown root":  {unpack(t, "kubernetes-v2-systemd-containerd"), "/kubepods", "roots[0]: there is no cgroup /kubepods in "},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			cfg.Mount, cfg.Roots = c.mount, []string{c.root}
			set := receivertest.NewNopSettings(metadata.Type)
			metrics, err := NewFactory().CreateMetrics(t.Context(), set, cfg, consumertest.NewNop())
			require.NoError(t, err)
			assert.ErrorContains(t, metrics.Start(t.Context(), componenttest.NewNopHost()), c.want)
			require.NoError(t, metrics.Shutdown(t.Context()))
			logs, err := NewFactory().CreateLogs(t.Context(), set, cfg, consumertest.NewNop())
			require.NoError(t, err)
			assert.ErrorContains(t, logs.Start(t.Context(), componenttest.NewNopHost()), c.want)
			require.NoError(t, logs.Shutdown(t.Context()))
		})
	}
}
