package cgroupreceiver

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/your-org/tapio/receiver/cgroupreceiver/internal/metadata"
)

// minInterval is the shortest collection interval: below it the reading itself would be the load.
const minInterval = 100 * time.Millisecond

// Config is the configuration of the cgroup receiver.
type Config struct {
	scraperhelper.ControllerConfig `mapstructure:",squash"`
	metadata.MetricsBuilderConfig  `mapstructure:",squash"`

	// Mount is where the cgroup file systems are mounted: the unified one, or the folder that holds the controllers' ones.
	Mount string `mapstructure:"mount"`
	// Roots are the cgroups below which everything is read, as paths below the mount point. Roots themselves are read too,
	// but for "/", which is the whole machine.
	Roots []string `mapstructure:"roots"`
	// Exclude are patterns of cgroup paths that are not read, nor anything below them; * stands for anything but a slash.
	Exclude []string `mapstructure:"exclude"`
	// MaxCgroups bounds the cgroups that are read; more are dropped and counted.
	MaxCgroups int `mapstructure:"max_cgroups"`
	// MaxWatches bounds the cgroups whose events are watched; more are only scraped, and counted.
	MaxWatches int `mapstructure:"max_watches"`
	// MaxOpenFiles bounds the files of cgroups that the metrics half keeps open between scrapes, some 15 for a cgroup, which
	// saves most of the time of reading them; the kernel has a page of memory for each.
	MaxOpenFiles int `mapstructure:"max_open_files"`
}

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	controller := scraperhelper.NewDefaultControllerConfig()
	controller.CollectionInterval = 5 * time.Second
	controller.InitialDelay = 0
	return &Config{
		ControllerConfig:     controller,
		MetricsBuilderConfig: metadata.DefaultMetricsBuilderConfig(),
		Mount:                "/sys/fs/cgroup",
		Roots:                []string{"/"},
		MaxCgroups:           10_000,
		MaxWatches:           4_096,
		MaxOpenFiles:         1_024,
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
	if len(c.Roots) == 0 {
		errs = append(errs, errors.New(`roots is empty, want cgroup paths such as "/"`))
	}
	for i, r := range c.Roots {
		if !strings.HasPrefix(r, "/") || path.Clean(r) != r {
			errs = append(errs, fmt.Errorf("roots[%d] is %q, want a clean path below the mount point such as /kubepods", i, r))
		}
	}
	for i, p := range c.Exclude {
		if _, err := path.Match(p, "/"); err != nil || !strings.HasPrefix(p, "/") {
			errs = append(errs, fmt.Errorf("exclude[%d] is %q, want a pattern such as /system.slice/*", i, p))
		}
	}
	if c.MaxCgroups < 1 {
		errs = append(errs, fmt.Errorf("max_cgroups is %d, want at least 1", c.MaxCgroups))
	}
	if c.MaxWatches < 0 {
		errs = append(errs, fmt.Errorf("max_watches is %d, want 0 or more", c.MaxWatches))
	}
	if c.MaxOpenFiles < 0 {
		errs = append(errs, fmt.Errorf("max_open_files is %d, want 0 or more", c.MaxOpenFiles))
	}
	return errors.Join(errs...)
}
