package objects

import (
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

func (t *telling) validating(w object) { t.webhooks(entity.ValidatingWebhook, w) }
func (t *telling) mutating(w object)   { t.webhooks(entity.MutatingWebhook, w) }

// webhooks tells of an admission webhook that nobody can answer: where its failure is to refuse (Fail, the default), the API server
// takes none of the objects that it is asked about.
func (t *telling) webhooks(kind entity.Kind, config object) {
	if config.leaving() || t.now.Sub(config.created()) < reconciled {
		return
	}
	told := false
	config.each(func(w object) {
		if told {
			return
		}
		facts := map[string]string{"webhook": w.str("name"), "policy": w.str("failurePolicy"), "concerns": concerns(w)}
		s := w.child("clientConfig", "service")
		facts["service"], facts["service_namespace"] = s.str("name"), s.str("namespace")
		text := ""
		switch {
		case s.ok && t.lacks("services", s.str("namespace"), s.str("name")):
			facts["problem"], text = "service", "its service "+s.str("namespace")+"/"+s.str("name")+" does not exist"
		case s.ok && t.deserted(s.str("namespace"), s.str("name")):
			facts["problem"], text = "endpoints", "no pod of its service "+s.str("namespace")+"/"+s.str("name")+" is ready"
		case expired(w.bytes("clientConfig", "caBundle"), t.now):
			facts["problem"], text = "certificate", "the certificate authority in its caBundle has expired"
		default:
			return
		}
		told = true
		t.state(entity.Named(kind, "", config.name()), signal.WebhookAway, config.created(), text, facts)
	}, "webhooks")
}

// deserted says whether a service that pods should answer for has had none that is ready for a while.
func (t *telling) deserted(namespace, name string) bool {
	s := t.get("services", namespace, name)
	wants := s.words("spec", "selector")
	if len(wants) == 0 || !t.sees("pods", namespace) {
		return false
	}
	for _, pod := range t.with(namespace, wants) {
		if readyPod(pod) || t.now.Sub(pod.created()) < starting && pod.str("status", "phase") != "Failed" {
			return false
		}
	}
	return true
}

// concerns says what a webhook is asked about.
func concerns(w object) string {
	var all []string
	w.each(func(r object) { all = append(all, r.texts("resources")...) }, "rules")
	return join(all)
}

// apiService tells of a part of the API that an extension should serve and does not: metrics, for example.
func (t *telling) apiService(a object) {
	c := a.condition("Available")
	since := c.time("lastTransitionTime")
	if c.str("status") != "False" || a.leaving() || t.now.Sub(since) < patient {
		return
	}
	facts := map[string]string{"group": a.str("spec", "group"), "version": a.str("spec", "version"), "reason": c.str("reason"), "message": brief(c.str("message")),
		"service": a.str("spec", "service", "name"), "service_namespace": a.str("spec", "service", "namespace")}
	t.state(entity.Named(entity.APIService, "", a.name()), signal.APIAway, since, "the API server: "+facts["message"], facts)
}
