package objects

import (
	"regexp"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// problems tell from a part of a message what is the matter. The first that fits is it.
type problems []struct{ part, problem string }

func (all problems) of(message string) string {
	for _, p := range all {
		if strings.Contains(message, p.part) {
			return p.problem
		}
	}
	return ""
}

// mountProblems are by the words of the kubelet, the attach controller and their drivers.
var mountProblems = problems{
	{"Multi-Attach error", "multi_attach"}, {"not found in the list of registered CSI drivers", "driver"},
	{"hostPath type check failed", "host_path"}, {"wrong fs type", "file_system"}, {"fsck", "file_system"},
	{"access denied by server", "denied"}, {"Permission denied", "denied"}, {"permission denied", "denied"},
	{"No such file or directory", "path"}, {"no such file or directory", "path"}, {"does not exist", "gone"}, {"NotFound", "gone"}, {"not found", "gone"},
	{"Connection timed out", "unreachable"}, {"Connection refused", "unreachable"}, {"no route to host", "unreachable"}, {"i/o timeout", "unreachable"},
	{"AttachVolume.Attach failed", "attach"}, {"timed out waiting", "timeout"}, {"context deadline exceeded", "timeout"},
}

// sandboxProblems are by the words of container runtimes and of their network plugins.
var sandboxProblems = problems{
	{"no IP addresses available", "addresses"}, {"no available IP", "addresses"}, {"InsufficientFreeAddresses", "addresses"},
	{"failed to allocate for range", "addresses"}, {"failed to assign an IP address", "addresses"}, {"No more IPs", "addresses"}, {"no more free IP", "addresses"},
	{"no runtime for", "runtime_class"}, {"RuntimeHandler", "runtime_class"}, {"unknown runtime handler", "runtime_class"},
	{"cni plugin not initialized", "no_network"}, {"cni config uninitialized", "no_network"}, {"network is not ready", "no_network"},
	{"failed to find plugin", "plugin_missing"}, {"no such file or directory", "plugin_missing"},
	{"connection refused", "plugin_away"}, {"Unable to connect to Cilium", "plugin_away"}, {"error getting ClusterInformation", "plugin_away"},
	{"Unauthorized", "plugin_away"}, {"no space left on device", "disk"}, {"toomanyrequests", "pause_image"}, {"failed to pull image", "pause_image"},
	{"failed to get sandbox image", "pause_image"}, {"plugin type=", "network"},
}

// silent is how long a pod's sandbox may not be made without a word on why: the events of an hour ago may be gone.
const silent = 10 * time.Minute

// attachedToRE are the pods or the node that hold a volume which may be held once only.
var attachedToRE = regexp.MustCompile(`already (?:used by pod\(s\) (.+?)$|exclusively attached to (?:one node|node ([^\s"]+)))`)

// setUp tells what keeps a pod's containers from being made at all: its volumes, and its network.
func (t *telling) setUp(pod object, e entity.Entity) {
	if pod.condition("PodReadyToStartContainers").str("status") == "True" {
		return // both are there, whatever failed before: what it waits for is its image, mostly
	}
	waits := false
	pod.each(func(s object) {
		reason := s.str("state", "waiting", "reason")
		waits = waits || reason == "ContainerCreating" || reason == "PodInitializing"
	}, "status", "containerStatuses")
	ran := false // an init container that ran shows that both are there
	pod.each(func(s object) {
		ran = ran || s.has("state", "running") || s.has("state", "terminated") || s.has("lastState", "terminated")
	}, "status", "initContainerStatuses")
	since := pod.condition("PodScheduled").time("lastTransitionTime")
	if !waits || ran || t.now.Sub(since) < settling {
		return
	}
	// The last word counts: a sandbox is made when all volumes are there, so that what failed before with them is over.
	failed := t.last("Pod", pod, since, "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady", "FailedPrepareDynamicResources")
	switch failed.str("reason") {
	case "FailedMount", "FailedAttachVolume", "FailedMapVolume":
		t.mount(pod, e, failed)
		return
	case "":
		// An image may take long to be pulled, which is told by an event that is not asked for: then the sandbox is there.
		if t.now.Sub(since) >= silent && pod.condition("PodReadyToStartContainers").str("status") == "False" {
			t.state(e, signal.SandboxFailed, since, "its sandbox is not made, and nothing says why", map[string]string{"problem": "silent"})
		}
		return
	}
	message := said(failed)
	facts := map[string]string{"message": brief(message), "problem": sandboxProblems.of(message), "runtime_class": pod.str("spec", "runtimeClassName")}
	if failed.str("reason") == "FailedPrepareDynamicResources" {
		facts["problem"] = "resources"
	}
	if p := facts["problem"]; t.fresh(pod) && (p == "no_network" || p == "plugin_missing" || p == "plugin_away") {
		return
	}
	t.state(e, signal.SandboxFailed, began(failed), "the runtime cannot set the pod up: "+facts["message"], facts)
}

// mount tells why a volume of a pod cannot be mounted.
func (t *telling) mount(pod object, e entity.Entity, failed object) {
	message := said(failed)
	// The kubelet also says that it waits, which tells less than why it does.
	for _, ev := range t.told("Pod", pod, t.now.Add(-lately)) {
		if r := ev.str("reason"); (r == "FailedMount" || r == "FailedAttachVolume") && strings.Contains(message, "timed out waiting") && !strings.Contains(said(ev), "timed out waiting") {
			message = said(ev)
		}
	}
	facts := t.missing(pod.namespace(), message)
	facts["volume"] = group(volumeRE, message)
	if facts["object"] == "" && facts["key"] == "" {
		facts["problem"] = mountProblems.of(message)
	}
	if facts["problem"] == "driver" && t.fresh(pod) {
		return
	}
	if m := attachedToRE.FindStringSubmatch(message); m != nil {
		facts["held_by"] = brief(m[1])
		if m[2] != "" {
			facts["held_by"] = "node " + m[2]
		}
	}
	if claim, found := claimOf(pod, facts["volume"], t.Cluster); found {
		facts["claim"] = claim
	}
	t.state(e, signal.MountFailed, began(failed), "the kubelet cannot mount a volume: "+facts["message"], facts)
}

// fresh says whether a pod's node is new, so that the DaemonSets of its network and of its drivers may not run there yet.
func (t *telling) fresh(pod object) bool {
	node := t.get("nodes", "", pod.str("spec", "nodeName"))
	return node.ok && t.now.Sub(node.created()) < starting
}

// claimOf is the claim of a pod that a volume in a message is: named as in the pod, or by the name of the volume it is bound to.
func claimOf(pod object, volume string, c *Cluster) (claim string, found bool) {
	pod.each(func(v object) {
		name := claimName(pod, v)
		if name != "" && (v.str("name") == volume || c.get("persistentvolumeclaims", pod.namespace(), name).str("spec", "volumeName") == volume) {
			claim, found = name, true
		}
	}, "spec", "volumes")
	return claim, found
}

// claimName is the claim that a volume of a pod is; empty where it is none. An ephemeral volume has one of its own.
func claimName(pod, volume object) string {
	if volume.has("ephemeral") {
		return pod.name() + "-" + volume.str("name")
	}
	return volume.str("persistentVolumeClaim", "claimName")
}

// resizing tells of a change of a running pod's resources that its kubelet does not make.
func (t *telling) resizing(pod object, e entity.Entity) {
	for _, kind := range []string{"PodResizePending", "PodResizeInProgress"} {
		c := pod.condition(kind)
		reason := c.str("reason")
		if c.str("status") != "True" || reason != "Infeasible" && reason != "Deferred" && reason != "Error" || t.now.Sub(c.time("lastTransitionTime")) < patient {
			continue
		}
		t.state(e, signal.ResizeRefused, c.time("lastTransitionTime"), "the kubelet: "+brief(c.str("message")),
			map[string]string{"problem": strings.ToLower(reason), "message": brief(c.str("message"))})
	}
}
