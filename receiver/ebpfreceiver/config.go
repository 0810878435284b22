package ebpfreceiver

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

// minInterval is the shortest collection interval: below it the reading itself would be the load.
const minInterval = time.Second

// Config is the configuration of the ebpf receiver.
type Config struct {
	scraperhelper.ControllerConfig `mapstructure:",squash"`
	metadata.MetricsBuilderConfig  `mapstructure:",squash"`

	// Mount is where the cgroup file systems are mounted: the unified one, or the folder that holds the controllers' ones.
	Mount string `mapstructure:"mount"`
	// MaxCgroups bounds the cgroups that metrics are told of; more are dropped and counted.
	MaxCgroups int `mapstructure:"max_cgroups"`
	// MaxPeers bounds the peers that metrics, and failures in one interval, are told of; more are dropped and counted.
	MaxPeers int `mapstructure:"max_peers"`
	// MaxNames bounds the names asked of DNS servers that metrics are told of; more are dropped and counted.
	MaxNames int `mapstructure:"max_names"`
	// Probes switches the groups of probes.
	Probes Probes `mapstructure:"probes"`
}

// Probes are the groups of probes.
type Probes struct {
	// OOM tells of kills for want of memory.
	OOM Probe `mapstructure:"oom"`
	// Process counts how processes begin and end, and tells of those that ended badly, and by whom.
	Process Probe `mapstructure:"process"`
	// Network counts TCP connections: whom to, how long they took, why they failed, and what was lost.
	Network Probe `mapstructure:"network"`
	// DNS counts lookups of names: how they ended, of which name at which server, and how long they took.
	DNS Probe `mapstructure:"dns"`
	// Performance counts what tasks wait for: a CPU, memory, disks.
	Performance Probe `mapstructure:"performance"`
}

// Probe is the configuration of one group of probes.
type Probe struct {
	// Enabled says whether the group is loaded into the kernel.
	Enabled bool `mapstructure:"enabled"`
}

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	controller := scraperhelper.NewDefaultControllerConfig()
	controller.CollectionInterval = 10 * time.Second
	on := Probe{Enabled: true}
	return &Config{
		ControllerConfig:     controller,
		MetricsBuilderConfig: metadata.DefaultMetricsBuilderConfig(),
		Mount:                "/sys/fs/cgroup",
		MaxCgroups:           1_000,
		MaxPeers:             1_000,
		MaxNames:             1_000,
		Probes:               Probes{OOM: on, Process: on, Network: on, DNS: on, Performance: on},
	}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	if c.CollectionInterval < minInterval {
		errs = append(errs, fmt.Errorf("collection_interval is %s, want at least %s", c.CollectionInterval, minInterval))
	}
	if !filepath.IsAbs(c.Mount) {
		errs = append(errs, fmt.Errorf("mount is %q, want an absolute path such as /sys/fs/cgroup", c.Mount))
	}
	if c.MaxCgroups < 1 {
		errs = append(errs, fmt.Errorf("max_cgroups is %d, want at least 1", c.MaxCgroups))
	}
	if c.MaxPeers < 1 {
		errs = append(errs, fmt.Errorf("max_peers is %d, want at least 1", c.MaxPeers))
	}
	if c.MaxNames < 1 {
		errs = append(errs, fmt.Errorf("max_names is %d, want at least 1", c.MaxNames))
	}
	return errors.Join(errs...)
}
