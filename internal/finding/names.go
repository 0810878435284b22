package finding

import "strings"

// shortNames are kubectl's short names of kinds.
var shortNames = map[string]string{"po": "pod", "deploy": "deployment", "rs": "replicaset", "sts": "statefulset", "ds": "daemonset", "svc": "service",
	"no": "node", "pvc": "persistentvolumeclaim", "pv": "persistentvolume", "cj": "cronjob", "ing": "ingress", "hpa": "horizontalpodautoscaler",
	"pdb": "poddisruptionbudget", "ns": "namespace", "netpol": "networkpolicy", "csr": "certificatesigningrequest"}

// kubeKinds are what Kubernetes calls the kinds that have another name here: who names a pod means its containers as well.
var kubeKinds = map[string]string{"Container": "pod", "Volume": "persistentvolumeclaim"}

// Is says whether somebody who gives a name means the entity, or something that belongs to the workload of that name: by name,
// container, UID, pod/container, or kind/name as kubectl has it ("deployment/api", "deploy/api", "pods/api-1", "deployments.apps/api").
func (e *Entity) Is(name string) bool {
	if name == "" {
		return false
	}
	if name == e.Name || name == e.UID || name == e.Container || e.Owner != nil && name == e.Owner.Name {
		return true
	}
	first, last, parted := strings.Cut(name, "/")
	switch {
	case !parted || last == "":
		return false
	case first == e.Name && last == e.Container:
		return true
	}
	return last == e.Name && isKind(first, e.Kind) || e.Owner != nil && last == e.Owner.Name && isKind(first, e.Owner.Kind)
}

// isKind says whether somebody means a kind: by its name, its plural, or its short name, with or without the API group.
func isKind(given, kind string) bool {
	given, _, _ = strings.Cut(strings.ToLower(given), ".")
	if long := shortNames[given]; long != "" {
		given = long
	}
	for _, one := range []string{strings.ToLower(kind), kubeKinds[kind]} {
		if one != "" && (given == one || given == plural(one)) {
			return true
		}
	}
	return false
}

// plural is that of a kind, as Kubernetes makes it for the names of resources.
func plural(kind string) string {
	switch stem, ends := strings.CutSuffix(kind, "y"); {
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	case ends && !strings.HasSuffix(stem, "a"): // policies, but gateways
		return stem + "ies"
	}
	return kind + "s"
}
