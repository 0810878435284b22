//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// collector is a tapio-collector in a memory cgroup of its own.
type collector struct {
	cmd    *exec.Cmd
	cgroup string
	log    *os.File
}

// The addresses of a collector's own; it lives in a network namespace that nobody else is in.
const (
	sinkEndpoint    = "127.0.0.1:4317"
	pprofEndpoint   = "127.0.0.1:1777"
	ownEndpoint     = "127.0.0.1:8888"
	hertz           = 100 // of times in /proc, on all architectures
	readyLine       = "Everything is ready"
	readyWithinTime = time.Minute
)

// bare is the same program with the least that does something: what any distribution takes with so many components in it.
const bare = `yaml:
receivers:
  hostmetrics: {collection_interval: 10s, scrapers: {memory: , filesystem: }}
exporters:
  debug:
service:
  pipelines:
    metrics: {receivers: [hostmetrics], exporters: [debug]}
  telemetry: {metrics: {level: none}}
`

// sink is the cluster's end: it takes in what the node sends.
const sink = `yaml:
receivers:
  otlp: {protocols: {grpc: {endpoint: "` + sinkEndpoint + `"}}}
exporters:
  debug:
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [debug]}
  telemetry: {metrics: {level: none}}
`

// withoutEBPF takes the receiver out of the configuration of a node.
const withoutEBPF = `yaml:
service:
  extensions: [file_storage]
  pipelines:
    metrics: {receivers: [cgroup, cri, hostmetrics, systemd]}
    logs: {receivers: [cgroup, cri, systemd]}
`

// watched has a node's collector tell what it does itself.
const watched = `yaml:
extensions:
  pprof: {endpoint: "` + pprofEndpoint + `"}
service:
  extensions: [attribution, file_storage, pprof]
  telemetry:
    metrics:
      level: detailed
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 8888}}}}]
`

// node is the configuration of a node's collector.
func node(more ...string) []string { return append([]string{"tapio:local", "tapio:node"}, more...) }

// startCollector starts a collector that keeps its state and log in a folder, and returns when it works.
func startCollector(bin, folder, top string, configs ...string) (*collector, error) {
	c := &collector{cgroup: filepath.Join(mount, "memory", top, filepath.Base(folder))}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.cgroup, 0o755); err != nil {
		return nil, fmt.Errorf("make the collector's cgroup: %w", err)
	}
	var err error
	if c.log, err = os.Create(filepath.Join(folder, "log")); err != nil {
		return nil, err
	}
	args := []string{"-c", `echo $$ > $0 || exit; exec "$@"`, filepath.Join(c.cgroup, "cgroup.procs"), filepath.Join(bin, "tapio-collector")}
	for _, config := range configs {
		args = append(args, "--config", config)
	}
	c.cmd = exec.Command("/bin/sh", args...)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	// GOMEMLIMIT as in deploy/kubernetes/node.yaml.
	c.cmd.Env = append(os.Environ(), "GOMEMLIMIT=200MiB", "TAPIO_STATE_DIR="+folder, "TAPIO_CLUSTER_ENDPOINT="+sinkEndpoint)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a collector: %w", err)
	}
	for deadline := time.Now().Add(readyWithinTime); ; time.Sleep(100 * time.Millisecond) {
		said, err := os.ReadFile(c.log.Name())
		if err == nil && bytes.Contains(said, []byte(readyLine)) {
			return c, nil
		}
		if time.Now().After(deadline) || syscall.Kill(c.cmd.Process.Pid, 0) != nil {
			return nil, errors.Join(fmt.Errorf("the collector does not become ready:\n%s", said), c.stop())
		}
	}
}

func (c *collector) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(readyWithinTime, func() { _ = c.cmd.Process.Kill() })
	err := c.cmd.Wait()
	late.Stop()
	return errors.Join(err, c.log.Close(), remove(c.cgroup))
}

// sample is what a collector takes at a moment.
type sample struct {
	at         time.Time
	rss, anon  float64 // MiB
	bpf        float64 // MiB of maps and programs, as the kernel tells of them
	kernel     float64 // MiB of all memory of the kernel that is charged to the collector's cgroup
	fds        float64
	threads    float64
	cpu        float64 // seconds so far
	goroutines float64
	own        map[string]float64 // the collector's own metrics, each summed up over its attributes
}

func (c *collector) sample() (sample, error) {
	s := sample{at: time.Now()}
	proc := filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return s, fmt.Errorf("look at the collector: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64)
		switch name {
		case "VmRSS":
			s.rss = n / 1024
		case "RssAnon":
			s.anon = n / 1024
		case "Threads":
			s.threads = n
		}
	}
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return s, fmt.Errorf("look at the collector: %w", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, f := range fields[11:13] { // utime, stime
		n, _ := strconv.ParseFloat(f, 64)
		s.cpu += n / hertz
	}
	kernel, err := os.ReadFile(filepath.Join(c.cgroup, "memory.kmem.usage_in_bytes"))
	if err != nil {
		return s, fmt.Errorf("look at the collector's cgroup: %w", err)
	}
	n, _ := strconv.ParseFloat(strings.TrimSpace(string(kernel)), 64)
	s.kernel = n / (1 << 20)
	return s, s.descriptors(filepath.Join(proc, "fdinfo"))
}

var lockedRE = regexp.MustCompile(`(?s)memlock:\t(\d+)\n.*(map_id|prog_id):\t(\d+)\n`)

// descriptors counts them, and the memory of what they hold in the kernel, each once.
func (s *sample) descriptors(folder string) error {
	all, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("look at the collector's descriptors: %w", err)
	}
	s.fds = float64(len(all))
	locked := map[string]float64{}
	for _, d := range all {
		b, err := os.ReadFile(filepath.Join(folder, d.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		if m := lockedRE.FindStringSubmatch(string(b)); m != nil {
			locked[m[2]+m[3]], _ = strconv.ParseFloat(m[1], 64)
		}
	}
	for _, n := range locked {
		s.bpf += n / (1 << 20)
	}
	return nil
}

// observe adds what the collector tells of itself, where it is `watched`.
func (s *sample) observe(ctx context.Context) error {
	profile, err := get(ctx, "http://"+pprofEndpoint+"/debug/pprof/goroutine?debug=1")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(string(profile), "goroutine profile: total %g", &s.goroutines); err != nil {
		return fmt.Errorf("count goroutines: %w", err)
	}
	metrics, err := get(ctx, "http://"+ownEndpoint+"/metrics")
	if err != nil {
		return err
	}
	s.own = map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(metrics))
	for lines.Scan() {
		line := lines.Text()
		value := line[strings.LastIndexByte(line, ' ')+1:]
		if n, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(line, "#") {
			s.own[line[:strings.IndexAny(line, "{ ")]] += n
		}
	}
	return lines.Err()
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the collector: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the collector: %s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
