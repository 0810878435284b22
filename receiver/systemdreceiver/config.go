package systemdreceiver

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

// Config is the configuration of the systemd receiver.
type Config struct {
	scraperhelper.ControllerConfig `mapstructure:",squash"`
	metadata.MetricsBuilderConfig  `mapstructure:",squash"`

	// Socket is the path of the system bus's socket, over which systemd is reached.
	Socket string `mapstructure:"socket"`
	// Units are patterns of the names of the units that are followed; * stands for anything.
	Units []string `mapstructure:"units"`
	// Exclude are patterns of names of units that are not.
	Exclude []string `mapstructure:"exclude"`
	// MaxUnits bounds the units that are followed; more are dropped and counted.
	MaxUnits int `mapstructure:"max_units"`
}

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	controller := scraperhelper.NewDefaultControllerConfig()
	controller.CollectionInterval = 30 * time.Second
	return &Config{
		ControllerConfig:     controller,
		MetricsBuilderConfig: metadata.DefaultMetricsBuilderConfig(),
		Socket:               "/run/dbus/system_bus_socket",
		Units:                []string{"*.service", "*.mount", "*.socket", "*.swap", "*.timer"},
		MaxUnits:             2_000,
	}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	if !path.IsAbs(c.Socket) {
		errs = append(errs, fmt.Errorf("socket is %q, want the absolute path of a socket such as /run/dbus/system_bus_socket", c.Socket))
	}
	if strings.ContainsAny(c.Socket, ",;=%") {
		errs = append(errs, fmt.Errorf("socket is %q, want a path without any of , ; = %%", c.Socket))
	}
	if len(c.Units) == 0 {
		errs = append(errs, errors.New(`units is empty, want patterns such as "*.service"`))
	}
	for field, patterns := range map[string][]string{"units": c.Units, "exclude": c.Exclude} {
		for i, p := range patterns {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				errs = append(errs, fmt.Errorf("%s[%d] is %q, want a pattern such as *.service", field, i, p))
			}
		}
	}
	if c.MaxUnits < 1 {
		errs = append(errs, fmt.Errorf("max_units is %d, want at least 1", c.MaxUnits))
	}
	return errors.Join(errs...)
}

// follows says whether a unit is one of those that are followed.
func (c *Config) follows(unit string) bool {
	return matches(c.Units, unit) && !matches(c.Exclude, unit)
}

func matches(patterns []string, unit string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, unit); ok && err == nil {
			return true
		}
	}
	return false
}
