//go:build linux

package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

// Collector is a real tapio-collector of our own, on ports of its own.
type Collector struct {
	// Findings and Metrics are the addresses of its endpoints; LogFile is where it writes.
	Findings, Metrics, LogFile string

	bin, folder string
	args, env   []string
	cmd         *exec.Cmd
	ended       chan error
}

// NewCollector prepares a collector from the programs in bin that keeps everything in folder. args follow
// `--config tapio:local`; env adds to the environment.
func NewCollector(bin, folder string, env []string, args ...string) (*Collector, error) {
	return NewCollectorOf("tapio:local", bin, folder, env, args...)
}

// NewCollectorOf does what NewCollector does, of another configuration than tapio:local.
func NewCollectorOf(config, bin, folder string, env []string, args ...string) (*Collector, error) {
	c := &Collector{bin: bin, folder: folder, LogFile: filepath.Join(folder, "collector.log")}
	for _, address := range []*string{&c.Findings, &c.Metrics} {
		free, err := FreeAddress()
		if err != nil {
			return nil, err
		}
		*address = free
	}
	c.args = append([]string{"--config", config}, args...)
	c.env = append(os.Environ(), "TAPIO_STATE_DIR="+filepath.Join(folder, "state"), "TAPIO_FINDINGS_ENDPOINT="+c.Findings, "TAPIO_METRICS_ENDPOINT="+c.Metrics)
	c.env = append(c.env, env...)
	return c, nil
}

// FreeAddress is one of loopback on which nobody listens. Its port is none of those that the kernel gives to connections (ip_local_port_range, from
// 32768 on): until somebody listens there, one of those may be taken.
func FreeAddress() (string, error) {
	const first, n = 10_000, 20_000
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(n))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}

// Start starts it, and returns when it serves findings.
func (c *Collector) Start(ctx context.Context) error {
	log, err := os.OpenFile(c.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start the collector: %w", err)
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("start the collector: %w", err)
	}
	c.cmd = exec.Command(filepath.Join(c.bin, "tapio-collector"), c.args...)
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = c.env, log, log
	// A Ctrl-C at the terminal is for us; the collector is ended in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start the collector: %w", err)
	}
	c.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(c.cmd, c.ended)
	for {
		if resp, err := http.Get("http://" + c.Findings + "/v1/findings"); err == nil {
			resp.Body.Close()
			// Exporters start before receivers: only the collector's own word says that all of it works.
			if log, err := os.ReadFile(c.LogFile); err == nil && resp.StatusCode == http.StatusOK && bytes.Contains(log[begin:], []byte("Everything is ready")) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the collector does not serve findings: %w", ctx.Err()), c.Stop())
		case err := <-c.ended:
			c.ended <- err
			out, _ := os.ReadFile(c.LogFile)
			return fmt.Errorf("the collector ended at once (%v):\n%s", err, tail(out))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// PID is the process's.
func (c *Collector) PID() int { return c.cmd.Process.Pid }

// Kill ends the collector as kill -9 does.
func (c *Collector) Kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the collector: %w", err)
	}
	c.ended <- <-c.ended
	return nil
}

// Stop ends the collector in order. It may be called more than once, and before Start.
func (c *Collector) Stop() error {
	if c.cmd == nil || c.cmd.Process == nil {
		return nil
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-c.ended:
		c.ended <- err
		return nil
	case <-time.After(time.Minute): // it is a moment, but on an emulated machine beside others
		_ = c.cmd.Process.Kill()
		return errors.New("the collector did not end within a minute of SIGTERM")
	}
}

// Tapio runs the CLI against the collector and returns what it printed, and its exit status.
func (c *Collector) Tapio(ctx context.Context, args ...string) (stdout, stderr string, status int) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "tapio"), args...)
	cmd.Env = append(os.Environ(), "TAPIO_ENDPOINT="+c.Findings)
	// As above: a Ctrl-C is for us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit):
		status = exit.ExitCode()
	case err != nil:
		return out.String(), err.Error(), -1
	}
	return out.String(), errOut.String(), status
}

// Finding returns what the collector has found of a pattern about an entity, over or not; nil when nothing.
func (c *Collector) Finding(ctx context.Context, pattern, entity string) (*finding.Finding, error) {
	all, err := c.All(ctx, "pattern="+pattern+"&entity="+entity)
	if len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// All returns what the collector has found, over or not, of what a query chooses.
func (c *Collector) All(ctx context.Context, query string) ([]finding.Finding, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Findings+"/v1/findings?state=active,resolved&"+query, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the collector: %w", err)
	}
	defer resp.Body.Close()
	var r finding.Report
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return nil, fmt.Errorf("ask the collector: %w", err)
	}
	return r.Findings, nil
}

// tail is the end of a log.
func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
