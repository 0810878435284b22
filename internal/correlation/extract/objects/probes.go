package objects

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// probeRE is the kubelet's word on a failed probe (pkg/kubelet/prober/prober.go).
var probeRE = regexp.MustCompile(`(Liveness|Readiness|Startup) probe (?:failed|errored)[^:]*: ?(.*)`)

// probes tells the probes of a container that failed lately. It returns true when the kubelet ends the container because of one.
func (t *telling) probes(pod object, e entity.Entity, status, spec, ended object) bool {
	started := status.time("state", "running", "startedAt")
	var killing object // the latest
	for _, ev := range t.told("Pod", pod, t.now.Add(-lately)) {
		if !about(ev, e.Container) {
			continue
		}
		switch m := probeRE.FindStringSubmatch(strings.Join(strings.Fields(said(ev)), " ")); {
		case ev.str("reason") == "Unhealthy" && m != nil:
			kind := strings.ToLower(m[1])
			if kind == "readiness" && (status.yes("ready") || occurred(ev).Before(started)) {
				continue // it got ready since
			}
			facts := map[string]string{"probe": kind, "message": brief(m[2]), "check": check(spec.child(kind + "Probe"))}
			t.event(e, signal.ProbeFailed, ev, fmt.Sprintf("%s probe failed: %s", kind, brief(m[2])), facts)
		case ev.str("reason") == "Killing" && strings.Contains(said(ev), "probe, will be restarted"):
			// What ended by itself was not ended by the probe, though it may have failed before as well.
			if code := ended.num(-1, "exitCode"); code != 137 && code != 143 && code != -1 && code != 0 {
				continue
			}
			if t.now.Sub(occurred(ev)) > recent && status.yes("ready") && t.now.Sub(started) > recent {
				continue
			}
			killing = ev
		}
	}
	if killing.ok {
		t.killed(pod, e, status, spec, killing)
	}
	return killing.ok
}

// killed tells of a container that the kubelet ended because of a probe.
func (t *telling) killed(pod object, e entity.Entity, status, spec, killing object) {
	kind := "liveness"
	if strings.Contains(said(killing), "startup probe") {
		kind = "startup"
	}
	probe, restarts := spec.child(kind+"Probe"), status.num(0, "restartCount")
	facts := map[string]string{"probe": kind, "check": check(probe), "restarts": whole(restarts), "lately": whole(t.timesLately(killing)), "allowed": allowed(probe).String(), "declared": undeclared(spec, probe)}
	t.blame(pod, began(killing), facts)
	t.state(e, signal.ProbeKilled, began(killing), "the kubelet restarts the container because its "+kind+" probe failed", facts)
}

// notReady tells of a container that runs and does not get ready, or no longer is.
func (t *telling) notReady(pod object, e entity.Entity, status, spec object) {
	probe := spec.child("readinessProbe")
	running := status.child("state", "running")
	if !running.ok || status.yes("ready") || !probe.ok || status.has("started") && !status.yes("started") {
		return
	}
	since := running.time("startedAt")
	if at := pod.condition("ContainersReady").time("lastTransitionTime"); at.After(since) {
		since = at // it was ready before
	}
	grace := max(allowed(probe), patient)
	if t.now.Sub(since) < grace {
		return
	}
	facts := map[string]string{"check": check(probe), "grace": strconv.Itoa(int(grace.Seconds())), "declared": undeclared(spec, probe)}
	t.blame(pod, since, facts)
	t.state(e, signal.ContainerNotReady, since, "the container runs and is not ready", facts)
}

// undeclared are the ports that a container declares where a probe asks at another one.
func undeclared(spec, probe object) string {
	if strings.HasPrefix(probe.str("httpGet", "path"), "/app-health/") {
		return "" // Istio's proxy asks in its place
	}
	var has []string
	for _, kind := range []string{"httpGet", "tcpSocket", "grpc"} {
		want := probe.text(kind, "port")
		if want == "" {
			continue
		}
		found := false
		spec.each(func(p object) {
			found = found || p.text("containerPort") == want || p.str("name") == want
			has = append(has, p.text("containerPort"))
		}, "ports")
		if found {
			return ""
		}
	}
	return join(has)
}

// allowed is how long a probe lets a container fail.
func allowed(probe object) time.Duration {
	return time.Duration(probe.num(0, "initialDelaySeconds")+probe.num(10, "periodSeconds")*probe.num(3, "failureThreshold")) * time.Second
}

// check says in words what a probe does.
func check(probe object) string {
	port := func(o object) string {
		v, _ := o.value("port")
		return v.AsString()
	}
	switch {
	case probe.has("httpGet"):
		h := probe.child("httpGet")
		return fmt.Sprintf("GET %s://:%s%s", strings.ToLower(cmp.Or(h.str("scheme"), "HTTP")), port(h), cmp.Or(h.str("path"), "/"))
	case probe.has("tcpSocket"):
		return "a connection to port " + port(probe.child("tcpSocket"))
	case probe.has("grpc"):
		return "a gRPC health check on port " + port(probe.child("grpc"))
	case probe.has("exec"):
		return "the command " + brief(strings.Join(probe.texts("exec", "command"), " "))
	}
	return ""
}
