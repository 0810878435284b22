//go:build linux

package ebpfreceiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/attribution/attributionlog"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/coveragelog"
	leak "github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/capabilities"
)

const (
	// longest is how long a Go program is waited for that collects its garbage seldom; the runtime does so every two minutes at least.
	longest = 130 * time.Second
	// delay is how much longer than it is asked to a look may take, to take its probes away.
	delay = 10 * time.Second
	// maxHeld bounds the looks that do not come back; with as many nobody else is looked at, for each has memory of the kernel.
	maxHeld = 2
	// maxPIDs bounds the processes of a cgroup that are compared with each other.
	maxPIDs = 4096
)

// attend offers to find out who holds memory, and which system calls fail, where an extension asks for it. It returns nil where none
// does.
func (p *probes) attend(host component.Host) (leave func()) {
	desk := attribution.Find(host)
	if desk == nil {
		return nil
	}
	raiseMemlock()
	c := finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageOK}
	if lacking := capabilities.Lacking(capabilities.Attributing); len(lacking) > 0 {
		c.State = finding.CoverageAbsent
		c.Reason = fmt.Sprintf("who holds a leak cannot be found out: this process lacks %s: %s", strings.Join(lacking, " and "), capabilities.Remedy)
	} else if lacking := capabilities.Lacking(capabilities.Reading); len(lacking) > 0 {
		c.State = finding.CoverageDegraded
		c.Reason = fmt.Sprintf("who holds a leak cannot be found out in programs that only their owners may read: this process lacks %s: %s", lacking[0], capabilities.Remedy)
	}
	if c.State == finding.CoverageOK && process.Alone() {
		c.State = finding.CoverageAbsent
		c.Reason = "who holds a leak cannot be found out: this process sees none but those of its own container: share the host's PID namespace (hostPID)"
	}
	failures := seesFailures()
	p.mu.Lock()
	p.coverage = append(p.coverage, coveragelog.Part{Name: "attribution", Coverage: c}, coveragelog.Part{Name: "errors", Coverage: failures})
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	forget := desk.Attend(func(of context.Context, q attribution.Question) (attribution.Answer, error) {
		looking.Add(1)
		defer looking.Done()
		of, stop := context.WithCancel(of)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		if q.Kind == attribution.Errors {
			return p.failing(of, q)
		}
		return p.attribute(of, q)
	})
	return func() {
		forget()
		cancel()
		looking.Wait()
	}
}

// attribute finds out who holds the memory that a cgroup gains, and tells it as an event as well.
func (p *probes) attribute(ctx context.Context, q attribution.Question) (attribution.Answer, error) {
	if q.Cgroup == "" {
		return attribution.Answer{}, fmt.Errorf("%s has no processes of its own", q.Name)
	}
	pids, err := p.pids(q.Cgroup)
	if err != nil {
		return attribution.Answer{}, err
	}
	o := leak.Options{Window: q.Window, Longest: longest, Duty: leak.Duty}
	if !q.Before.IsZero() {
		o.Longest = min(o.Longest, time.Until(q.Before)*3/4)
	}
	r, err := p.unlessHeld(ctx, q.Cgroup, delay, func() (*leak.Report, error) { return leak.Run(ctx, pids, o) })
	if err != nil {
		return attribution.Answer{}, err
	}
	a := r.Answer()
	var profile bytes.Buffer
	if err := r.Pprof(&profile); err != nil {
		return a, err
	}
	a.Profile = profile.Bytes()
	p.tell(ctx, q.Cgroup, p.cgroups.version, time.Now(), func(rec plog.LogRecord) { attributionlog.Write(rec, time.Now(), a) })
	return a, nil
}

// errHeld says that a look does not end.
var errHeld = errors.New("the kernel does not let go of who looks: a file that it has mapped may be on a server that does not answer (NFS, FUSE), or " +
	"its memory is paged in by somebody who does not (userfaultfd)")

// unlessHeld gives up a look at a cgroup that does not end when it is asked to, so that neither the collector waits for it when it stops, nor
// ever more looks pile up.
func (p *probes) unlessHeld(ctx context.Context, cgroup string, delay time.Duration, look func() (*leak.Report, error)) (*leak.Report, error) {
	p.mu.Lock()
	refused := p.held[cgroup] || len(p.held) >= maxHeld
	if !refused {
		p.held[cgroup] = true
	}
	p.mu.Unlock()
	if refused {
		return nil, fmt.Errorf("an earlier look has not come back: %w", errHeld)
	}
	var r *leak.Report
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.held, cgroup)
		}()
		r, err = look()
	}()
	select {
	case <-done:
		return r, err
	case <-ctx.Done():
	}
	select {
	case <-done:
		return r, err
	case <-time.After(delay):
		return nil, errHeld
	}
}

// pids are the processes in a cgroup and below it.
func (p *probes) pids(cgroup string) (pids []int, err error) {
	root, err := p.cgroups.folder(cgroup)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			if path == root {
				return err
			}
			return nil // gone meanwhile, or a file
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil // gone meanwhile
		}
		for _, field := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 && len(pids) < maxPIDs {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("list the processes of cgroup %s: %w", cgroup, err)
	case len(pids) == 0:
		return nil, fmt.Errorf("no processes are in cgroup %s, or they are not to be seen from here: share the host's PID namespace (hostPID)", cgroup)
	}
	return pids, nil
}
