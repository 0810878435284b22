package objects

import (
	"cmp"
	"strings"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
)

// The Gateway API (gateway.networking.k8s.io) is served where its CRDs are installed. Its controllers say in conditions what they
// think of an object; what an object names and is not there is seen without them.

// gatewayClass tells of a class that no controller takes up.
func (t *telling) gatewayClass(g object) {
	if t.now.Sub(g.created()) >= patient {
		t.verdict(entity.GatewayClass, g, g, map[string]string{"controller": g.str("spec", "controllerName")}, "Accepted")
	}
}

// gateway tells of a gateway whose class is not there, or that its controller cannot make.
func (t *telling) gateway(g object) {
	if g.leaving() {
		t.overdue(entity.Gateway, g)
		return
	}
	if t.now.Sub(g.created()) < patient {
		return
	}
	class := g.str("spec", "gatewayClassName")
	if t.lacks("gatewayclasses", "", class) {
		var have []string
		for _, c := range t.sorted("gatewayclasses") {
			have = append(have, c.name())
		}
		t.misrouted(entity.Gateway, g, "there is no gateway class "+class, map[string]string{"problem": "class", "class": class, "has": join(have)})
		return
	}
	told := t.verdict(entity.Gateway, g, g, map[string]string{"class": class}, "Accepted")
	g.each(func(l object) { // a certificate that is not there is one listener's matter
		if !told {
			told = t.verdict(entity.Gateway, g, l, map[string]string{"class": class, "listener": l.str("name")}, "Accepted", "ResolvedRefs")
		}
	}, "status", "listeners")
	if !told {
		t.verdict(entity.Gateway, g, g, map[string]string{"class": class}, "Programmed")
	}
}

// route tells of a route whose gateway or service is not there, or that a gateway does not take.
func (t *telling) route(r object) {
	if r.leaving() {
		t.overdue(entity.HTTPRoute, r)
		return
	}
	if t.now.Sub(r.created()) < patient {
		return
	}
	told := false
	tell := func(text string, facts map[string]string) {
		if !told {
			told = true
			t.misrouted(entity.HTTPRoute, r, text, facts)
		}
	}
	r.each(func(p object) {
		namespace := cmp.Or(p.str("namespace"), r.namespace())
		if kind := p.str("kind"); (kind == "" || kind == "Gateway") && t.lacks("gateways", namespace, p.str("name")) {
			tell("there is no gateway "+p.str("name"), map[string]string{"problem": "gateway", "gateway": p.str("name")})
		}
	}, "spec", "parentRefs")
	r.each(func(rule object) {
		rule.each(func(b object) {
			if kind := b.str("kind"); kind != "" && kind != "Service" {
				return
			}
			namespace, name := cmp.Or(b.str("namespace"), r.namespace()), b.str("name")
			if s := t.get("services", namespace, name); t.lacks("services", namespace, name) {
				tell("there is no service "+name, map[string]string{"problem": "service", "service": name, "nearest": t.nearestService(namespace, name)})
			} else if t.dead[s.key()] && s.ok {
				tell("service "+name+" has no ready pod", map[string]string{"problem": "endpoints", "service": name})
			}
		}, "backendRefs")
	}, "spec", "rules")
	r.each(func(p object) {
		if !told {
			told = t.verdict(entity.HTTPRoute, r, p, map[string]string{"gateway": p.str("parentRef", "name")}, "Accepted", "ResolvedRefs")
		}
	}, "status", "parents")
}

func (t *telling) misrouted(kind entity.Kind, o object, text string, facts map[string]string) {
	t.state(entity.Named(kind, o.namespace(), o.name()), signal.GatewayBroken, o.created(), text, facts)
}

// verdict tells the first of some conditions, in a status or a part of it, that is not met.
func (t *telling) verdict(kind entity.Kind, o, part object, facts map[string]string, kinds ...string) bool {
	for _, want := range kinds {
		c := part.condition(want)
		if !c.ok {
			part.each(func(has object) {
				if has.str("type") == want {
					c = has
				}
			}, "conditions")
		}
		if !c.ok || c.str("status") == "True" || t.now.Sub(c.time("lastTransitionTime")) < patient {
			continue
		}
		facts["problem"], facts["condition"], facts["reason"] = "refused", want, c.str("reason")
		if c.str("status") == "Unknown" {
			facts["problem"] = "untaken"
		}
		facts["message"] = strings.TrimSuffix(brief(c.str("message")), ".")
		since := c.time("lastTransitionTime")
		if since.Before(o.created()) {
			since = o.created() // nobody has set it: the CRD has it be of 1970 at first
		}
		t.state(entity.Named(kind, o.namespace(), o.name()), signal.GatewayBroken, since, want+" is "+c.str("status")+": "+facts["message"], facts)
		return true
	}
	return false
}
