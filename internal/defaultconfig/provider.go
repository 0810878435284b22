// Package defaultconfig brings Tapio's own configurations as a confmap provider: `tapio-collector --config tapio:local` runs
// without any file, and a second --config adds to it or changes it, as everywhere in the collector.
package defaultconfig

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// scheme is that of the URIs which name our configurations.
const scheme = "tapio"

var (
	//go:embed local.yaml
	local []byte
	//go:embed journal.yaml
	journal []byte
	//go:embed node.yaml
	node []byte
	//go:embed cluster.yaml
	cluster []byte
)

// configurations are all of them by name.
var configurations = map[string][]byte{"local": local, "journal": journal, "node": node, "cluster": cluster}

type provider struct{}

// NewFactory returns the factory of the provider of `tapio:local`, what is added to it, and `tapio:cluster`.
func NewFactory() confmap.ProviderFactory {
	return confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return provider{} })
}

// Retrieve returns a configuration by its name.
func (provider) Retrieve(_ context.Context, uri string, _ confmap.WatcherFunc) (*confmap.Retrieved, error) {
	name, ok := strings.CutPrefix(uri, scheme+":")
	if !ok {
		return nil, fmt.Errorf("configuration %q is not of the form %s:NAME", uri, scheme)
	}
	if config, ok := configurations[name]; ok {
		return confmap.NewRetrievedFromYAML(config)
	}
	return nil, fmt.Errorf("there is no configuration %s:%s, want %s:local, with it %s:journal or %s:node, or %s:cluster",
		scheme, name, scheme, scheme, scheme, scheme)
}

// Scheme is the scheme of the provider's URIs.
func (provider) Scheme() string { return scheme }

// Shutdown does nothing.
func (provider) Shutdown(context.Context) error { return nil }
