package findingsexporter

import (
	"errors"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/your-org/tapio/internal/finding"
)

// Config is the configuration of the findings exporter.
type Config struct {
	// ServerConfig is where and how findings are served: endpoint, transport (unix for a socket), tls, auth, cors.
	confighttp.ServerConfig `mapstructure:",squash"`

	// MaxFindings bounds the findings that are kept; resolved ones are forgotten first, then those not heard of for longest.
	MaxFindings int `mapstructure:"max_findings"`
	// MaxSizeMiB bounds the JSON of all findings that are kept, in MiB.
	MaxSizeMiB int `mapstructure:"max_size_mib"`
	// Retention is how long a resolved finding is kept after it was last told.
	Retention time.Duration `mapstructure:"retention"`
	// StaleAfter is how long an active finding is kept without being told again: its source is gone.
	StaleAfter time.Duration `mapstructure:"stale_after"`
	// MaxWatchers bounds the clients of /v1/findings/watch.
	MaxWatchers int `mapstructure:"max_watchers"`
}

// maxSizeMiB is a TiB: more than any machine has, and few enough bytes to be counted.
const maxSizeMiB = 1 << 20

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = finding.DefaultEndpoint
	server.ReadTimeout = server.WriteTimeout // or who never sends the end of a request keeps a connection for ever
	return &Config{
		ServerConfig: server,
		MaxFindings:  10_000,
		MaxSizeMiB:   64,
		Retention:    time.Hour,
		StaleAfter:   10 * time.Minute,
		MaxWatchers:  100,
	}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	if c.NetAddr.Endpoint == "" {
		errs = append(errs, fmt.Errorf("endpoint is empty, want an address such as %s", finding.DefaultEndpoint))
	} else if c.NetAddr.Transport != confignet.TransportTypeUnix {
		if _, _, err := net.SplitHostPort(c.NetAddr.Endpoint); err != nil {
			errs = append(errs, fmt.Errorf("endpoint is %q, want host:port such as %s: %w", c.NetAddr.Endpoint, finding.DefaultEndpoint, err))
		}
	}
	if c.MaxFindings < 1 {
		errs = append(errs, fmt.Errorf("max_findings is %d, want at least 1", c.MaxFindings))
	}
	if c.MaxSizeMiB < 1 || c.MaxSizeMiB > maxSizeMiB {
		errs = append(errs, fmt.Errorf("max_size_mib is %d, want 1 to %d", c.MaxSizeMiB, maxSizeMiB))
	}
	if c.MaxWatchers < 0 {
		errs = append(errs, fmt.Errorf("max_watchers is %d, want 0 or more", c.MaxWatchers))
	}
	if c.Retention < 0 {
		errs = append(errs, fmt.Errorf("retention is %s, want 0 or more", c.Retention))
	}
	if c.StaleAfter < time.Minute {
		errs = append(errs, fmt.Errorf("stale_after is %s, want at least 1m: active findings are told every 30s", c.StaleAfter))
	}
	return errors.Join(errs...)
}
