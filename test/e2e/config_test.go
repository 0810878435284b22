//go:build linux

package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/test/harness"
)

// A configuration that cannot work ends the collector at start, and the error names the field.
func TestBadConfigurationFailsAtStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name   string
		config []string
		want   []string
	}{
		{"unknown root", []string{"yaml:receivers::cgroup::roots: [/there-is-no-such-cgroup]"}, []string{"roots[0]", "/there-is-no-such-cgroup"}},
		{"no cgroups at the mount", []string{"yaml:receivers::cgroup::mount: " + t.TempDir()}, []string{"mount"}},
		{"zero interval", []string{"yaml:receivers::cgroup::collection_interval: 0s"}, []string{"collection_interval", "100ms"}},
		{"interval that is none", []string{"yaml:receivers::cgroup::collection_interval: soon"}, []string{"collection_interval"}},
		{"endpoint taken", []string{"yaml:exporters::findings::endpoint: " + taken.Addr().String()}, []string{"endpoint", "address already in use"}},
		{"endpoint that is none", []string{"yaml:exporters::findings::endpoint: nowhere"}, []string{"endpoint"}},
		{"storage folder missing", []string{"yaml:extensions::file_storage::directory: " + missing, "yaml:extensions::file_storage::create_directory: false"}, []string{"directory", missing}},
		{"storage extension missing", []string{"yaml:processors::correlation::storage: file_storage/other"}, []string{"storage", "file_storage/other"}},
		{"pattern folder missing", []string{"yaml:processors::correlation::patterns: " + missing}, []string{"patterns", missing}},
		{"field that is none", []string{"yaml:receivers::cgroup::intervall: 5s"}, []string{"intervall"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var args []string
			for _, overlay := range c.config {
				args = append(args, "--config", overlay)
			}
			collector, err := harness.NewCollector(bin(t), t.TempDir(), nil, args...)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err = collector.Start(ctx)
			if err == nil {
				require.NoError(t, collector.Stop())
				t.Fatal("it started")
			}
			require.NoError(t, ctx.Err(), "it neither started nor ended")
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	address, err := harness.FreeAddress()
	require.NoError(t, err)
	return address
}

func answers(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}
