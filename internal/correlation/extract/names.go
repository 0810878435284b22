package extract

import "github.com/your-org/tapio/internal/correlation/signal"

// Parts of what the kernel cannot take back; memoryUsed adds them up.
const (
	anon   = "part.anon"
	shmem  = "part.shmem"
	kernel = "part.kernel"
)

// measure is what a metric means.
type measure struct {
	kind    string
	counter bool
	// attribute and value choose data points of a metric that has several; empty: all of them.
	attribute, value string
	// scale turns the metric's unit into the signal's; 0 is 1.
	scale float64
	// approximate marks what is not, or may not be, all of what the kernel accounts.
	approximate bool
}

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
	"k8s.container.memory_limit":         {{kind: signal.MemoryLimit, approximate: true}},
	"k8s.container.memory.limit.desired": {{kind: signal.MemoryLimit, approximate: true}},

	"container_memory_rss":                      {{kind: anon, approximate: true}},
	"container_memory_cache":                    {{kind: signal.MemoryFile, approximate: true}},
	"container_spec_memory_limit_bytes":         {{kind: signal.MemoryLimit, approximate: true}},
	"container_memory_failcnt":                  {{kind: signal.MemoryLimitHits, counter: true}},
	"container_oom_events_total":                {{kind: signal.OOMKill, counter: true}},
	"container_cpu_cfs_periods_total":           {{kind: signal.CPUPeriods, counter: true}},
	"container_cpu_cfs_throttled_periods_total": {{kind: signal.CPUThrottledPeriods, counter: true}},
	"container_cpu_cfs_throttled_seconds_total": {{kind: signal.CPUThrottledTime, counter: true}},
	"container_threads":                         {{kind: signal.PIDsUsed}},
	"container_threads_max":                     {{kind: signal.PIDsLimit}},
}

// labels are cAdvisor's labels under the names of resource attributes: its data points each name their own container.
var labels = map[string]string{
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
	signal.CPUThrottledPeriods: "{period}", signal.CPUThrottledTime: "s",
	signal.PIDsUsed: "{process}", signal.PIDsLimit: "{process}", signal.PIDsLimitHits: "{event}",
}
