package ebpfreceiver

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

func TestDefaultConfigIsValid(t *testing.T) {
	assert.NoError(t, xconfmap.Validate(createDefaultConfig()))
}

func TestEachGroupOfProbesCanBeSwitchedOff(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"probes": map[string]any{"oom": map[string]any{"enabled": false}}}).Unmarshal(cfg))
	assert.False(t, cfg.Probes.OOM.Enabled)
}

func TestUnknownGroupOfProbes(t *testing.T) {
	err := confmap.NewFromStringMap(map[string]any{"probes": map[string]any{"ooms": map[string]any{"enabled": false}}}).Unmarshal(createDefaultConfig())
	assert.ErrorContains(t, err, "ooms")
}
