package objects

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

const (
	// measured is how long metrics of new pods may take: the kubelet and the metrics server each need a round.
	measured = 2 * time.Minute
	// served is how long who serves metrics may take to be replaced.
	served = time.Minute
)

// requestRE is the controller's word on a container that requests nothing (pkg/controller/podautoscaler/replica_calculator.go).
var requestRE = regexp.MustCompile(`missing request for (\S+) in container (\S+) of Pod (\S+)`)

// apiAway is the controller's word on metrics that nobody serves.
var apiAway = regexp.MustCompile(`could not find the requested resource|no known available metric versions|unable to handle the request|no (?:custom|external) metrics API`)

// autoscaler tells of an autoscaler that cannot do its work, or is not allowed to do more.
func (t *telling) autoscaler(h object) {
	if h.leaving() {
		t.overdue(entity.Autoscaler, h)
		return
	}
	if t.now.Sub(h.created()) < reconciled {
		return
	}
	e := entity.Named(entity.Autoscaler, h.namespace(), h.name())
	kind, name := h.str("spec", "scaleTargetRef", "kind"), h.str("spec", "scaleTargetRef", "name")
	facts := map[string]string{"target_kind": kind, "target": name, "max": h.text("spec", "maxReplicas"), "replicas": h.text("status", "currentReplicas")}
	able, active, limited := h.condition("AbleToScale"), h.condition("ScalingActive"), h.condition("ScalingLimited")
	tell := func(c object) {
		facts["message"] = brief(c.str("message"))
		t.state(e, signal.AutoscalerStuck, c.time("lastTransitionTime"), "the autoscaler's controller: "+facts["message"], facts)
	}
	switch {
	case able.str("status") == "False":
		if t.now.Sub(able.time("lastTransitionTime")) < patient {
			return // somebody else may have written the size at the same time
		}
		facts["problem"] = "scale"
		if t.lacks(resourcesOf[kind], h.namespace(), name) && resourcesOf[kind] != "" {
			facts["problem"] = "target"
		}
		tell(able)
	case active.str("status") == "False" && active.str("reason") != "ScalingDisabled":
		t.unmeasured(h, active, facts, tell)
	case limited.str("status") == "True" && limited.str("reason") == "TooManyReplicas":
		facts["load"] = load(h)
		t.state(e, signal.AutoscalerLimited, limited.time("lastTransitionTime"), "the autoscaler's controller: "+brief(limited.str("message")), facts)
	}
}

// unmeasured tells why an autoscaler does not know its metrics.
func (t *telling) unmeasured(h, active object, facts map[string]string, tell func(object)) {
	message := active.str("message")
	facts["unrequested"] = t.unrequested(h, facts["target_kind"], facts["target"])
	switch m := requestRE.FindStringSubmatch(message); {
	case m != nil:
		facts["problem"], facts["resource"], facts["container"] = "request", m[1], m[2]
	case strings.Contains(active.str("reason"), "Selector"):
		facts["problem"] = "selector"
	case apiAway.MatchString(message):
		if t.now.Sub(active.time("lastTransitionTime")) < served {
			return
		}
		facts["problem"], facts["api"] = "api", "metrics.k8s.io"
		switch active.str("reason") {
		case "FailedGetExternalMetric":
			facts["api"] = "external.metrics.k8s.io"
		case "FailedGetPodsMetric", "FailedGetObjectMetric":
			facts["api"] = "custom.metrics.k8s.io"
		}
	default:
		if t.now.Sub(active.time("lastTransitionTime")) < measured {
			return // the pods or their metrics may be new
		}
		facts["problem"] = "metrics"
	}
	tell(active)
}

// unrequested names the containers of an autoscaler's target that do not request the resources by whose utilization it scales.
func (t *telling) unrequested(h object, kind, name string) string {
	target := t.get(resourcesOf[kind], h.namespace(), name)
	var found []string
	h.each(func(m object) {
		resource := m.str("resource", "name")
		if resource == "" || m.str("resource", "target", "type") != "Utilization" {
			return
		}
		target.each(func(c object) {
			if !c.has("resources", "requests", resource) && !c.has("resources", "limits", resource) {
				found = append(found, c.str("name")+" ("+resource+")")
			}
		}, "spec", "template", "spec", "containers")
	}, "spec", "metrics")
	return join(found)
}

// load says how far a metric is above what an autoscaler keeps to.
func load(h object) string {
	want := map[string]float64{}
	h.each(func(m object) {
		want[m.str("resource", "name")] = m.num(0, "resource", "target", "averageUtilization")
	}, "spec", "metrics")
	text := ""
	h.each(func(m object) {
		name, is := m.str("resource", "name"), m.num(0, "resource", "current", "averageUtilization")
		if want[name] > 0 && is > want[name] && text == "" {
			text = fmt.Sprintf("%s is at %s %% of what is requested, and is to be at %s %%", name, strconv.Itoa(int(is)), strconv.Itoa(int(want[name])))
		}
	}, "status", "currentMetrics")
	return text
}
