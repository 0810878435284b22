package attributionextension

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/your-org/tapio/internal/attribution"
)

// Config is the configuration of the attribution extension.
type Config struct {
	// Window is how long a subject is looked at to find out who holds its memory.
	Window time.Duration `mapstructure:"window"`
	// ErrorsWindow is how long it is looked at to find out which of its system calls fail. Meanwhile every task of the machine
	// pays for it, a little with each call.
	ErrorsWindow time.Duration `mapstructure:"errors_window"`
	// Again is how soon the same subject is looked at again by itself, Retry how soon after a look that failed or named nobody;
	// after each further such look it takes twice as long, up to Again. Who asks by hand need not wait.
	Again time.Duration `mapstructure:"again"`
	Retry time.Duration `mapstructure:"retry"`
	// QueueSize bounds the questions that wait.
	QueueSize int `mapstructure:"queue_size"`
}

// minRetry keeps a look that fails at once from being all that is done.
const minRetry = 5 * time.Second

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{Window: 30 * time.Second, ErrorsWindow: 5 * time.Second, Again: 10 * time.Minute, Retry: 30 * time.Second, QueueSize: 16}
}

// window is how long one looks to answer a question of a kind.
func (c *Config) window(k attribution.Kind) time.Duration {
	if k == attribution.Errors {
		return c.ErrorsWindow
	}
	return c.Window
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	for name, k := range map[string]attribution.Kind{"window": attribution.Memory, "errors_window": attribution.Errors} {
		if err := k.Check(c.window(k)); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", name, err))
		}
	}
	if c.Again < time.Minute {
		errs = append(errs, fmt.Errorf("again is %s, want at least 1m", c.Again))
	}
	if c.Retry < minRetry || c.Retry > c.Again {
		errs = append(errs, fmt.Errorf("retry is %s, want %s to again (%s)", c.Retry, minRetry, c.Again))
	}
	if c.QueueSize < 1 || c.QueueSize > 1000 {
		errs = append(errs, fmt.Errorf("queue_size is %d, want 1 to 1000", c.QueueSize))
	}
	return errors.Join(errs...)
}
