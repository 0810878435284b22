//go:build linux

package ebpfreceiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/elastic/go-seccomp-bpf/arch"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/bpf"
	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
)

const (
	eventSyscallFailed = "kernel.syscall_failed"

	// follow is how often a cgroup is looked for again while its system calls are looked at: one that is made anew has another id.
	follow = 200 * time.Millisecond
	// maxFailures bounds the failures of an answer, maxNamed those whose processes a sentence names.
	maxFailures = 20
	maxNamed    = 3
)

// ofFiles are the calls whose first argument is the file, or the folder, that they fail for: a descriptor or a path.
var ofFiles = map[string]bool{
	"write": true, "pwrite64": true, "writev": true, "pwritev": true, "pwritev2": true, "fallocate": true, "ftruncate": true, "truncate": true,
	"fsync": true, "fdatasync": true, "sendfile": true, "open": true, "openat": true, "openat2": true, "creat": true, "mkdir": true, "mkdirat": true,
	"mknod": true, "mknodat": true, "rename": true, "renameat": true, "renameat2": true, "link": true, "linkat": true, "unlink": true, "unlinkat": true,
	"rmdir": true, "chmod": true, "fchmod": true, "fchmodat": true, "chown": true, "fchown": true, "fchownat": true, "utimensat": true,
	"setxattr": true, "fsetxattr": true,
}

// seesFailures tries whether system calls could be looked at: whether the program loads. It is attached only when somebody asks.
func seesFailures() finding.Coverage {
	spec, err := bpf.LoadErrno()
	if err == nil {
		for _, program := range spec.Programs {
			program.SectionName = "raw_tp/" + program.Name // at no hook
		}
		var a *attached
		if a, err = attach(spec); err == nil {
			err = a.close()
		}
	}
	if err != nil {
		return finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageAbsent, Reason: "which system calls fail cannot be found out: " + reason(err)}
	}
	return finding.Coverage{Layer: finding.LayerEBPF, State: finding.CoverageOK}
}

// failing looks for a while which of a subject's system calls fail because something is exhausted, and tells it as events as well.
// A tracepoint at system calls slows down those of every task, so that it is taken away again at once.
func (p *probes) failing(ctx context.Context, q attribution.Question) (attribution.Answer, error) {
	devices, err := devicesOf(q.Subject)
	if err != nil {
		return attribution.Answer{}, err
	}
	spec, err := bpf.LoadErrno()
	if err != nil {
		return attribution.Answer{}, err
	}
	if err := spec.Variables[bpf.ErrnoVarEverywhere].Set(q.Cgroup == ""); err != nil {
		return attribution.Answer{}, fmt.Errorf("look at system calls: %w", err)
	}
	a, err := attach(spec)
	if err != nil {
		return attribution.Answer{}, fmt.Errorf("look at system calls: %s", reason(err))
	}
	began := time.Now()
	err = p.watch(ctx, a, q)
	took := time.Since(began)
	failures, dropped, errRead := p.failures(a, q, devices)
	if err := errors.Join(err, errRead, a.close()); err != nil {
		return attribution.Answer{}, err
	}
	answer := attribution.Answer{Failures: failures, Reason: untold(q.Name, took, len(failures), dropped)}
	if dropped > 0 {
		p.telemetry.ReceiverEbpfFailuresDropped.Add(ctx, dropped)
	}
	if len(failures) == 0 {
		return answer, nil
	}
	var said []string
	for _, alike := range byCall(failures) {
		text := sentence(alike, took)
		said = append(said, text)
		cgroup := q.Cgroup
		if cgroup == "" {
			cgroup = "/"
		}
		p.tell(ctx, cgroup, p.cgroups.version, time.Now(), func(r plog.LogRecord) { fillSyscall(r, q.Subject, alike, took, text) })
	}
	answer.Text = strings.Join(said, "; ")
	return answer, nil
}

// untold is what an answer does not tell: that nothing failed, as far as it is known, or that more did.
func untold(who string, took time.Duration, told int, dropped int64) string {
	switch {
	case told > 0 && dropped > 0:
		return fmt.Sprintf("%d more calls failed, of too many processes and kinds to tell", dropped)
	case told > 0:
		return ""
	case dropped > 0:
		return fmt.Sprintf("it is not known whether a system call of %s failed for want of something in %s: %d calls could not be counted", who, finding.FormatDuration(took), dropped)
	}
	return fmt.Sprintf("no system call of %s failed for want of something in %s", who, finding.FormatDuration(took))
}

