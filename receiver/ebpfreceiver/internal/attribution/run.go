//go:build linux

package attribution

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/golang"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

// Options say how long to look, and at what price.
type Options struct {
	// Window is how long; for a Go program that collects its garbage seldom it may become Longest.
	Window, Longest time.Duration
	// Duty is the share of its time, of 1, that a program may lose by being looked at.
	Duty float64
}

// maxProcesses is how many processes of a container are looked at: those with the most memory.
const maxProcesses = 4

// Run looks at processes until the window ends, ctx is done, or all of them have ended. What cannot be attributed says so in
// the report; an error is only returned when none of the processes could be looked at.
func Run(ctx context.Context, pids []int, o Options) (*Report, error) {
	r := &Report{Began: time.Now(), Window: o.Window}
	before := cpu()
	type candidate struct {
		p         *process.Process
		anonymous uint64
	}
	var all []candidate
	for _, pid := range pids {
		p, err := process.Open(pid)
		if err != nil {
			continue // it has ended
		}
		n, err := p.Anonymous()
		if err != nil {
			continue
		}
		all = append(all, candidate{p, n})
	}
	if len(all) == 0 {
		return nil, errors.New("no process to look at: all have ended")
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(b.anonymous, a.anonymous) })
	r.Left = max(0, len(all)-maxProcesses)
	all = all[:len(all)-r.Left]
	r.Processes = make([]Process, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { r.Processes[i] = look(ctx, c.p, o) })
	}
	wg.Wait()
	r.Window = time.Since(r.Began)
	r.CPU = cpu() - before
	return r, nil
}

// cpu is what this program has used so far.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// look looks at one process.
func look(ctx context.Context, p *process.Process, o Options) Process {
	r := Process{PID: p.PID, Name: p.Name, Runtime: "other"}
	began := time.Now()
	before, err := p.Usage()
	if err != nil {
		r.Reason = fmt.Sprintf("its memory cannot be read: %v", err)
		return r
	}
	r.Anonymous = before.Total()
	err = r.attribute(ctx, p, o)
	if after, e := p.Usage(); e == nil {
		r.Mappings = after.Since(before)
		r.Anonymous = after.Total()
	}
	switch {
	case errors.Is(err, process.ErrGone):
		r.Reason = "it ended while it was looked at"
	case err != nil:
		r.Reason = err.Error()
	}
	minutes := time.Since(began).Minutes()
	sum := r.Unattributed
	for _, s := range r.Sites {
		if s.Grade == Retained {
			sum += s.Bytes
		}
	}
	for i := range r.Sites {
		s := &r.Sites[i]
		s.PerMinute = s.Bytes / minutes
		if s.Grade == Retained && sum > 0 {
			s.Share = s.Bytes / sum
		}
	}
	return r
}

func (r *Process) attribute(ctx context.Context, p *process.Process, o Options) error {
	g, err := golang.Open(p)
	switch {
	case err == nil:
		r.Runtime = g.Version
		return errors.Join(r.golang(ctx, g, o), g.Close())
	case !errors.Is(err, golang.ErrNotGo):
		return err
	}
	m, err := modules.Read(p)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if name, next := interpreter(p, m); name != "" {
		r.Runtime, r.Next = name, next
		return r.mappings(ctx, p, o)
	}
	r.Runtime = "native"
	return r.native(ctx, p, m, o)
}

// interpreters are known by their programs and libraries.
var interpreters = []struct{ name, prefix, next string }{
	{"python", "python", "py-spy dump --pid %d; tracemalloc (python3 -X tracemalloc) names the lines that hold memory"},
	{"python", "libpython", "py-spy dump --pid %d; tracemalloc (python3 -X tracemalloc) names the lines that hold memory"},
	{"node", "node", "kill -USR1 %d, then take two heap snapshots with chrome://inspect and compare them"},
	{"java", "libjvm", "jcmd %d GC.class_histogram, twice, and compare; jcmd %[1]d VM.native_memory for what is not the heap"},
	{"ruby", "libruby", "rbtrace or ObjectSpace.trace_object_allocations in process %d"},
	{"dotnet", "libcoreclr", "dotnet-gcdump collect -p %d, twice, and compare"},
	{"erlang", "beam.smp", "recon_alloc:memory/1 and recon:proc_count(memory, 10) in process %d"},
	{"php", "php", "memory_get_usage in process %d; the extension memprof names who holds memory"},
}

// interpreter tells programs that manage memory of their own, of which malloc knows nothing.
func interpreter(p *process.Process, m *modules.Modules) (name, next string) {
	for i, mod := range m.All() {
		base := filepath.Base(mod.Path)
		for _, in := range interpreters {
			if strings.HasPrefix(base, in.prefix) && (i == 0 || strings.HasPrefix(in.prefix, "lib")) {
				return in.name, fmt.Sprintf(in.next, p.PID)
			}
		}
	}
	return "", ""
}
