package findingsexporter

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

func TestDefaultsAreValidAndOnLoopback(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, xconfmap.Validate(cfg))
	assert.Equal(t, "localhost:4320", cfg.NetAddr.Endpoint)
	assert.False(t, cfg.CORS.HasValue(), "other sites' pages must not read findings")
}

func TestBadConfigurationNamesItsField(t *testing.T) {
	for _, c := range []struct {
		field string
		value any
		want  string
	}{
		{"endpoint", "", "endpoint is empty, want an address such as localhost:4320"},
		{"endpoint", "localhost", `endpoint is "localhost", want host:port such as localhost:4320`},
		{"transport", "pigeon", `'transport' unsupported transport type "pigeon"`},
		{"max_findings", 0, "max_findings is 0, want at least 1"},
		{"max_size_mib", 0, "max_size_mib is 0, want 1 to 1048576"},
		{"max_size_mib", 1 << 43, "max_size_mib is 8796093022208, want 1 to 1048576"}, // its bytes are a negative number
		{"max_watchers", -1, "max_watchers is -1, want 0 or more"},
		{"retention", "-1s", "retention is -1s, want 0 or more"},
		{"stale_after", "59s", "stale_after is 59s, want at least 1m"},
	} {
		t.Run(c.field, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			err := confmap.NewFromStringMap(map[string]any{c.field: c.value}).Unmarshal(cfg)
			if err == nil {
				err = xconfmap.Validate(cfg)
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
	assert.ErrorContains(t, confmap.NewFromStringMap(map[string]any{"max_finding": 1}).Unmarshal(createDefaultConfig()), "max_finding")
}
