package journaldreceiver

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
)

func create(t *testing.T) (component.Component, error) {
	return createLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), createDefaultConfig(), consumertest.NewNop())
}

// This test's own program, run where libsystemd is hidden, or built without cgo, must say what is missing.
func TestSaysWhatIsMissing(t *testing.T) {
	if want := os.Getenv("TAPIO_TEST_WANT_ERROR"); want != "" {
		_, err := create(t)
		require.ErrorContains(t, err, want)
		return
	}
	again := func(program, want string, wrap ...string) {
		c := exec.Command(program, "-test.run=^TestSaysWhatIsMissing$")
		if wrap != nil {
			c = exec.Command(wrap[0], append(wrap[1:], c.Args...)...)
		}
		c.Env = append(os.Environ(), "TAPIO_TEST_WANT_ERROR="+want)
		out, err := c.CombinedOutput()
		assert.NoError(t, err, string(out))
	}
	t.Run("without libsystemd", func(t *testing.T) {
		needLibsystemd(t)
		found, err := filepath.Glob("/lib/*/libsystemd.so.0")
		if err != nil || len(found) != 1 || os.Getuid() != 0 {
			t.Skip("hiding libsystemd needs root, and to know where it is")
		}
		again(os.Args[0], "libsystemd0", "unshare", "--mount", "--propagation", "private", "sh", "-c",
			`mount --bind /dev/null `+found[0]+` && exec "$@"`, "sh")
	})
	t.Run("without cgo", func(t *testing.T) {
		if testing.Short() {
			t.Skip("compiles")
		}
		program := filepath.Join(t.TempDir(), "test")
		build := exec.Command("go", "test", "-c", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
		again(program, "CGO_ENABLED=1")
	})
}

func TestStorageThatIsNotThere(t *testing.T) {
	needLibsystemd(t)
	cfg := configure(nil, t.TempDir())
	other := component.MustNewID("redis_storage")
	cfg.StorageID = &other
	r, err := createLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	assert.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), `storage: there is no extension "redis_storage"`)
	assert.NoError(t, r.Shutdown(t.Context()))
}

func TestShutdownWithoutStart(t *testing.T) {
	needLibsystemd(t)
	r, err := create(t)
	require.NoError(t, err)
	assert.NoError(t, r.Shutdown(t.Context()))
}
