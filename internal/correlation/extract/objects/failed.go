package objects

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// What the kubelet says of a pod that it evicts (pkg/kubelet/eviction/helpers.go): what the node was low on, or which limit the
// pod itself went beyond.
var (
	lowOn      = regexp.MustCompile(`low on resource: ([\w.-]+)`)
	consumerRE = regexp.MustCompile(`Container (\S+) was using (\S+), request is (\S+), has larger consumption of ([\w.-]+)`)
	storageRE  = regexp.MustCompile(`Container (\S+) exceeded its local ephemeral storage limit "([^"]+)"`)
	podLimitRE = regexp.MustCompile(`Pod ephemeral local storage usage exceeds the total limit of containers ([^\s.]+)`)
	emptyDirRE = regexp.MustCompile(`Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)"`)
)

// refusals of the kubelet, which it gives as a pod's reason. Such a pod of a workload is made anew, and refused anew.
var refusedByKubelet = map[string]bool{"NodeAffinity": true, "NodePorts": true, "UnexpectedAdmissionError": true, "TopologyAffinityError": true,
	"SysctlForbidden": true, "AppArmor": true, "InvalidNodeInfo": true, "PodOSNotSupported": true, "PodOSSelectorNodeLabelDoesNotMatch": true}

// failed tells of a pod that ended with an error for good. Those of jobs are the jobs' matter; one of a workload is made anew
// elsewhere, but that it was evicted or refused says something.
func (t *telling) failed(pod object, e entity.Entity) {
	reason, message := pod.str("status", "reason"), pod.str("status", "message")
	ref := pod.controller()
	refused := refusedByKubelet[reason] || strings.HasPrefix(reason, "OutOf") // of cpu, memory, pods, ephemeral-storage, a device
	if ref.str("kind") == "Job" || ref.ok && reason != "Evicted" && !refused {
		return
	}
	facts := map[string]string{"reason": reason, "message": strings.TrimSuffix(brief(message), ".")}
	var ended time.Time
	pod.each(func(s object) {
		end := s.child("state", "terminated")
		if at := end.time("finishedAt"); at.After(ended) {
			ended = at
		}
		if code := int(end.num(0, "exitCode")); end.ok && code != 0 {
			facts["exit"] = fmt.Sprintf("%s ended with exit code %d (%s)", s.str("name"), code,
				ending(code, int(end.num(0, "signal")), end.str("reason"), end.str("message"))["meaning"])
		}
	}, "status", "containerStatuses")
	if ended.IsZero() {
		ended = cmp.Or(pod.condition("DisruptionTarget").time("lastTransitionTime"), pod.condition("Ready").time("lastTransitionTime"), pod.time("status", "startTime"))
	}
	switch {
	case reason == "Evicted":
		facts["problem"] = "evicted"
		evicted(message, facts)
	case refused:
		facts["problem"] = "refused"
	case reason == "DeadlineExceeded":
		facts["problem"] = "deadline"
	}
	t.state(e, signal.PodFailed, ended, "the pod failed: "+cmp.Or(facts["message"], facts["exit"], reason), facts)
}

// evicted reads why a pod was evicted: `limit` is what of its own it went beyond, `resource` what its node was low on.
func evicted(message string, facts map[string]string) {
	facts["resource"] = strings.TrimSuffix(group(lowOn, message), ".")
	if m := consumerRE.FindStringSubmatch(message); m != nil {
		facts["consumer"], facts["used"], facts["requested"] = m[1], m[2], m[3]
	}
	switch {
	case storageRE.MatchString(message):
		m := storageRE.FindStringSubmatch(message)
		facts["limit"], facts["of"], facts["amount"] = "storage", m[1], m[2]
	case podLimitRE.MatchString(message):
		facts["limit"], facts["amount"] = "storage", group(podLimitRE, message)
	case emptyDirRE.MatchString(message):
		m := emptyDirRE.FindStringSubmatch(message)
		facts["limit"], facts["of"], facts["amount"] = "empty_dir", m[1], m[2]
	case facts["resource"] == "" && strings.Contains(message, "DiskPressure"), facts["resource"] == "inodes":
		facts["resource"] = cmp.Or(facts["resource"], "disk space")
	}
}
