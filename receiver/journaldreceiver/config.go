package journaldreceiver

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

const (
	startEnd       = "end"
	startBeginning = "beginning"
	startCursor    = "cursor"
	startTime      = "time"
)

const (
	// minEntrySize leaves room for what journald itself adds to each entry.
	minEntrySize = 1 << 10
	// maxEntrySize is what an entry may have at most; journald itself stops at 768 MiB a field.
	maxEntrySize = 64 << 20
)

// Config is the configuration of the journald receiver.
type Config struct {
	// Directories are the journal folders: files in them, and in the folders right below them, are read.
	Directories []string `mapstructure:"directories"`
	// StorageID is the storage extension that keeps the positions over a restart.
	StorageID *component.ID `mapstructure:"storage"`
	// StartAt says where to begin when the storage has no position: end, beginning, cursor or time.
	StartAt string `mapstructure:"start_at"`
	// Cursor is the entry after which start_at: cursor begins, as `journalctl --show-cursor` prints it.
	Cursor string `mapstructure:"cursor"`
	// Time is where start_at: time begins: a time in RFC 3339, or for how long before the start, such as 1h.
	Time string `mapstructure:"time"`

	// Units leaves only what these units logged, or systemd says of them; * stands for anything.
	Units []string `mapstructure:"units"`
	// Identifiers leaves only entries with one of these syslog identifiers.
	Identifiers []string `mapstructure:"identifiers"`
	// Priority leaves only entries as severe or more, or within a range: err, warning..crit, 0..3.
	Priority string `mapstructure:"priority"`
	// Transports leaves only entries that came by one of these: kernel, journal, stdout, syslog, audit, driver.
	Transports []string `mapstructure:"transports"`
	// Matches leaves only entries in which all the fields of one of these have the values given.
	Matches []map[string]string `mapstructure:"matches"`
	// ExcludeFields are fields that are not told, such as _CAP_EFFECTIVE.
	ExcludeFields []string `mapstructure:"exclude_fields"`

	// MaxEntrySize bounds an entry's fields, and its message, in bytes each; larger ones are cut and marked.
	MaxEntrySize int `mapstructure:"max_entry_size"`
	// MaxBatchSize bounds the entries that are handed on together.
	MaxBatchSize int `mapstructure:"max_batch_size"`
	// MaxFiles bounds the files that are open at a time; others wait.
	MaxFiles int `mapstructure:"max_files"`
	// PollInterval is how often the files are looked at for new entries.
	PollInterval time.Duration `mapstructure:"poll_interval"`
}

var _ xconfmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{
		Directories:  []string{"/var/log/journal", "/run/log/journal"},
		StartAt:      startEnd,
		MaxEntrySize: 64 << 10,
		MaxBatchSize: 1000,
		MaxFiles:     1024,
		PollInterval: 250 * time.Millisecond,
	}
}

// Validate checks the configuration; every error names its field.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Directories) == 0 {
		bad("directories is empty, want journal folders such as /var/log/journal")
	}
	for i, d := range c.Directories {
		if !filepath.IsAbs(d) || filepath.Clean(d) != d {
			bad("directories[%d] is %q, want a clean absolute path such as /var/log/journal", i, d)
		}
	}
	switch c.StartAt {
	case startEnd, startBeginning:
	case startCursor:
		if _, err := sdjournal.ParseCursor(c.Cursor); err != nil {
			bad("cursor, which start_at: cursor needs: %w", err)
		}
	case startTime:
		if _, err := parseTime(c.Time, time.Now()); err != nil {
			bad("time, which start_at: time needs: %w", err)
		}
	default:
		bad("start_at is %q, want end, beginning, cursor or time", c.StartAt)
	}
	if c.Cursor != "" && c.StartAt != startCursor {
		bad("cursor is given, but start_at is %q, want cursor", c.StartAt)
	}
	if c.Time != "" && c.StartAt != startTime {
		bad("time is given, but start_at is %q, want time", c.StartAt)
	}
	if _, err := newFilter(c); err != nil {
		errs = append(errs, err)
	}
	for i, name := range c.ExcludeFields {
		if !isFieldName(name) {
			bad("exclude_fields[%d] is %q, want a field's name such as _CAP_EFFECTIVE", i, name)
		}
	}
	if c.MaxEntrySize < minEntrySize || c.MaxEntrySize > maxEntrySize {
		bad("max_entry_size is %d, want %d to %d bytes", c.MaxEntrySize, minEntrySize, maxEntrySize)
	}
	if c.MaxBatchSize < 1 || c.MaxBatchSize > 100_000 {
		bad("max_batch_size is %d, want 1 to 100000 entries", c.MaxBatchSize)
	}
	if c.MaxFiles < 1 {
		bad("max_files is %d, want at least 1", c.MaxFiles)
	}
	if c.PollInterval < 10*time.Millisecond {
		bad("poll_interval is %s, want at least 10ms", c.PollInterval)
	}
	return errors.Join(errs...)
}

// parseTime reads a time in RFC 3339, or one that is so long before now.
func parseTime(s string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() < 0 {
		return time.Time{}, fmt.Errorf("%q is none, want one such as 2026-01-02T15:04:05Z, or how long ago, such as 1h", s)
	}
	return t, nil
}

// isFieldName says whether journald takes a field of this name.
func isFieldName(s string) bool {
	return s != "" && len(s) <= 64 && (s[0] < '0' || s[0] > '9') &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
