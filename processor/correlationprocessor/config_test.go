package correlationprocessor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/your-org/tapio/internal/correlation/pattern"
)

// Every field that is wrong is named, with what would be right.
func TestBadConfig(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		dir := filepath.Join(folder, name)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "mine.yaml"), []byte(text), 0o600))
		return dir
	}
	const good = "name: mine\nsummary: Mine.\nkind: diagnosis\nseverity: [{is: info}]\ntitle: t\nexplanation: e\n" +
		"signals: [{id: a, role: trigger, any: [x], weight: 0.5}]\n"
	tests := []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"interval", func(c *Config) { c.Interval = 0 }, []string{"interval is 0s, want at least 100ms"}},
		{"interval is too rare", func(c *Config) { c.Interval = time.Minute }, []string{"interval is 1m0s, want at most 15s"}},
		{"save_interval", func(c *Config) { c.SaveInterval = time.Millisecond }, []string{"save_interval is 1ms, want at least 1s"}},
		{"refresh", func(c *Config) { c.Refresh = -time.Second }, []string{"refresh is -1s, want at least 1s"}},
		{"refresh is too rare", func(c *Config) { c.Refresh = 2 * time.Minute }, []string{"refresh is 2m0s, want at most 1m0s"}},
		{"retention", func(c *Config) { c.Retention = time.Second }, []string{"retention is 1s, want at least 1m0s"}},
		{"entity_ttl", func(c *Config) { c.EntityTTL = time.Second }, []string{"entity_ttl is 1s, want at least 1m0s"}},
		{"max_entities", func(c *Config) { c.MaxEntities = 0 }, []string{"max_entities is 0, want 1 to 1000000"}},
		{"max_findings", func(c *Config) { c.MaxFindings = 1e6 }, []string{"max_findings is 1000000, want 1 to 100000"}},
		{"two at once", func(c *Config) { c.Interval, c.MaxFindings = 0, 0 }, []string{"interval is", "max_findings is"}},
		{"patterns is missing", func(c *Config) { c.Patterns = "/no/such/folder" }, []string{"patterns: ", "/no/such/folder", "no such file"}},
		{"patterns is a file", func(c *Config) { c.Patterns = filepath.Join(write("file", good), "mine.yaml") }, []string{"patterns: ", "mine.yaml is a file, want a folder"}},
		{"a bad pattern", func(c *Config) { c.Patterns = write("bad", good+"kindd: x\n") }, []string{"patterns: ", "mine.yaml", `line 8: there is no field "kindd"`}},
		{"a bad field", func(c *Config) { c.Patterns = write("field", good+"for: soon\n") }, []string{"patterns: ", "mine.yaml", `"soon" is no duration such as 10s or 5m`}},
		{"a pattern that confirms nothing", func(c *Config) { c.Patterns = write("confirms", good+"confirms: memory-leek\n") },
			[]string{"patterns: ", "pattern mine: confirms is", "memory-leek", "want the name of a pattern of kind prediction"}},
		{"disabled_patterns", func(c *Config) { c.DisabledPatterns = []string{"oom"} }, []string{`disabled_patterns: "oom" is no pattern, want one of `, "memory-exhaustion, memory-pressure"}},
		{"all are disabled", func(c *Config) {
			all, err := c.load()
			require.NoError(t, err)
			c.DisabledPatterns = pattern.Names(all)
		}, []string{"disabled_patterns: leaves no pattern"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			require.NoError(t, cfg.Validate())
			tt.change(cfg)
			err := xconfmap.Validate(cfg)
			require.Error(t, err)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	folder := t.TempDir()
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"interval": "2s", "pass_through": true, "patterns": folder, "disabled_patterns": []any{"memory-exhaustion"}, "storage": "file_storage",
		"save_interval": "1m", "refresh": "10s", "retention": "2h", "entity_ttl": "1h", "max_entities": 7, "max_findings": 8, "node": "n9",
	}).Unmarshal(cfg))
	assert.Equal(t, &Config{Interval: 2 * time.Second, PassThrough: true, Patterns: folder, DisabledPatterns: []string{"memory-exhaustion"},
		Storage: &storageID, SaveInterval: time.Minute, Refresh: 10 * time.Second, Retention: 2 * time.Hour, EntityTTL: time.Hour,
		MaxEntities: 7, MaxFindings: 8, Node: "n9"}, cfg)
	require.NoError(t, cfg.Validate())
	all, err := cfg.load()
	require.NoError(t, err)
	assert.NotContains(t, pattern.Names(all), "memory-exhaustion")
	assert.Contains(t, pattern.Names(all), "oom-killed", "which confirms it, and does without")
	assert.ErrorContains(t, confmap.NewFromStringMap(map[string]any{"max_entitys": 7}).Unmarshal(cfg), "max_entitys")
}