// watch waits until the time is over, and lets the program know the cgroup that is meant.
func (p *probes) watch(ctx context.Context, a *attached, q attribution.Question) error {
	over := time.NewTimer(q.Window)
	defer over.Stop()
	tick := time.NewTicker(follow)
	defer tick.Stop()
	var folder string
	if q.Cgroup != "" {
		var err error
		if folder, err = p.cgroups.folder(q.Cgroup); err != nil {
			return err
		}
	}
	var known uint64
	for {
		if q.Cgroup != "" {
			var st syscall.Stat_t
			// It may be gone for a moment, and come back.
			if err := syscall.Stat(folder, &st); err == nil && st.Ino != known {
				known = st.Ino
				if err := a.Maps[bpf.ErrnoMapLookedAt].Put(known, uint8(1)); err != nil {
					return fmt.Errorf("look at cgroup %s: %w", q.Cgroup, err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			if q.Cgroup != "" && known == 0 {
				return fmt.Errorf("there is no cgroup %s", q.Cgroup)
			}
			return nil
		case <-tick.C:
		}
	}
}

// failures reads what failed, the most frequent first, and how many calls were not counted or are too many to tell.
func (p *probes) failures(a *attached, q attribution.Question, devices map[uint32]bool) (all []attribution.Failure, dropped int64, err error) {
	names := map[int]string{}
	if info, err := arch.GetInfo(""); err == nil {
		names = info.SyscallNumbers
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.Cgroup == "" {
		p.cgroups.look()
	}
	counted := map[attribution.Failure]attribution.Failure{} // by all that it is, without the numbers
	mounted := filesystems{}
	err = entries(a.Maps[bpf.ErrnoMapFailed], func(key bpf.ErrnoFailure, n bpf.ErrnoFailures) {
		f := attribution.Failure{Syscall: names[int(key.Syscall)], Error: unix.ErrnoName(syscall.Errno(key.Error)), Process: text(key.Comm[:])}
		if f.Syscall == "" {
			f.Syscall = fmt.Sprintf("system call %d", key.Syscall)
		}
		if f.Error == "EADDRNOTAVAIL" && f.Syscall == "bind" {
			return // an address that is not of this machine: nothing is exhausted
		}
		if devices != nil && !(ofFiles[f.Syscall] && devices[mounted.deviceOf(key, n.Pid)]) {
			return
		}
		if q.Cgroup == "" {
			f.Cgroup = p.cgroups.places[key.Cgroup].owner
		}
		sum := f
		if before, ok := counted[f]; ok {
			sum = before
		} else {
			sum.PID = int(n.Pid)
		}
		sum.Count += n.Count
		counted[f] = sum
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read which system calls failed: %w", err)
	}
	if dropped, err = a.lost(); err != nil {
		return nil, 0, err
	}
	for _, f := range counted {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b attribution.Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Syscall, b.Syscall), cmp.Compare(a.Error, b.Error), cmp.Compare(a.Process, b.Process), cmp.Compare(a.Cgroup, b.Cgroup))
	})
	for _, f := range all[min(len(all), maxFailures):] {
		dropped += int64(f.Count)
	}
	return all[:min(len(all), maxFailures)], dropped, nil
}

// byCall puts together what is the same call and error, of whatever process.
func byCall(all []attribution.Failure) (groups [][]attribution.Failure) {
	for _, f := range all {
		i := slices.IndexFunc(groups, func(g []attribution.Failure) bool { return g[0].Syscall == f.Syscall && g[0].Error == f.Error })
		if i < 0 {
			groups = append(groups, []attribution.Failure{f})
		} else {
			groups[i] = append(groups[i], f)
		}
	}
	return groups
}

func total(alike []attribution.Failure) (n uint64) {
	for _, f := range alike {
		n += f.Count
	}
	return n
}

// sentence is what failed and who called, such as "openat failed with EMFILE 312 times in 5 s (nginx)".
func sentence(alike []attribution.Failure, took time.Duration) string {
	times := "once"
	if n := total(alike); n > 1 {
		times = fmt.Sprintf("%d times", n)
	}
	var who []string
	for _, f := range alike[:min(len(alike), maxNamed)] {
		name := f.Process
		if f.Cgroup != "" && f.Cgroup != "/" {
			name += " in " + f.Cgroup
		}
		if len(alike) > 1 {
			name += fmt.Sprintf(" %d", f.Count)
		}
		who = append(who, name)
	}
	if more := len(alike) - maxNamed; more > 0 {
		who = append(who, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%s failed with %s %s in %s (%s)", alike[0].Syscall, alike[0].Error, times, finding.FormatDuration(took), strings.Join(who, ", "))
}

func fillSyscall(r plog.LogRecord, of attribution.Subject, alike []attribution.Failure, took time.Duration, text string) {
	r.SetEventName(eventSyscallFailed)
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	a := r.Attributes()
	a.PutStr("error.type", alike[0].Error)
	a.PutStr("syscall.name", alike[0].Syscall)
	a.PutInt("syscall.failed.count", int64(total(alike)))
	a.PutDouble("syscall.failed.duration", took.Seconds())
	a.PutStr("process.executable.name", alike[0].Process)
	a.PutInt("process.pid", int64(alike[0].PID))
	if of.Mountpoint != "" {
		a.PutStr("system.filesystem.mountpoint", of.Mountpoint)
	}
	if of.Disk != "" {
		a.PutStr("system.device", of.Disk)
	}
	r.Body().SetStr(text)
}

// devicesOf are the numbers, as the kernel has them, of the devices whose users are meant; nil: whatever they use.
func devicesOf(of attribution.Subject) (map[uint32]bool, error) {
	all := map[uint32]bool{}
	switch {
	default:
		return nil, nil
	case of.Mountpoint != "":
		mounts, err := os.ReadFile("/proc/1/mountinfo")
		if err != nil {
			mounts, err = os.ReadFile("/proc/self/mountinfo")
		}
		if err != nil {
			return nil, fmt.Errorf("find the device of %s: %w", of.Mountpoint, err)
		}
		device, ok := mounted(string(mounts), of.Mountpoint)
		if !ok {
			return nil, fmt.Errorf("nothing is mounted at %s", of.Mountpoint)
		}
		all[device] = true
	case of.Disk != "":
		folder := filepath.Join("/sys/class/block", filepath.Base(of.Disk))
		parts, _ := filepath.Glob(filepath.Join(folder, "*", "dev"))
		for _, name := range append(parts, filepath.Join(folder, "dev")) {
			if b, err := os.ReadFile(name); err == nil {
				if device, ok := deviceNumber(strings.TrimSpace(string(b))); ok {
					all[device] = true
				}
			}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("there is no disk %s", of.Disk)
		}
	}
	return all, nil
}

// mount is a device where it is mounted.
type mount struct {
	at     string
	device uint32
}

// mounts reads proc_pid_mountinfo(5). Of several at one place, the last is on top.
func mounts(mountinfo string) (all []mount) {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if device, ok := deviceNumber(fields[2]); ok {
			all = append(all, mount{unescape.Replace(fields[4]), device})
		}
	}
	return all
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mounted finds the device that is mounted at a place.
func mounted(mountinfo, at string) (device uint32, ok bool) {
	for _, m := range mounts(mountinfo) {
		if m.at == at {
			device, ok = m.device, true
		}
	}
	return device, ok
}

// holding finds the device that a path is on: of what is mounted at it or above, the nearest. cut says that it is only the beginning of
// a path; then it is not known where something is mounted that begins so as well.
func holding(mounts []mount, path string, cut bool) (device uint32, ok bool) {
	nearest := ""
	for _, m := range mounts {
		if cut && strings.HasPrefix(m.at, path) {
			return 0, false
		}
		above := strings.TrimSuffix(m.at, "/")
		if (path == above || strings.HasPrefix(path, above+"/")) && len(m.at) >= len(nearest) {
			nearest, device, ok = m.at, m.device, true
		}
	}
	return device, ok
}

// filesystems are what processes have mounted, by their pids. That of each is read once: calls may fail for thousands of paths, and on a node
// with many pods thousands of file systems are mounted.
type filesystems map[uint32][]mount

func (f filesystems) of(pid uint32) []mount {
	all, known := f[pid]
	if !known && process.Outermost() { // else the kernel tells numbers that are others' here
		mountinfo, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid)) // it has ended, or it may not be looked at
		all = mounts(string(mountinfo))
		f[pid] = all
	}
	return all
}

// deviceOf is the device that a call failed for; 0 where it is not known. Of a path, it is looked up without touching it: it may lead
// anywhere.
func (f filesystems) deviceOf(key bpf.ErrnoFailure, pid uint32) uint32 {
	path := text(key.Path[:])
	if key.Device != 0 || path == "" {
		return key.Device
	}
	cut := len(path) == len(key.Path)-1
	if !filepath.IsAbs(path) {
		below, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil {
			return 0
		}
		path = below + "/" + path
	}
	device, _ := holding(f.of(pid), filepath.Clean(path), cut)
	return device
}

// deviceNumber reads a device such as 8:1 as the kernel has it in super_block (include/linux/kdev_t.h).
func deviceNumber(s string) (uint32, bool) {
	var major, minor uint32
	if n, err := fmt.Sscanf(s, "%d:%d", &major, &minor); n != 2 || err != nil || major >= 1<<12 || minor >= 1<<20 {
		return 0, false
	}
	return major<<20 | minor, true
}
