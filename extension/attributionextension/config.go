package attributionextension

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

// Config is the configuration of the attribution extension.
type Config struct {
	// Window is how long a subject is looked at.
	Window time.Duration `mapstructure:"window"`
	// Again is how soon the same subject is looked at again by itself; who asks by hand need not wait.
	Again time.Duration `mapstructure:"again"`
	// QueueSize bounds the questions that wait.
	QueueSize int `mapstructure:"queue_size"`
}

// Bounds of the configuration.
const (
	minWindow = 5 * time.Second
	maxWindow = 2 * time.Minute
)

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{Window: 30 * time.Second, Again: 10 * time.Minute, QueueSize: 16}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	if c.Window < minWindow || c.Window > maxWindow {
		errs = append(errs, fmt.Errorf("window is %s, want %s to %s", c.Window, minWindow, maxWindow))
	}
	if c.Again < time.Minute {
		errs = append(errs, fmt.Errorf("again is %s, want at least 1m", c.Again))
	}
	if c.QueueSize < 1 || c.QueueSize > 1000 {
		errs = append(errs, fmt.Errorf("queue_size is %d, want 1 to 1000", c.QueueSize))
	}
	return errors.Join(errs...)
}
