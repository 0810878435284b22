package objects

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

const (
	// Where the kubelet does not call it a loop: often is how many restarts make one, recent how long ago the last end may be, and briefly
	// how long the container may have run before that. Who ran for weeks ended once, however often before.
	often   = 3
	recent  = 10 * time.Minute
	briefly = time.Hour
	// patient is the least time that a container may take to get ready.
	patient = 30 * time.Second
)

// waitingFor are the kubelet's reasons to wait that are about the image.
var waitingForImage = map[string]bool{"ErrImagePull": true, "ImagePullBackOff": true, "InvalidImageName": true, "ErrImageNeverPull": true,
	"ImageInspectError": true, "RegistryUnavailable": true, "SignatureValidationFailed": true}

// container tells what is wrong with a container.
func (t *telling) container(pod object, of entity.Entity, status object, init bool) {
	e := of
	e.Kind, e.Container = entity.Container, status.str("name")
	e.ID = entity.ID("container:" + pod.uid() + "/" + e.Container)
	spec := specOf(pod, e.Container)
	if finished(pod, status, spec, init) {
		return // however it got there
	}
	if limit := quantity(spec, "resources", "limits", "memory"); limit > 0 && status.num(0, "restartCount") > 0 {
		t.reading(e, signal.MemoryLimit, limit, "By", time.Time{}, "", nil)
	}
	t.uses(pod, e, status, spec)
	waiting := status.child("state", "waiting")
	reason := waiting.str("reason")
	switch {
	case waitingForImage[reason]:
		t.image(pod, e, status, spec)
		return
	case reason == "CreateContainerConfigError" || reason == "CreateContainerError":
		facts := t.missing(pod.namespace(), waiting.str("message"))
		since := t.since(pod, e.Container, "Failed")
		if facts["problem"] == "" {
			facts["problem"] = createProblems.of(waiting.str("message"))
		}
		since = cmp.Or(since, pod.condition("PodScheduled").time("lastTransitionTime"))
		t.blame(pod, since, facts)
		t.state(e, signal.ConfigError, since, "the kubelet: "+brief(waiting.str("message")), facts)
		return
	}
	if init && t.stuck(pod, e, status, spec) {
		return
	}
	ended := status.child("state", "terminated")
	if !ended.ok {
		ended = status.child("lastState", "terminated")
	}
	if ended.str("reason") == "OOMKilled" {
		t.state(e, signal.OOMKilled, ended.time("finishedAt"), "the container was killed for want of memory: last state OOMKilled, exit code "+
			strconv.Itoa(int(ended.num(0, "exitCode"))), map[string]string{"restarts": strconv.Itoa(int(status.num(0, "restartCount"))), "qos": pod.str("status", "qosClass")})
	}
	killed := t.probes(pod, e, status, spec, ended)
	sidecar := init && spec.str("restartPolicy") == "Always" // it runs beside the containers, and the pod is ready when it is
	if loops(t.now, status, ended) || reason == "RunContainerError" {
		t.loop(pod, e, status, ended, init && !sidecar, killed)
	}
	if (!init || sidecar) && !killed {
		t.notReady(pod, e, status, spec)
	}
}

// finished says whether a container has done its work and is not started again: an init container that is no sidecar, or one of a pod
// that restarts only what fails.
func finished(pod, status, spec object, init bool) bool {
	ended := status.child("state", "terminated")
	if !ended.ok || ended.num(0, "exitCode") != 0 {
		return false
	}
	if init {
		return spec.str("restartPolicy") != "Always"
	}
	policy := pod.str("spec", "restartPolicy")
	return policy == "OnFailure" || policy == "Never"
}

// createProblems are by the words of the kubelet and the runtime on a container that they cannot make.
var createProblems = problems{
	{"subPath", "sub_path"}, {"no command specified", "no_command"}, {"is already in use", "name_in_use"}, {"not a directory", "mount"},
	{"no such file or directory", "mount"}, {"context deadline exceeded", "slow"}, {"no space left on device", "disk"},
}

const (
	// unhurried is how long an init container may run before that is worth a word where nothing shows what it waits for.
	unhurried = 2 * time.Minute
)

// stuck tells of an init container that runs on and on: the containers wait for it. One that restarts always is a sidecar.
func (t *telling) stuck(pod object, e entity.Entity, status, spec object) bool {
	since := status.time("state", "running", "startedAt")
	ran := t.now.Sub(since)
	if since.IsZero() || spec.str("restartPolicy") == "Always" || ran < patient {
		return false
	}
	facts := map[string]string{}
	if lacked, found := t.lackedService(spec, pod.namespace()); found {
		facts["service"], facts["problem"] = lacked.name, "service"
		facts["nearest"] = t.nearestService(lacked.namespace, lacked.name)
		if lacked.namespace != pod.namespace() {
			facts["service"] += "." + lacked.namespace
		}
	} else if ran < unhurried {
		return false
	} else if t.now.Sub(unreadySince(pod)) > starting {
		facts["problem"] = "late" // its workload is short by now, and this is why
	}
	t.state(e, signal.InitRuns, since, "init container "+e.Container+" still runs", facts)
	return true
}

