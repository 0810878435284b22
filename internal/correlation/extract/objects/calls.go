package objects

import (
	"regexp"
	"strings"
)

// hostRE finds what is a host by what stands around it: a scheme or credentials before it, a port after it, or a command that
// takes a host.
var hostRE = regexp.MustCompile(strings.Join([]string{
	`\bchown\s+(?:-\S+\s+)*\S+`, // mysql:999 is an owner: read, and left out
	`(?:://(?:[^/@\s]*@)?|@)` + hostName,
	beforeCommand + `(?:curl|wget)\s+(?:[a-z]+://)?(?:[^/@\s]*@)?` + hostName,
	beforeCommand + `(?:nslookup|ping|host|getent hosts)\s+(?:-\S+\s+(?:\d+\s+)?)*` + hostName,
	`\b(?:psql|pg_isready|mysql|mysqladmin|mariadb|mariadb-admin|redis-cli|valkey-cli)\s(?:[^;|&\n]*\s)?-h\s*` + hostName,
	`(?:^|\s)--host[= ]` + hostName,
	`\blookup ` + hostName + `(?: on |:)`, // Go's word on a name that it cannot resolve
	`\b([a-z](?:[-a-z0-9.]*[a-z0-9])?):\d{2,5}\b`,
	`\b(?:nc|ncat|telnet)\s+(?:-\S+\s+)*(?:\d+\s+)?([a-z][-a-z0-9.]*[a-z0-9])`,
}, "|"))

const (
	hostName = `([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)`
	// beforeCommand keeps `host` apart from `hostname` and `wait-for-host`.
	beforeCommand = "(?:^|[\\s;&|(!'\"`])"
)

// hostVariable says by an environment variable's name that its value is a host.
var hostVariable = regexp.MustCompile(`(?:HOST|HOSTNAME|ADDR|ADDRESS|SERVER|ENDPOINT|SERVICE)$`)

// called are the services that a text names as hosts, seen from a namespace: `db`, `db.shop`, `db.shop.svc.cluster.local`. Only the
// names leave here, never the text.
func called(text, namespace string) []key {
	var found []key
	for _, m := range hostRE.FindAllStringSubmatch(text, maxCalls) {
		if k, ok := serviceOf(strings.Join(m[1:], ""), namespace); ok {
			found = append(found, k)
		}
	}
	return found
}

// maxCalls bounds the hosts that are read from one text.
const maxCalls = 32

// serviceOf is the service that a host name may mean.
func serviceOf(host, namespace string) (key, bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	switch {
	case parts[0] == "" || parts[0] == "localhost":
		return key{}, false
	case len(parts) == 1:
		return key{namespace, parts[0]}, true
	case len(parts) == 2, len(parts) > 2 && parts[2] == "svc":
		return key{parts[1], parts[0]}, true
	}
	return key{}, false
}

// calls are the services that a container's command, arguments and environment name.
func (c *Cluster) calls(container object, namespace string) []key {
	found := called(strings.Join(append(container.texts("command"), container.texts("args")...), " "), namespace)
	container.each(func(v object) {
		value := v.str("value")
		if hostVariable.MatchString(v.str("name")) && !strings.ContainsAny(value, ":/ ,") {
			if k, ok := serviceOf(value, namespace); ok && c.get("services", k.namespace, k.name).ok {
				found = append(found, k)
			}
			return
		}
		found = append(found, called(value, namespace)...)
	}, "env")
	return found
}

// lackedService is the first service that a container's command waits for and that is not there; `host` is as it is named there.
func (t *telling) lackedService(container object, namespace string) (key, bool) {
	for _, k := range called(strings.Join(append(container.texts("command"), container.texts("args")...), " "), namespace) {
		// A name with a dot may be a host of the world: it is a service only where its namespace is there.
		if k.namespace != namespace && !t.get("namespaces", "", k.namespace).ok {
			continue
		}
		if t.lacks("services", k.namespace, k.name) {
			return k, true
		}
	}
	return key{}, false
}

// upstream names the service that a container's last words are about, where that service is not there or has no ready pod.
func (t *telling) upstream(pod object, message string, facts map[string]string) {
	for _, k := range called(message, pod.namespace()) {
		if s := t.get("services", k.namespace, k.name); s.ok && t.deserted(k.namespace, k.name) || !s.ok && k.namespace == pod.namespace() && t.lacks("services", k.namespace, k.name) {
			facts["upstream"] = k.name
			if s.ok {
				facts["upstream_problem"] = "it has no ready pod"
			} else {
				facts["upstream_problem"] = "there is no such service"
			}
			return
		}
	}
}
