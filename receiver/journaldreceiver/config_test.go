package journaldreceiver

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"directories is empty":              func(c *Config) { c.Directories = nil },
		`directories[0] is "journal"`:       func(c *Config) { c.Directories = []string{"journal"} },
		`start_at is "now", want end`:       func(c *Config) { c.StartAt = "now" },
		"cursor, which start_at: cursor":    func(c *Config) { c.StartAt = startCursor },
		"time, which start_at: time needs":  func(c *Config) { c.StartAt, c.Time = startTime, "noon" },
		`time is given, but start_at`:       func(c *Config) { c.Time = "1h" },
		`cursor is given, but start_at`:     func(c *Config) { c.Cursor = foreignCursor },
		`units[0] is "["`:                   func(c *Config) { c.Units = []string{"["} },
		`priority is "bad"`:                 func(c *Config) { c.Priority = "bad" },
		`priority is "8"`:                   func(c *Config) { c.Priority = "8" },
		`priority is "err.."`:               func(c *Config) { c.Priority = "err.." },
		`transports[1] is "carrier pigeon"`: func(c *Config) { c.Transports = []string{"kernel", "carrier pigeon"} },
		"matches[0] is empty":               func(c *Config) { c.Matches = []map[string]string{{}} },
		`matches[0] has "unit"`:             func(c *Config) { c.Matches = []map[string]string{{"unit": "x"}} },
		`exclude_fields[0] is "a=b"`:        func(c *Config) { c.ExcludeFields = []string{"a=b"} },
		"max_entry_size is 10":              func(c *Config) { c.MaxEntrySize = 10 },
		"max_batch_size is 0":               func(c *Config) { c.MaxBatchSize = 0 },
		"max_files is 0":                    func(c *Config) { c.MaxFiles = 0 },
		"poll_interval is 0s":               func(c *Config) { c.PollInterval = 0 },
	} {
		cfg := createDefaultConfig().(*Config)
		change(cfg)
		assert.ErrorContains(t, cfg.Validate(), want)
	}
	assert.NoError(t, createDefaultConfig().(*Config).Validate())
}
