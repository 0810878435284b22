package objects

import (
	"regexp"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// refusedPods tells of pods that a StatefulSet, DaemonSet or Job could not make, by the latest event about it.
func (t *telling) refusedPods(o object, e entity.Entity) bool {
	failed := t.last(string(e.Kind), o, t.now.Add(-lately), "FailedCreate")
	if !failed.ok {
		return false
	}
	for _, pod := range t.pods(o.namespace()) {
		if pod.controller().str("name") == o.name() && pod.created().After(occurred(failed)) {
			return false // one was taken since
		}
	}
	t.refused(e, began(failed), said(failed))
	return true
}

// refusedBy tell from a part of a message why the API server takes no pod.
var refusedBy = problems{
	{"exceeded quota", "quota"}, {"failed quota", "quota_unspecified"}, {"failed calling webhook", "webhook"}, {"denied the request", "webhook_denied"},
	{"admission webhook", "webhook_denied"}, {"error looking up service account", "service_account"}, {"violates PodSecurity", "security"},
	{"unable to validate against any", "security"}, {"no PriorityClass with name", "priority_class"}, {"RuntimeClass", "runtime_class"},
	{"usage per Container is", "limit_range"}, {"usage per Pod is", "limit_range"}, {"request ratio per", "limit_range"}, {"usage per PersistentVolumeClaim is", "limit_range"},
	{"ValidatingAdmissionPolicy", "policy"}, {"is forbidden: User", "permission"}, {"cannot create resource", "permission"},
	{"because it is being terminated", "terminating"}, {"is invalid", "invalid"}, {"Invalid value", "invalid"},
}

var (
	quotaRE          = regexp.MustCompile(`(?:exceeded|failed) quota: ([^\s:,]+)(?:, requested: (.+?), used: (.+?), limited: (.+?)$|: must specify (.+?)$)?`)
	webhookRE        = regexp.MustCompile(`(?:failed calling|admission) webhook "([^"]+)"`)
	webhookServiceRE = regexp.MustCompile(`https://([^./\s"]+)\.([^./\s"]+)\.svc`)
	serviceAccountRE = regexp.MustCompile(`service account ([^/\s]+)/([^:\s]+):`)
	priorityRE       = regexp.MustCompile(`no PriorityClass with name (\S+) was found`)
	runtimeClassRE   = regexp.MustCompile(`RuntimeClass "([^"]+)" not found`)
	securityRE       = regexp.MustCompile(`violates PodSecurity "([^"]+)": (.+)$`)
)

// refused tells of pods that the API server does not take, and why.
func (t *telling) refused(e entity.Entity, since time.Time, message string) {
	facts := map[string]string{"message": brief(message), "problem": refusedBy.of(message)}
	switch facts["problem"] {
	case "quota", "quota_unspecified":
		if m := quotaRE.FindStringSubmatch(message); m != nil {
			facts["quota"], facts["requested"], facts["used"], facts["limited"], facts["unspecified"] = m[1], m[2], m[3], m[4], m[5]
		}
	case "webhook", "webhook_denied":
		facts["webhook"] = group(webhookRE, message)
		if m := webhookServiceRE.FindStringSubmatch(message); m != nil {
			facts["service"], facts["service_namespace"] = m[1], m[2]
		}
	case "service_account":
		if m := serviceAccountRE.FindStringSubmatch(message); m != nil {
			facts["service_account"] = m[2]
		}
	case "priority_class":
		facts["class"] = group(priorityRE, message)
	case "runtime_class":
		facts["class"] = group(runtimeClassRE, message)
	case "security":
		if m := securityRE.FindStringSubmatch(message); m != nil {
			facts["level"], facts["rules"] = m[1], brief(m[2])
		}
	case "terminating":
		return // its namespace is being deleted
	}
	facts["message"] = strings.TrimSuffix(facts["message"], ".")
	t.state(e, signal.PodsRefused, since, "the API server refuses its pods: "+facts["message"], facts)
}
