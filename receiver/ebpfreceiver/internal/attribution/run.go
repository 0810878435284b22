//go:build linux

package attribution

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/golang"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/java"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/capabilities"
)

// Duty is the share of its time that a program is to lose by default. It is less than the 5 % that may be lost, since probes cost while they are
// put in and taken away as well.
const Duty = 0.04

// Options say how long to look, and at what price.
type Options struct {
	// Window is how long. For a Go program that collects its garbage seldom, and where what was seen by then names nobody who holds what
	// grows, it may become Longest.
	Window, Longest time.Duration
	// Duty is the share of its time, of 1, that a program may lose by being looked at.
	Duty float64

	room *symbols.Room // for what the files of all processes tell of themselves
}

const (
	// maxProcesses is how many processes of a container are looked at: those with the most memory.
	maxProcesses = 4
	// maxFiles bounds what is kept of the symbols and the debugging information of all their files, in bytes.
	maxFiles = 64 << 20
)

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
	o.room = symbols.NewRoom(maxFiles)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			p, err := guarded(func() (Process, error) { return look(ctx, c.p, o), nil })
			if err != nil {
				p = Process{PID: c.p.PID, Name: c.p.Name, Runtime: "other", Reason: err.Error()}
			}
			r.Processes[i] = p
		})
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
	m, err := modules.Read(p, o.room)
	if err != nil {
		r.Reason = "its memory cannot be read: " + because(err)
		return r
	}
	defer func() { _ = m.Close() }()
	in := interpreterOf(m)
	layout := in.layoutOf(p, m)
	g, notGo := golang.Open(p)
	if notGo == nil {
		defer func() { _ = g.Close() }()
		g.Object.Share(m.Room)
		layout, _ = g.Layout()
	}
	before, err := p.Usage(layout)
	if err != nil {
		r.Reason = "its memory cannot be read: " + because(err)
		return r
	}
	threads, _ := p.Threads()
	r.Anonymous = before.Total()
	switch {
	case notGo == nil:
		r.Runtime = g.Version
		err = r.golang(ctx, g, m, layout, o)
	case !errors.Is(notGo, golang.ErrNotGo):
		err = notGo
	case in != nil:
		r.Runtime = in.name
		err = in.look(&r, ctx, p, m, o)
	default:
		r.Runtime = "native"
		err = r.native(ctx, p, m, o)
	}
	if after, e := p.Usage(layout); e == nil {
		// Of what Java has for its classes, only a part is where it can be told by its place.
		if more := uint64(max(0, r.metadata)); more > 0 {
			known := after[java.KindMetaspace] - min(before[java.KindMetaspace], after[java.KindMetaspace])
			n := min(more-min(known, more), after[process.KindAnonymous])
			after[java.KindMetaspace] += n
			after[process.KindAnonymous] -= n
		}
		r.Mappings = after.Since(before)
		r.Anonymous = after.Total()
	}
	if after, e := p.Threads(); e == nil {
		r.Threads, r.Toucher = process.AddedSince(threads, after), process.TouchedMost(threads, after)
	}
	if in != nil && len(r.Mappings) > 0 {
		r.Next = in.next(p, r.Mappings)
	}
	switch {
	case errors.Is(err, process.ErrGone), err != nil && p.Alive() != nil:
		r.Reason = "it ended while it was looked at"
	case err != nil:
		r.Reason = because(err)
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

// fileParanoid is how much the kernel restricts what perf_event_open(2) attaches.
const fileParanoid = "/proc/sys/kernel/perf_event_paranoid"

// paranoid is that; 0 where it is not known. Levels above 2 are Debian's own.
func paranoid() int {
	b, _ := os.ReadFile(fileParanoid)
	level, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return level
}

// because says what went wrong, and what helps where it is a right that this process does not have.
func because(err error) string {
	if !errors.Is(err, fs.ErrPermission) {
		return err.Error()
	}
	lacking := capabilities.Lacking(slices.Concat(capabilities.Attributing, capabilities.Reading))
	if level := paranoid(); len(lacking) == 0 && level > 2 {
		return fmt.Sprintf("the kernel refuses it (%v): kernel.perf_event_paranoid is %d, by which Debian's kernels keep it to CAP_SYS_ADMIN; "+
			"sysctl kernel.perf_event_paranoid=2 allows it on 5.10", err, level)
	}
	admin := []capabilities.Capability{{Bit: unix.CAP_SYS_ADMIN, Name: "CAP_SYS_ADMIN"}}
	if len(lacking) == 0 && errors.Is(err, unix.EACCES) && len(capabilities.Lacking(admin)) > 0 {
		return fmt.Sprintf("the kernel refuses it (%v): some, as Debian's 6.1, let only CAP_SYS_ADMIN put probes into programs: %s", err, capabilities.Remedy)
	}
	if len(lacking) == 0 {
		return fmt.Sprintf("the kernel refuses it (%v): look for a security module, a seccomp profile or a user namespace that forbids it", err)
	}
	return fmt.Sprintf("this process lacks %s: %s (%v)", strings.Join(lacking, " and "), capabilities.Remedy, err)
}
