package objects

import (
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

const (
	// Annotations by which ingresses and storage classes were chosen before there were fields for it.
	oldIngressClass     = "kubernetes.io/ingress.class"
	defaultIngressClass = "ingressclass.kubernetes.io/is-default-class"
	// byAnnotation is the port of a backend that is no service: the AWS load balancer controller reads from an annotation what to do.
	byAnnotation = "use-annotation"
)

// ingress tells of an ingress that names something that is not there. One finding is enough: the first thing that is wrong keeps
// it from working.
func (t *telling) ingress(i object) {
	if i.leaving() {
		t.overdue(entity.Ingress, i)
		return
	}
	if t.now.Sub(i.created()) < reconciled {
		return
	}
	facts := map[string]string{}
	for _, look := range []func(object, map[string]string){t.ingressClass, t.backends, t.tlsSecrets} {
		if look(i, facts); facts["problem"] != "" {
			t.state(entity.Named(entity.Ingress, i.namespace(), i.name()), signal.IngressBroken, i.created(), facts["text"], facts)
			return
		}
	}
}

// ingressClass looks for the class that says who serves an ingress.
func (t *telling) ingressClass(i object, facts map[string]string) {
	if !t.sees("ingressclasses", "") || i.has("metadata", "annotations", oldIngressClass) {
		return // the annotation names a controller, not an object
	}
	var have []string
	byDefault := false
	for _, c := range t.sorted("ingressclasses") {
		have = append(have, c.name())
		byDefault = byDefault || c.str("metadata", "annotations", defaultIngressClass) == "true"
	}
	class := i.str("spec", "ingressClassName")
	switch {
	case class != "" && !slices.Contains(have, class):
		facts["problem"], facts["class"], facts["text"] = "class", class, "there is no ingress class "+class
	case class == "" && !byDefault && !i.child("status", "loadBalancer").has("ingress") && t.now.Sub(i.created()) >= starting: // GKE's has no class, and takes minutes
		facts["problem"], facts["text"] = "no_class", "it names no ingress class, and there is no default"
	}
	facts["classes"] = join(have)
}

// backends looks for the services and ports that an ingress sends to.
func (t *telling) backends(i object, facts map[string]string) {
	look := func(host string, b object) {
		name := b.str("service", "name")
		if name == "" || facts["problem"] != "" || !t.sees("services", i.namespace()) || b.str("service", "port", "name") == byAnnotation {
			return
		}
		s := t.get("services", i.namespace(), name)
		if !s.ok {
			facts["problem"], facts["service"], facts["host"], facts["text"] = "service", name, host, "there is no service "+name
			facts["nearest"] = t.nearestService(i.namespace(), name)
			return
		}
		want, found := b.text("service", "port", "name"), false
		if want == "" {
			want = b.text("service", "port", "number")
		}
		var has []string
		s.each(func(p object) {
			found = found || p.str("name") == want || p.text("port") == want
			has = append(has, strings.TrimPrefix(p.str("name")+" ", " ")+p.text("port"))
		}, "spec", "ports")
		if found && t.dead[s.key()] {
			facts["problem"], facts["service"], facts["host"], facts["text"] = "endpoints", name, host, "service "+name+" has no ready pod"
			return
		}
		if !found && want != "" && s.str("spec", "type") != "ExternalName" {
			facts["problem"], facts["service"], facts["port"], facts["host"] = "port", name, want, host
			facts["has"], facts["text"] = join(has), "service "+name+" has no port "+want
		}
	}
	look("", i.child("spec", "defaultBackend"))
	i.each(func(r object) {
		r.each(func(p object) { look(r.str("host"), p.child("backend")) }, "http", "paths")
	}, "spec", "rules")
}

// tlsSecrets looks for the certificates that an ingress shows.
func (t *telling) tlsSecrets(i object, facts map[string]string) {
	i.each(func(tls object) {
		name := tls.str("secretName")
		if name == "" || facts["problem"] != "" || t.now.Sub(i.created()) < issued {
			return
		}
		if t.absent[Reference{"secrets", i.namespace(), name}] {
			facts["problem"], facts["secret"], facts["host"], facts["text"] = "secret", name, join(tls.texts("hosts")), "there is no secret "+name
		}
	}, "spec", "tls")
}

// issued is how long a certificate may take to be made: cert-manager and the like put it there after the ingress.
const issued = time.Minute

// nearestService is a service of a namespace whose name may have been meant.
func (t *telling) nearestService(namespace, name string) string {
	for _, s := range t.sorted("services") {
		if s.namespace() == namespace && resembles(s.name(), name) {
			return s.name()
		}
	}
	return ""
}
