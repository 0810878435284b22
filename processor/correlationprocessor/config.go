package correlationprocessor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/pattern"
)

// Config is the configuration of the correlation processor.
type Config struct {
	// Interval is how often patterns are held against the passing of time: how soon a silent entity or a lapsed condition is
	// noticed. New signals are looked at as they come. The status goes out with it, and who hears none for 30 s takes the node for
	// silent, so it is 15 s at most.
	Interval time.Duration `mapstructure:"interval"`
	// PassThrough passes the raw log records on as well; by default a logs pipeline carries findings only. Metrics always
	// pass.
	PassThrough bool `mapstructure:"pass_through"`
	// Patterns is a folder of pattern files that are added to the built-in ones; one of the same name takes its place.
	Patterns string `mapstructure:"patterns"`
	// DisabledPatterns are names of patterns that are left out.
	DisabledPatterns []string `mapstructure:"disabled_patterns"`
	// Storage is the storage extension in which findings outlive a restart.
	Storage *component.ID `mapstructure:"storage"`
	// SaveInterval is how often the rest of the state is stored; findings are stored before they are told.
	SaveInterval time.Duration `mapstructure:"save_interval"`
	// Refresh is how often an active finding is told again though nothing about it changed. Who hears nothing of one for two minutes
	// takes it for over, so it is a minute at most.
	Refresh time.Duration `mapstructure:"refresh"`
	// Retention is how long a resolved finding is remembered.
	Retention time.Duration `mapstructure:"retention"`
	// EntityTTL is how long an entity is remembered after the last signal about it, or after a restart.
	EntityTTL time.Duration `mapstructure:"entity_ttl"`
	// MaxEntities bounds the entities that are watched; the one that was silent longest is forgotten first.
	MaxEntities int `mapstructure:"max_entities"`
	// MaxFindings bounds the findings that are remembered, resolved ones included; those make room first, then what is less bad than a
	// new one.
	MaxFindings int `mapstructure:"max_findings"`
	// Node is the name of the node that findings are about where their resource names none; default: the host's name.
	Node string `mapstructure:"node"`
}

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{
		Interval:     time.Second,
		SaveInterval: 30 * time.Second,
		Refresh:      30 * time.Second,
		Retention:    time.Hour,
		EntityTTL:    10 * time.Minute,
		MaxEntities:  10_000,
		MaxFindings:  1_000,
	}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		field string
		value time.Duration
		least time.Duration
		most  time.Duration // 0: there is none
	}{
		{"interval", c.Interval, 100 * time.Millisecond, 15 * time.Second},
		{"save_interval", c.SaveInterval, time.Second, 0},
		{"refresh", c.Refresh, time.Second, time.Minute},
		{"retention", c.Retention, time.Minute, 0},
		{"entity_ttl", c.EntityTTL, time.Minute, 0},
	} {
		if d.value < d.least {
			errs = append(errs, fmt.Errorf("%s is %s, want at least %s", d.field, d.value, d.least))
		}
		if d.most > 0 && d.value > d.most {
			errs = append(errs, fmt.Errorf("%s is %s, want at most %s", d.field, d.value, d.most))
		}
	}
	if c.MaxEntities < 1 || c.MaxEntities > 1_000_000 {
		errs = append(errs, fmt.Errorf("max_entities is %d, want 1 to 1000000", c.MaxEntities))
	}
	if c.MaxFindings < 1 || c.MaxFindings > 100_000 {
		errs = append(errs, fmt.Errorf("max_findings is %d, want 1 to 100000", c.MaxFindings))
	}
	if _, err := c.load(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// load returns the patterns that are in force.
func (c *Config) load() ([]*pattern.Pattern, error) {
	all, err := pattern.Builtin()
	if err != nil {
		return nil, err
	}
	if c.Patterns != "" {
		if info, err := os.Stat(c.Patterns); err != nil {
			return nil, fmt.Errorf("patterns: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("patterns: %s is a file, want a folder of pattern files", c.Patterns)
		}
		users, err := pattern.Load(os.DirFS(c.Patterns))
		if err != nil {
			return nil, fmt.Errorf("patterns: %w", err)
		}
		all = pattern.Merge(all, users)
		if err := correlation.Check(all); err != nil {
			return nil, fmt.Errorf("patterns: %w", err)
		}
	}
	for _, name := range c.DisabledPatterns {
		before := len(all)
		kept := all[:0]
		for _, p := range all {
			if p.Name != name {
				kept = append(kept, p)
			}
		}
		if all = kept; len(all) == before {
			return nil, fmt.Errorf("disabled_patterns: %q is no pattern, want one of %s", name, strings.Join(pattern.Names(all), ", "))
		}
	}
	if len(all) == 0 {
		return nil, errors.New("disabled_patterns: leaves no pattern")
	}
	return all, nil
}
