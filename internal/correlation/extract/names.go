package extract

import (
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// Parts of what the kernel cannot take back; memoryUsed adds them up.
const (
	anon   = "part.anon"
	shmem  = "part.shmem"
	kernel = "part.kernel"
)

// Parts of other sums; see sums.
const (
	nodeTotal      = "part.node.total"
	nodeAvailable  = "part.node.available"
	nodeEvictable  = "part.node.evictable"
	filesystemFree = "part.filesystem.free"
	volumeCapacity = "part.volume.capacity"
	inodesFree     = "part.inodes.free"
)

// measure is what a metric means.
type measure struct {
	kind    string
	counter bool
	// attribute and value choose data points of a metric that has several; empty: all of them.
	attribute, value string
	// scale turns the metric's unit into the signal's; 0 is 1.
	scale float64
	// about says what the metric is about; empty: what its resource names.
	about about
	// approximate marks what is not, or may not be, all of what the kernel accounts.
	approximate bool
	// zeroIsNone marks a limit whose source says 0 where there is none.
	zeroIsNone bool
}

// about is what a metric is about where its resource alone does not say it.
type about struct {
	// labels are attributes of the data points, by the resource attribute whose place they take.
	labels map[string]string
	// node says that it is about the machine, whatever else the resource names.
	node bool
	// needs is a resource attribute without which the metric says nothing; empty: none.
	needs string
	// writable says that it means something only of what can be written to: an image is full from the day it was made.
	writable bool
	layer    finding.Layer
}

var (
	cadvisor    = about{layer: finding.LayerCgroup, labels: cadvisorLabels}
	host        = about{layer: finding.LayerHost, node: true}
	filesystem  = about{layer: finding.LayerHost, node: true, writable: true, labels: map[string]string{entity.AttrMountpoint: "mountpoint"}}
	served      = about{layer: finding.LayerHost, labels: map[string]string{entity.AttrTLSTarget: "http.url"}}
	certificate = about{layer: finding.LayerHost, labels: map[string]string{entity.AttrTLSTarget: "tlscheck.target"}}
	kubelet     = about{layer: finding.LayerKubernetes}
	// Other volumes than claims show the space of the node's own file system.
	claim   = about{layer: finding.LayerKubernetes, needs: entity.AttrClaim}
	process = about{layer: finding.LayerHost}
	kernels = about{layer: finding.LayerEBPF}
	disk    = about{layer: finding.LayerEBPF, node: true, labels: map[string]string{entity.AttrDevice: "system.device"}}
	unit    = about{layer: finding.LayerSystemd, needs: entity.AttrUnit}
	runtime = about{layer: finding.LayerRuntime, needs: entity.AttrPodUID}
)

// metrics are the accepted metrics by name: the semantic conventions' and our cgroup receiver's first, then those of
// docker_stats, kubelet_stats and k8s_cluster under their old and new names, then cAdvisor's Prometheus names.
var metrics = map[string][]measure{
	"container.memory.anon":                 {{kind: anon}},
	"container.memory.shmem":                {{kind: shmem}},
	"container.memory.kernel.unreclaimable": {{kind: kernel}},
	"container.memory.file":                 {{kind: signal.MemoryFile}},
	"container.memory.limit":                {{kind: signal.MemoryLimit}},
	"container.memory.events": {
		{kind: signal.MemoryHigh, counter: true, attribute: "memory.event", value: "high"},
		{kind: signal.MemoryLimitHits, counter: true, attribute: "memory.event", value: "max"},
		{kind: signal.OOMKill, counter: true, attribute: "memory.event", value: "oom_kill"},
	},
	"container.memory.paging.faults": {{kind: signal.MemoryMajorFaults, counter: true, attribute: "system.paging.fault.type", value: "major"}},
	"container.pressure.avg10": {
		{kind: signal.MemoryPressure, attribute: "pressure.stall", value: "memory.full"},
		{kind: signal.CPUStalled, attribute: "pressure.stall", value: "cpu.full"},
	},
	"container.cpu.limit":                             {{kind: signal.CPULimit}},
	"container.cpu.throttling_data.periods":           {{kind: signal.CPUPeriods, counter: true}},
	"container.cpu.throttling_data.throttled_periods": {{kind: signal.CPUThrottledPeriods, counter: true}},
	"container.cpu.throttling_data.throttled_time":    {{kind: signal.CPUThrottledTime, counter: true, scale: 1e-9}},
	"container.pids.count":                            {{kind: signal.PIDsUsed}},
	"container.pids.limit":                            {{kind: signal.PIDsLimit}},
	"container.pids.limit_hits":                       {{kind: signal.PIDsLimitHits, counter: true}},

	"container.memory.rss":               {{kind: anon, approximate: true}},
	"container.memory.total_rss":         {{kind: anon, approximate: true}},
	"container.memory.usage.limit":       {{kind: signal.MemoryLimit, approximate: true}},
	"container.memory.fails":             {{kind: signal.MemoryLimitHits, counter: true, approximate: true}},
	"k8s.container.memory_limit":         {{kind: signal.MemoryLimit, approximate: true, about: kubelet}},
	"k8s.container.memory.limit.desired": {{kind: signal.MemoryLimit, approximate: true, about: kubelet}},

	"container_memory_rss":                      {{kind: anon, approximate: true, about: cadvisor}},
	"container_memory_cache":                    {{kind: signal.MemoryFile, approximate: true, about: cadvisor}},
	"container_spec_memory_limit_bytes":         {{kind: signal.MemoryLimit, approximate: true, zeroIsNone: true, about: cadvisor}},
	"container_memory_failcnt":                  {{kind: signal.MemoryLimitHits, counter: true, about: cadvisor}},
	"container_oom_events_total":                {{kind: signal.OOMKill, counter: true, about: cadvisor}},
	"container_cpu_cfs_periods_total":           {{kind: signal.CPUPeriods, counter: true, about: cadvisor}},
	"container_cpu_cfs_throttled_periods_total": {{kind: signal.CPUThrottledPeriods, counter: true, about: cadvisor}},
	"container_cpu_cfs_throttled_seconds_total": {{kind: signal.CPUThrottledTime, counter: true, about: cadvisor}},
	"container_threads":                         {{kind: signal.PIDsUsed, about: cadvisor}},
	"container_threads_max":                     {{kind: signal.PIDsLimit, zeroIsNone: true, about: cadvisor}},

	// Our eBPF receiver's.
	"container.cpu.run_queue.time":            {{kind: signal.CPURunDelay, counter: true, about: kernels}},
	"container.network.tcp.listen_drops":      {{kind: signal.ListenDrops, counter: true, about: kernels}},
	"container.network.tcp.retransmits.heavy": {{kind: signal.RetransmitsHeavy, counter: true, about: kernels}},
	"system.disk.io.errors":                   {{kind: signal.DiskIOError, counter: true, about: disk}},

	// Our systemd receiver's. What it tells of memory and tasks is the cgroup receiver's, too, and more exact there.
	"systemd.unit.failed":       {{kind: signal.UnitStartLimited, attribute: "systemd.unit.result", value: "start-limit-hit", about: unit}},
	"systemd.unit.memory.limit": {{kind: signal.MemoryLimit, approximate: true, about: unit}},
	"systemd.unit.tasks.count":  {{kind: signal.PIDsUsed, approximate: true, about: unit}},
	"systemd.unit.tasks.limit":  {{kind: signal.PIDsLimit, approximate: true, about: unit}},

	// Our CRI receiver's.
	"cri.container.state": {{kind: signal.RuntimeRunning, attribute: "cri.container.state", value: "running", about: runtime}},
	"cri.sandbox.state":   {{kind: signal.RuntimeRunning, attribute: "cri.sandbox.state", value: "ready", about: runtime}},

	"system.linux.memory.available":  {{kind: nodeAvailable, about: host}},
	"system.memory.limit":            {{kind: nodeTotal, about: host}},
	"system.network.conntrack.count": {{kind: signal.ConntrackUsed, about: host}},
	"system.network.conntrack.max":   {{kind: signal.ConntrackLimit, about: host}},
	"system.filesystem.usage": {
		{kind: signal.FilesystemUsed, attribute: "state", value: "used", about: filesystem},
		{kind: filesystemFree, attribute: "state", value: "free", about: filesystem},
	},
	"system.filesystem.inodes.usage": {
		{kind: signal.InodesUsed, attribute: "state", value: "used", about: filesystem},
		{kind: inodesFree, attribute: "state", value: "free", about: filesystem},
	},
	// Certificates, as httpcheck tells them, or tlscheck.
	"httpcheck.tls.cert_remaining": {{kind: signal.CertificateLeft, about: served}},
	"tlscheck.time_left":           {{kind: signal.CertificateLeft, about: certificate}},

	"k8s.volume.capacity":                {{kind: volumeCapacity, about: claim}},
	"k8s.volume.available":               {{kind: filesystemFree, about: claim}},
	"k8s.volume.inodes.used":             {{kind: signal.InodesUsed, about: claim}},
	"k8s.volume.inodes.free":             {{kind: inodesFree, about: claim}},
	"k8s.pod.memory.working_set":         {{kind: signal.PodWorkingSet, about: kubelet}},
	"k8s.pod.memory_request_utilization": {{kind: signal.PodRequestShare, about: kubelet}},
	"k8s.node.memory.working_set":        {{kind: signal.NodeMemoryUsed, about: kubelet}},
	"k8s.node.memory.available":          {{kind: nodeEvictable, about: kubelet}},

	"process_open_fds": {{kind: signal.FilesUsed, about: process}},
	"process_max_fds":  {{kind: signal.FilesLimit, about: process}},
}

// images are types of file systems that nobody can write to, however they are mounted: the mount's own mode is "rw" where nobody asked
// for "ro".
var images = map[string]bool{"squashfs": true, "erofs": true, "iso9660": true, "cramfs": true, "romfs": true}

// cadvisorLabels are cAdvisor's labels under the names of resource attributes: its data points each name their own container.
var cadvisorLabels = map[string]string{
	"k8s.container.name": "container",
	"k8s.pod.name":       "pod",
	"k8s.namespace.name": "namespace",
	"k8s.node.name":      "node",
	"cgroup.path":        "id",
}

// units are those of the signals, whatever their source calls them; Prometheus' names carry none.
var units = map[string]string{
	anon: "By", shmem: "By", kernel: "By", signal.MemoryFile: "By", signal.MemoryLimit: "By",
	signal.MemoryHigh: "{event}", signal.MemoryLimitHits: "{event}", signal.OOMKill: "{event}", signal.MemoryMajorFaults: "{fault}",
	signal.MemoryPressure: "1", signal.CPUStalled: "1", signal.CPULimit: "{cpu}", signal.CPUPeriods: "{period}",
	signal.CPUThrottledPeriods: "{period}", signal.CPUThrottledTime: "s", signal.CPURunDelay: "s",
	signal.ListenDrops: "{event}", signal.RetransmitsHeavy: "{segment}", signal.DiskIOError: "{operation}",
	signal.NodeMemoryUsed: "By", signal.NodeMemoryLimit: "By", signal.FilesystemUsed: "By", signal.FilesystemLimit: "By",
	signal.InodesUsed: "{inode}", signal.InodesLimit: "{inode}", signal.ConntrackUsed: "{connection}", signal.ConntrackLimit: "{connection}",
	signal.FilesUsed: "{file}", signal.FilesLimit: "{file}", signal.CertificateLeft: "s",
	signal.PodWorkingSet: "By", signal.PodRequestShare: "1",
	signal.UnitStartLimited: "1", signal.RuntimeRunning: "1", signal.PIDsUsed: "{process}", signal.PIDsLimit: "{process}", signal.PIDsLimitHits: "{event}",
}
