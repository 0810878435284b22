package objects

import (
	"maps"
	"slices"
	"strings"
)

// Reference is an object that another one refers to.
type Reference struct {
	// Resource is `configmaps` or `secrets`.
	Resource, Namespace, Name string
}

// resources are those of kinds that pods refer to.
var resources = map[string]string{"ConfigMap": "configmaps", "Secret": "secrets"}

// missing reads from a message of the kubelet what is not there: a ConfigMap, a Secret, or a key in one. `has` names the keys
// that there are, where the object is known; values are never read.
func (c *Cluster) missing(namespace, message string) map[string]string {
	facts := map[string]string{"message": brief(message)}
	switch {
	case keyRE.MatchString(message):
		m := keyRE.FindStringSubmatch(message)
		facts["problem"], facts["key"], facts["object_kind"], facts["object"] = "key", m[1], m[2], strings.TrimRight(m[4], `",.`)
	case volumeKeyRE.MatchString(message):
		m := volumeKeyRE.FindStringSubmatch(message)
		facts["problem"], facts["key"] = "key", m[3]
		facts["object_kind"] = map[string]string{"config": "ConfigMap", "secret": "Secret"}[m[2]]
	case notFoundRE.MatchString(message):
		m := notFoundRE.FindStringSubmatch(message)
		facts["problem"], facts["object"] = "object", m[2]
		facts["object_kind"] = map[string]string{"configmap": "ConfigMap", "secret": "Secret", "serviceaccount": "ServiceAccount",
			"persistentvolumeclaim": "PersistentVolumeClaim"}[m[1]]
	case registeredRE.MatchString(message):
		facts["object"] = group(registeredRE, message)
	case strings.Contains(message, "runAsNonRoot"):
		facts["problem"] = "root"
	}
	if facts["key"] != "" && facts["object"] != "" {
		if o, known := c.kinds[resources[facts["object_kind"]]][key{namespace, facts["object"]}]; known {
			facts["has"] = join(keys(o))
		}
	}
	return facts
}

// keys are the names of the keys of a ConfigMap or Secret.
func keys(o object) []string {
	all := map[string]bool{}
	for _, field := range []string{"data", "binaryData", "stringData"} {
		for k := range o.words(field) {
			all[k] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Wanted are the ConfigMaps and Secrets that would tell more: those in which a pod looks for a key that is not there, for the names
// of the keys there are; the certificates that ingresses show, for when they end; and the ConfigMaps of containers that fail, for
// when they were changed.
func (c *Cluster) Wanted() []Reference {
	found := map[Reference]bool{}
	for _, i := range c.kinds["ingresses"] {
		i.each(func(tls object) {
			if name := tls.str("secretName"); name != "" {
				found[Reference{"secrets", i.namespace(), name}] = true
			}
		}, "spec", "tls")
	}
	for _, pod := range c.kinds["pods"] {
		look := func(message string) {
			if f := c.missing(pod.namespace(), message); f["problem"] == "key" && f["object"] != "" && resources[f["object_kind"]] != "" {
				found[Reference{resources[f["object_kind"]], pod.namespace(), f["object"]}] = true
			}
		}
		for _, list := range []string{"containerStatuses", "initContainerStatuses"} {
			pod.each(func(s object) {
				if w := s.child("state", "waiting"); w.str("reason") == "CreateContainerConfigError" {
					look(w.str("message"))
				}
				if s.num(0, "restartCount") == 0 || s.yes("ready") && s.str("state", "waiting", "reason") == "" {
					return
				}
				for _, r := range reads(pod) {
					if r.Resource == "configmaps" { // a Secret's time is not worth asking for its values
						found[r] = true
					}
				}
			}, "status", list)
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b Reference) int {
		return strings.Compare(a.Resource+"/"+a.Namespace+"/"+a.Name, b.Resource+"/"+b.Namespace+"/"+b.Name)
	})
}
