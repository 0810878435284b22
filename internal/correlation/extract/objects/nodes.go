package objects

import (
	"regexp"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// joining is how long a new node may take to get ready.
const joining = 2 * time.Minute

var pressures = map[string]string{"MemoryPressure": "memory", "DiskPressure": "disk", "PIDPressure": "pids"}

// node tells of a node that is not ready or short of something.
func (t *telling) node(n object) {
	if n.leaving() {
		return
	}
	e := entity.Entity{ID: entity.ID("node:" + n.name()), Kind: entity.Node, Name: n.name(), Node: n.name()}
	n.each(func(c object) {
		since, message := c.time("lastTransitionTime"), c.str("message")
		if resource := pressures[c.str("type")]; resource != "" && c.str("status") == "True" {
			facts := map[string]string{"resource": resource, "message": brief(message)}
			if resource == "memory" {
				facts["pods"] = t.hungry(n.name())
			}
			if ev := t.last("Node", n, t.now.Add(-lately), "FreeDiskSpaceFailed", "ImageGCFailed", "EvictionThresholdMet"); ev.ok && resource == "disk" {
				facts["event"] = strings.TrimSuffix(brief(said(ev)), ".")
			}
			t.state(e, signal.NodePressure, since, "the kubelet: "+brief(message), facts)
		}
		if problem := ailments[c.str("type")]; problem != "" && c.str("status") == "True" && t.now.Sub(n.created()) >= joining {
			t.state(e, signal.NodeProblem, since, c.str("type")+": "+brief(message), map[string]string{"condition": c.str("type"), "problem": problem, "message": brief(message)})
		}
		if c.str("type") != "Ready" || c.str("status") == "True" || c.str("status") == "False" && t.now.Sub(n.created()) < joining {
			return
		}
		if (removed(n) || n.yes("spec", "unschedulable")) && t.now.Sub(since) < starting {
			return // it was emptied to be taken away, or to be restarted
		}
		facts := map[string]string{"reason": c.str("reason"), "message": strings.TrimSuffix(brief(message), ".")}
		switch {
		case c.str("status") == "Unknown":
			facts["problem"] = "silent"
		case strings.Contains(message, "PLEG is not healthy"):
			facts["problem"] = "pleg"
		case strings.Contains(message, "container runtime is down"), strings.Contains(message, "container runtime not ready"), strings.Contains(message, "RuntimeReady=false"):
			facts["problem"] = "runtime"
		case strings.Contains(message, "cni"), strings.Contains(message, "NetworkReady=false"), strings.Contains(message, "NetworkPluginNotReady"):
			facts["problem"] = "network"
		}
		t.state(e, signal.NodeNotReady, since, "Ready is "+c.str("status")+": "+brief(message), facts)
	}, "status", "conditions")
	t.events(n, e)
}

// removed says whether a node is being taken away by an autoscaler: its machine ends before its object does.
func removed(n object) bool {
	found := false
	n.each(func(taint object) {
		switch taint.str("key") {
		case "ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption":
			found = true
		}
	}, "spec", "taints")
	return found
}

// ailments are the conditions that are no kubelet's own: of the network's controller and of node-problem-detector
// (config/*.json), in words.
var ailments = map[string]string{"NetworkUnavailable": "its pod network has no route", "KernelDeadlock": "its kernel is stuck", "ReadonlyFilesystem": "a file system became read-only",
	"CorruptDockerOverlay2": "the files of its images are damaged", "FrequentKubeletRestart": "its kubelet restarts again and again",
	"FrequentDockerRestart": "its container runtime restarts again and again", "FrequentContainerdRestart": "its container runtime restarts again and again",
	"FrequentUnregisterNetDevice": "its kernel cannot remove network devices", "XfsShutdown": "an XFS file system was shut down",
	"CperHardwareErrorFatal": "its hardware reports fatal errors", "KubeletUnhealthy": "its kubelet is not well", "ContainerRuntimeUnhealthy": "its container runtime is not well",
	"ConntrackFullProblem": "its table of connections is full", "NTPProblem": "its clock is not kept right", "DNSUnreachable": "it cannot reach its DNS"}

// flaps is how often a node must have become not ready within the last hour to be told as flapping.
const flaps = 3

// events tells what events say of a node: that the kernel ran out of memory, and that the node comes and goes.
func (t *telling) events(n object, e entity.Entity) {
	lost, since, last := 0.0, time.Time{}, time.Time{}
	for _, ev := range t.told("Node", n, t.now.Add(-lately)) {
		switch ev.str("reason") {
		case "SystemOOM":
			facts := map[string]string{"comm": "a process"}
			if m := victimRE.FindStringSubmatch(said(ev)); m != nil {
				facts["comm"], facts["pid"] = m[1], m[2]
			}
			t.event(e, signal.NodeOOMKill, ev, "the kubelet: "+brief(said(ev)), facts)
		case "NodeNotReady":
			lost += t.timesLately(ev)
			if since.IsZero() || began(ev).Before(since) {
				since = began(ev)
			}
			last = occurred(ev)
		}
	}
	if lost >= flaps && n.condition("Ready").str("status") == "True" {
		t.reading(e, signal.NodeFlaps, lost, "{time}", since, "the node became not ready "+whole(lost)+" times within the last hour",
			map[string]string{"times": whole(lost), "last": elapsed(t.now.Sub(last))})
	}
}

// victimRE is the kubelet's word on whom the kernel killed (pkg/kubelet/oom/oom_watcher_linux.go).
var victimRE = regexp.MustCompile(`victim process: (\S*), pid: (\d+)`)
