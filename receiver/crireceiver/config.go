package crireceiver

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/your-org/tapio/receiver/crireceiver/internal/metadata"
)

// Config is the configuration of the CRI receiver.
type Config struct {
	scraperhelper.ControllerConfig `mapstructure:",squash"`
	metadata.MetricsBuilderConfig  `mapstructure:",squash"`

	// Endpoints are the sockets of container runtimes; empty: all of the usual ones that are there.
	Endpoints []string `mapstructure:"endpoints"`
	// PollInterval is how often a runtime that sends no events is asked what it runs.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// MaxContainers bounds the containers that are followed, and likewise sandboxes and images; more are dropped and counted.
	MaxContainers int `mapstructure:"max_containers"`
}

var _ xconfmap.Validator = (*Config)(nil)

// usual are the sockets at which container runtimes listen by default.
var usual = []string{
	"/run/containerd/containerd.sock",
	"/run/crio/crio.sock",
	"/run/cri-dockerd.sock",
	"/run/k3s/containerd/containerd.sock", // RKE2's, too
	"/run/k0s/containerd.sock",
	"/var/snap/microk8s/common/run/containerd.sock",
}

// leastPoll keeps the receiver from being a load of its own.
const leastPoll = 100 * time.Millisecond

func createDefaultConfig() component.Config {
	controller := scraperhelper.NewDefaultControllerConfig()
	controller.CollectionInterval = 30 * time.Second
	return &Config{
		ControllerConfig:     controller,
		MetricsBuilderConfig: metadata.DefaultMetricsBuilderConfig(),
		PollInterval:         2 * time.Second,
		MaxContainers:        4096,
	}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	known := map[string]int{}
	for i, endpoint := range c.Endpoints {
		path, err := socket(endpoint)
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoints[%d] is %q, %w", i, endpoint, err))
			continue
		}
		if first, twice := known[path]; twice {
			errs = append(errs, fmt.Errorf("endpoints[%d] is %q, which endpoints[%d] is already", i, endpoint, first))
		}
		known[path] = i
	}
	if c.PollInterval < leastPoll {
		errs = append(errs, fmt.Errorf("poll_interval is %s, want at least %s", c.PollInterval, leastPoll))
	}
	if c.MaxContainers < 1 {
		errs = append(errs, fmt.Errorf("max_containers is %d, want at least 1", c.MaxContainers))
	}
	return errors.Join(errs...)
}

// socket is the path of an endpoint's socket.
func socket(endpoint string) (string, error) {
	path := strings.TrimPrefix(endpoint, "unix://")
	if !filepath.IsAbs(path) {
		return "", errors.New("want a socket such as unix:///run/containerd/containerd.sock")
	}
	return filepath.Clean(path), nil
}

// sockets are the paths of the sockets to look at, and whether somebody asked for them.
func (c *Config) sockets() (paths []string, asked bool) {
	if len(c.Endpoints) == 0 {
		return usual, false
	}
	for _, endpoint := range c.Endpoints {
		if path, err := socket(endpoint); err == nil {
			paths = append(paths, path)
		}
	}
	return paths, true
}
