// Package signal defines the observed facts that everything else is built on.
package signal

import (
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// Shape says how a signal's value is to be read.
type Shape uint8

// The shapes of a signal.
const (
	// Event is something that happened; Value is how often (at least 1), or a quantity that Unit explains.
	Event Shape = iota
	// Gauge is a state that holds until the next reading.
	Gauge
	// Counter is a running total since Start. The timeline turns its increases into events.
	Counter
	// Over says that the state which a Gauge told does not hold any more.
	Over
)

// Signal is one observed fact about one entity.
type Signal struct {
	Time time.Time
	// Kind names the fact, e.g. `memory.used` or `kernel.oom_kill`; the constants below are the known ones.
	Kind   string
	Layer  finding.Layer
	Entity entity.ID
	Shape  Shape
	Value  float64
	// Unit is in UCUM notation, as in OpenTelemetry.
	Unit string
	// Start is when a Counter last began at zero, or since when a Gauge's state holds; zero when unknown.
	Start time.Time
	// Doubt is how far the source is from the kernel's own accounts: 0 is exact, 1 an approximation that leaves parts out. A
	// reading does not take the place of a fresh one that is more exact.
	Doubt uint8
	// ID names an Event that may be told again, with more in it: it then takes the place of what was told before. Empty: it may not.
	ID string
	// Text is a sentence for people; empty where the value says it all.
	Text string
	// Attributes are further facts, e.g. pid or comm. They are small and few.
	Attributes map[string]string
}

// Batch is what was observed about one entity at a time.
type Batch struct {
	Entity  entity.Entity
	Signals []Signal
}

// Readings of a container, unit or cgroup.
const (
	// MemoryUsed is what the kernel cannot take back: anonymous memory, shared memory and unreclaimable kernel memory (By).
	MemoryUsed = "memory.used"
	// MemoryLimit is the hard limit (By).
	MemoryLimit = "memory.limit"
	// MemoryFile is the page cache, which the kernel takes back when it must (By).
	MemoryFile = "memory.file"
	// MemoryHigh counts how often the cgroup was throttled at memory.high; MemoryLimitHits, how often it ran into its limit.
	MemoryHigh      = "memory.high_hits"
	MemoryLimitHits = "memory.limit_hits"
	// MemoryMajorFaults counts page faults that had to read from disk.
	MemoryMajorFaults = "memory.major_faults"
	// MemoryPressure is the share of time in which all (full) tasks stood still for want of memory, over 10 s (1).
	MemoryPressure = "memory.pressure"
	// MemoryRetained is who holds the memory that was gained, MemoryUnattributed that it was looked for and not found out, and why;
	// the values are bytes a minute.
	MemoryRetained     = "memory.retained"
	MemoryUnattributed = "memory.unattributed"
	// OOMKill counts processes that the kernel killed in this cgroup for want of memory, by its own counters.
	OOMKill = "cgroup.oom_kill"
	// KernelOOMKill is a kill for want of memory as the kernel itself tells it, in its log or by a tracepoint; NodeOOMKill, one
	// because the whole machine was out of memory. KernelOOMContext and KernelOOMGroup say whose processes are killed next.
	KernelOOMKill    = "kernel.oom_kill"
	NodeOOMKill      = "node.oom_kill"
	KernelOOMContext = "kernel.oom_context"
	KernelOOMGroup   = "kernel.oom_group"
	// UnitOOMKill is what systemd, and RuntimeOOMKill what a container runtime, learned of a kill.
	UnitOOMKill    = "unit.oom_kill"
	RuntimeOOMKill = "runtime.oom_kill"
	// RuntimeExited is a container that ended, with `code` and `reason` as the runtime has them; RuntimeRestarted, one that another
	// of its name in its pod has taken the place of. RuntimeRunning is 1 for a container or pod that the runtime runs, else 0 (1).
	RuntimeExited    = "runtime.exited"
	RuntimeRestarted = "runtime.restarted"
	RuntimeRunning   = "runtime.running"
	// UnitStartLimited is 1 for a unit that systemd gave up (1).
	UnitStartLimited = "unit.start_limited"
	// Segfault is a crash of a process by a bad address, Crashed one by another fault of its own. Killed is a process that a signal
	// ended which somebody sent, Failed the first process of a container or unit that ended with a code other than 0. Attributes:
	// `pid`, `comm`, `main` (the first process there: true or false), `code`, `signal`, `origin` (kernel, fault, self, process),
	// `sender`, `sender_pid`, `inside` (the sender is in the same cgroup).
	Segfault = "kernel.segfault"
	Crashed  = "process.crashed"
	Killed   = "process.killed"
	Failed   = "process.failed"
	// Attempts to connect that failed, since the last time they were told; the value is how many. Attributes: `peer` (address and
	// port), `address`, `count`, `attempts` (all to this peer in the same time), `outcome`.
	ConnectRefused     = "network.connect_refused"
	ConnectTimeout     = "network.connect_timeout"
	ConnectUnreachable = "network.connect_unreachable"
	NoPorts            = "network.no_ports"
	// Lookups of a name that failed, or that took a second or more, since the last time they were told; the value is how many.
	// Attributes: `name`, `server` (address), `count`, `attempts` (all lookups of it there in the same time), `outcome`.
	DNSTimedOut = "dns.timed_out"
	DNSServFail = "dns.servfail"
	DNSRefused  = "dns.refused"
	DNSNotFound = "dns.not_found"
	DNSSlow     = "dns.slow"
	// RetransmitsHeavy counts segments that were sent again on connections that send one in fifty again, ListenDrops connections
	// that came in and found the queue of who listens full.
	RetransmitsHeavy = "tcp.retransmits_heavy"
	ListenDrops      = "tcp.listen_drops"
	// DiskIOError is a read or write that a disk failed.
	DiskIOError = "disk.io_error"
	// Removed says that the entity is gone.
	Removed = "entity.removed"
	// Coverage is how well a part of a layer is seen on a node (1; finding.CoverageState.Gauge). It goes to no timeline. Its text is
	// the reason; attributes: `part`, `state`.
	Coverage = "coverage"

	CPUPeriods          = "cpu.periods"
	CPUThrottledPeriods = "cpu.throttled_periods"
	// CPUThrottledTime is the time the tasks had to wait for the next quota period (s).
	CPUThrottledTime = "cpu.throttled_time"
	CPULimit         = "cpu.limit"
	// CPURunDelay counts the time that tasks waited for a CPU while others had them (s).
	CPURunDelay = "cpu.run_delay"
	// CPULimitShare is the share of its CPU limit that a container uses (1).
	CPULimitShare = "cpu.limit_share"
	// CPUStalled is the share of time in which no task could run although some wanted to, over 10 s (1).
	CPUStalled = "cpu.stalled"

	PIDsUsed      = "pids.used"
	PIDsLimit     = "pids.limit"
	PIDsLimitHits = "pids.limit_hits"

	// What a machine has to share, each against its limit: memory that is not available (By), space and inodes of a file system
	// or volume (By, {inode}), connections that the firewall tracks, files that a process holds open.
	NodeMemoryUsed  = "node.memory.used"
	NodeMemoryLimit = "node.memory.limit"
	FilesystemUsed  = "filesystem.used"
	FilesystemLimit = "filesystem.limit"
	InodesUsed      = "inodes.used"
	InodesLimit     = "inodes.limit"
	ConntrackUsed   = "conntrack.used"
	ConntrackLimit  = "conntrack.limit"
	FilesUsed       = "files.used"
	FilesLimit      = "files.limit"
	// PodWorkingSet is what the kubelet counts against a pod (By), PodRequestShare that over what the pod requested (1).
	PodWorkingSet   = "pod.memory.working_set"
	PodRequestShare = "pod.memory.request_share"
	// CertificateLeft is the time until a certificate is valid no more (s); negative after that.
	CertificateLeft = "certificate.left"
	// CertificateLife is for how long a certificate was issued (s).
	CertificateLife = "certificate.life"
)

// SyscallFailed is the kind of system calls that failed with an errno, such as EMFILE, because something is exhausted, seen on
// demand; the value is how many. Calls of inotify have a kind of their own, for their limits are others: SyscallFailed("inotify").
// Attributes: `error`, `syscall`, `count`, `comm`, `pid` (of the process that failed most often), `seconds` (in how long).
func SyscallFailed(errno string) string { return "syscall.failed." + strings.ToLower(errno) }

// Growth is the kind under which a forecast tells how fast a resource grows, per minute.
func Growth(resource string) string { return resource + ".growth" }
