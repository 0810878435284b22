package journaldreceiver

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFilters(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, filepath.Join(dir, "system.journal"),
		at(1, "MESSAGE=kubelet", "_SYSTEMD_UNIT=kubelet.service", "SYSLOG_IDENTIFIER=kubelet", "PRIORITY=3", "_TRANSPORT=stdout", "_UID=0"),
		at(2, "MESSAGE=systemd of kubelet", "_SYSTEMD_UNIT=init.scope", "_PID=1", "UNIT=kubelet.service", "PRIORITY=5", "_TRANSPORT=journal", "_UID=0"),
		at(3, "MESSAGE=liar of kubelet", "_SYSTEMD_UNIT=web.service", "_PID=77", "UNIT=kubelet.service", "PRIORITY=6", "_TRANSPORT=journal", "_UID=1000"),
		at(4, "MESSAGE=dump of kubelet", "_SYSTEMD_UNIT=systemd-coredump@1.service", "_UID=0", "COREDUMP_UNIT=kubelet.service", "MESSAGE_ID="+coredumpMessage),
		at(5, "MESSAGE=kernel", "SYSLOG_IDENTIFIER=kernel", "PRIORITY=2", "_TRANSPORT=kernel"),
		at(6, "MESSAGE=device", "_SYSTEMD_UNIT=dev-disk-by\\x2duuid-1.swap", "PRIORITY=7"),
	)
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"none":                    {nil, []string{"kubelet", "systemd of kubelet", "liar of kubelet", "dump of kubelet", "kernel", "device"}},
		"unit":                    {func(c *Config) { c.Units = []string{"kubelet.service"} }, []string{"kubelet", "systemd of kubelet", "dump of kubelet"}},
		"unit without its suffix": {func(c *Config) { c.Units = []string{"kubelet"} }, []string{"kubelet", "systemd of kubelet", "dump of kubelet"}},
		"pattern of units":        {func(c *Config) { c.Units = []string{"web*", "init.*"} }, []string{"systemd of kubelet", "liar of kubelet"}},
		"unit with escapes":       {func(c *Config) { c.Units = []string{`dev-disk-by\x2duuid-1.swap`} }, []string{"device"}},
		"identifiers":             {func(c *Config) { c.Identifiers = []string{"kernel", "kubelet"} }, []string{"kubelet", "kernel"}},
		"priority":                {func(c *Config) { c.Priority = "err" }, []string{"kubelet", "kernel"}},
		"priority range":          {func(c *Config) { c.Priority = "notice..3" }, []string{"kubelet", "systemd of kubelet"}},
		"transport":               {func(c *Config) { c.Transports = []string{"kernel"} }, []string{"kernel"}},
		"matches are alternatives": {func(c *Config) {
			c.Matches = []map[string]string{{"_TRANSPORT": "kernel"}, {"_TRANSPORT": "journal", "_UID": "1000"}}
		}, []string{"liar of kubelet", "kernel"}},
		"all filters hold": {func(c *Config) { c.Units, c.Priority, c.Transports = []string{"kubelet"}, "info", []string{"stdout"} }, []string{"kubelet"}},
		"nothing":          {func(c *Config) { c.Identifiers = []string{"nobody"} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, configure(c.change, dir), nil, &sink{})
			assert.Equal(t, c.want, nilIfEmpty(r.wait(t, len(c.want))))
			assert.EqualValues(t, 6-len(c.want), r.metric("filtered"))
			r.stop()
		})
	}
}