// loops says whether a container ends again and again.
func loops(now time.Time, status, ended object) bool {
	if status.str("state", "waiting", "reason") == "CrashLoopBackOff" {
		return true
	}
	started, finished := ended.time("startedAt"), ended.time("finishedAt")
	return ended.ok && status.num(0, "restartCount") >= often && now.Sub(finished) < recent && (started.IsZero() || finished.Sub(started) < briefly)
}

// loop tells how a container ends.
func (t *telling) loop(pod object, e entity.Entity, status, ended object, init, killed bool) {
	if killed {
		return // it does not end, it is ended: the probe is the matter
	}
	code := int(ended.num(0, "exitCode"))
	restarts := status.num(0, "restartCount")
	message := cmp.Or(ended.str("message"), status.str("state", "waiting", "message"))
	facts := ending(code, int(ended.num(0, "signal")), ended.str("reason"), message)
	facts["exit_code"] = strconv.Itoa(code)
	facts["reason"] = ended.str("reason")
	if hook := t.last("Pod", pod, t.now.Add(-lately), "FailedPostStartHook"); hook.ok && about(hook, e.Container) {
		facts["problem"], facts["meaning"] = "post_start", "its postStart hook failed, and the kubelet ended it"
	}
	if meant := meant(facts["command"]); meant != "" {
		facts["meant"] = meant
	}
	if m := forbiddenRE.FindStringSubmatch(message); m != nil {
		facts["account"], facts["may_not"] = m[1], m[2]+" "+m[3]
	}
	if facts["command"] == "" {
		facts["message"] = lastLine(ended.str("message"))
	}
	if init {
		facts["init"] = "true"
	}
	if !ended.ok {
		if facts["problem"] != "missing" && facts["problem"] != "not_executable" {
			return // waits for what nobody knows
		}
		delete(facts, "exit_code")
	}
	if ran := ended.time("finishedAt").Sub(ended.time("startedAt")); ran >= 0 && !ended.time("startedAt").IsZero() {
		facts["ran"] = strconv.FormatFloat(ran.Seconds(), 'f', -1, 64)
	}
	since := cmp.Or(t.since(pod, e.Container, "BackOff"), ended.time("finishedAt"))
	text := fmt.Sprintf("the container ended with exit code %d (%s) and was restarted %d times", code, facts["meaning"], int(restarts))
	if !ended.ok {
		text = "the runtime cannot start the container: " + brief(message)
	}
	t.blame(pod, since, facts)
	t.upstream(pod, message, facts)
	t.reading(e, signal.CrashLoop, restarts, "{restart}", since, text, facts)
}

// since is when an event of a reason about a container happened first; zero where there is none.
func (t *telling) since(pod object, container string, reason string) time.Time {
	for _, ev := range t.told("Pod", pod, t.now.Add(-lately)) {
		if ev.str("reason") == reason && about(ev, container) {
			return began(ev)
		}
	}
	return time.Time{}
}

// about says whether an event of a pod is about a container of it: involvedObject.fieldPath is spec.containers{name}.
func about(ev object, container string) bool {
	path := cmp.Or(ev.str("involvedObject", "fieldPath"), ev.str("regarding", "fieldPath"))
	name := group(fieldPathRE, path)
	return name == "" || name == container
}

// specOf is what a pod's spec says of a container.
func specOf(pod object, name string) object {
	var found object
	for _, list := range []string{"containers", "initContainers"} {
		pod.each(func(c object) {
			if c.str("name") == name {
				found = c
			}
		}, "spec", list)
	}
	return found
}

// image tells why an image cannot be had.
func (t *telling) image(pod object, e entity.Entity, status, spec object) {
	waiting := status.child("state", "waiting")
	reason, message := waiting.str("reason"), waiting.str("message")
	image := cmp.Or(spec.str("image"), status.str("image"))
	problem := imageProblem(reason, message)
	var since time.Time
	for _, ev := range t.told("Pod", pod, t.now.Add(-lately)) {
		if !about(ev, e.Container) {
			continue
		}
		if text := said(ev); ev.str("reason") == "Failed" || ev.str("reason") == "InspectFailed" || ev.str("reason") == "ErrImageNeverPull" {
			if since.IsZero() || began(ev).Before(since) {
				since = began(ev)
			}
			if p := imageProblem(reason, text); problem == "" && p != "" {
				problem, message = p, text // older kubelets say why in the event only
			}
		}
	}
	facts := map[string]string{"image": image, "reason": reason, "message": imageMessage(message), "problem": problem, "registry": registry(image)}
	var secrets []string
	pod.each(func(s object) { secrets = append(secrets, s.str("name")) }, "spec", "imagePullSecrets")
	if len(secrets) > 0 {
		facts["secrets"] = join(secrets)
	}
	if ev := t.last("Pod", pod, t.now.Add(-lately), "FailedToRetrieveImagePullSecret"); ev.ok {
		facts["missing_secrets"] = group(pullSecretRE, said(ev))
	}
	since = cmp.Or(since, pod.condition("PodScheduled").time("lastTransitionTime"))
	t.blame(pod, since, facts)
	t.state(e, signal.ImagePull, since, fmt.Sprintf("%s: %s", reason, brief(facts["message"])), facts)
}
