package crireceiver

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		set  map[string]any
		want string
	}{
		"default":              {nil, ""},
		"a socket":             {map[string]any{"endpoints": []string{"unix:///run/crio/crio.sock", "/run/containerd/containerd.sock"}}, ""},
		"an endpoint over TCP": {map[string]any{"endpoints": []string{"/run/crio/crio.sock", "tcp://localhost:1234"}}, `endpoints[1] is "tcp://localhost:1234", want a socket such as unix:///run/containerd/containerd.sock`},
		"a relative path":      {map[string]any{"endpoints": []string{"crio.sock"}}, `endpoints[0] is "crio.sock", want a socket such as`},
		"a socket twice":       {map[string]any{"endpoints": []string{"/run/crio/crio.sock", "unix:///run/crio//crio.sock"}}, `endpoints[1] is "unix:///run/crio//crio.sock", which endpoints[0] is already`},
		"polls without rest":   {map[string]any{"poll_interval": "1ms"}, "poll_interval is 1ms, want at least 100ms"},
		"nothing to follow":    {map[string]any{"max_containers": 0}, "max_containers is 0, want at least 1"},
		"no interval":          {map[string]any{"collection_interval": "0s"}, `"collection_interval": requires positive value`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig()
			assert.NoError(t, confmap.NewFromStringMap(c.set).Unmarshal(cfg))
			err := xconfmap.Validate(cfg)
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}
