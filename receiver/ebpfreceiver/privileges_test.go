//go:build linux

package ebpfreceiver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/extension/attributionextension"
	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/metadata"
)

const nobody = 65534

// CAP_BPF and CAP_PERFMON are all it takes, as no particular user. Without them the receiver starts as well, and says what is missing.
func TestRealPrivileges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give capabilities to a process of another user")
	}
	for _, c := range []struct {
		name         string
		capabilities []uintptr
		want         []string
	}{
		{"just enough", []uintptr{unix.CAP_BPF, unix.CAP_PERFMON}, []string{"oom ok", "errors ok",
			"attribution absent who holds a leak cannot be found out: this process lacks CAP_SYS_PTRACE"}},
		{"one is missing", []uintptr{unix.CAP_BPF}, []string{"oom absent this process lacks CAP_PERFMON",
			"errors absent which system calls fail cannot be found out: this process lacks CAP_PERFMON"}},
		{"none", nil, []string{"oom absent this process lacks CAP_BPF and CAP_PERFMON",
			"errors absent which system calls fail cannot be found out: this process lacks CAP_BPF and CAP_PERFMON"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), workloadVariable+"=- coverage")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: c.capabilities}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			for _, want := range c.want {
				assert.Contains(t, string(out), want)
			}
			if len(c.capabilities) == 2 {
				assert.Equal(t, 1, strings.Count(string(out), "absent"), "%s", out)
			}
		})
	}
}

// printCoverage runs the receiver until it has said how well it sees.
func printCoverage() error {
	sink := new(events)
	ctx := context.Background()
	r, err := NewFactory().CreateLogs(ctx, receivertest.NewNopSettings(metadata.Type), createDefaultConfig(), sink)
	if err != nil {
		return err
	}
	f := attributionextension.NewFactory()
	e, err := f.Create(ctx, extensiontest.NewNopSettings(f.Type()), f.CreateDefaultConfig())
	if err != nil {
		return err
	}
	if err := r.Start(ctx, deskHost{e.(attribution.Desk)}); err != nil {
		return err
	}
	for end := time.Now().Add(patience); len(sink.named(coveragelog.EventName)) == 0 && time.Now().Before(end); {
		time.Sleep(poll)
	}
	for _, e := range sink.named(coveragelog.EventName) {
		p, _ := coveragelog.Read(e.record)
		fmt.Println(strings.TrimSpace(strings.Join([]string{p.Name, string(p.State), p.Reason}, " ")))
	}
	return r.Shutdown(ctx)
}
