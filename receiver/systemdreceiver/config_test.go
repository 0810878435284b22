package systemdreceiver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/your-org/tapio/receiver/systemdreceiver/internal/metadata"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"socket is \"run/dbus\", want the absolute path of a socket": func(c *Config) { c.Socket = "run/dbus" },
		"want a path without any of":                                 func(c *Config) { c.Socket = "/run/x;unix:path=/y" },
		"units is empty":                                             func(c *Config) { c.Units = nil },
		"units[1] is \"[\", want a pattern":                          func(c *Config) { c.Units = []string{"*.service", "["} },
		"exclude[0] is \"\", want a pattern":                         func(c *Config) { c.Exclude = []string{""} },
		"max_units is 0, want at least 1":                            func(c *Config) { c.MaxUnits = 0 },
	} {
		cfg := createDefaultConfig().(*Config)
		require.NoError(t, cfg.Validate())
		change(cfg)
		assert.ErrorContains(t, cfg.Validate(), want)
	}
}

func TestFollows(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Exclude = []string{"user@*.service"}
	assert.True(t, cfg.follows("api.service"))
	assert.True(t, cfg.follows("-.mount"))
	assert.False(t, cfg.follows("user@1000.service"))
	assert.False(t, cfg.follows("session-1.scope"))
}

// Where systemd cannot be reached, the receiver starts, says so once, and goes on trying.
func TestNoSystemd(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	cfg := createDefaultConfig().(*Config)
	cfg.Socket = "/nonexistent/bus"
	r, err := NewFactory().CreateLogs(context.Background(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return logs.Len() == 1 }, waitAtMost, pause)
	assert.Contains(t, logs.All()[0].ContextMap()["error"], "connect to systemd at /nonexistent/bus")
	_, _, err = r.(*eventsReceiver).tracker.snapshot()
	assert.ErrorContains(t, err, "/nonexistent/bus")
	require.NoError(t, r.Shutdown(context.Background()))
}
