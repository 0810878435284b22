package objects

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/your-org/tapio/internal/finding"
)

var (
	// "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: …" (kube-scheduler,
	// pkg/scheduler/framework/types.go, FitError).
	availableRE = regexp.MustCompile(`^0/(\d+) nodes are available: `)
	reasonRE    = regexp.MustCompile(`^(\d+) (.+)$`)
	taintRE     = regexp.MustCompile(`untolerated taint\(?s?\)? ?\{([^}]*)\}`)
)

// refusals are the scheduler's reasons by a part of their words. The first that fits is it.
var refusals = []struct{ part, problem string }{
	{"Insufficient cpu", "cpu"}, {"Insufficient memory", "memory"}, {"Insufficient ", "resource"}, {"Too many pods", "resource"},
	{"untolerated taint {node.kubernetes.io/not-ready", "unready"}, {"untolerated taint {node.kubernetes.io/unreachable", "unready"},
	{"untolerated taint {node.kubernetes.io/unschedulable", "cordoned"}, {"were unschedulable", "cordoned"},
	{"untolerated taint", "taint"}, {"node affinity/selector", "selector"}, {"anti-affinity", "affinity"}, {"pod affinity", "affinity"},
	{"topology spread", "affinity"}, {"free ports", "ports"}, {"PersistentVolumeClaim", "volume"}, {"persistentvolumeclaim", "volume"},
	{"volume node affinity", "volume"}, {"persistent volumes to bind", "volume"}, {"max volume count", "volume"}, {"volume zone", "volume"},
	{"PersistentVolume's node affinity", "volume"}, {`plugin "VolumeBinding"`, "volume"}, {"enough free storage", "volume"}, {"pvc(s) bound to non-existent pv(s)", "volume"},
	{"cannot allocate all claims", "resource"}, {"requested node name", "selector"},
}

// aside puts nodes that are kept for others, or not asked for, behind all other reasons, however many they are.
const aside = 1 << 20

// unschedulable reads why the scheduler found no node.
func unschedulable(message string) map[string]string {
	facts := map[string]string{}
	main, _, _ := strings.Cut(message, " preemption:")
	main = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(main), ". not found"), ".") // 1.37 ends so when a claim is not bound
	facts["message"] = brief(main)
	if m := availableRE.FindStringSubmatch(main); m != nil {
		facts["nodes"] = m[1]
		main = main[len(m[0]):]
	}
	counts := map[string]int{}
	for _, part := range strings.Split(main, ", ") {
		n, text := 1, part
		if m := reasonRE.FindStringSubmatch(part); m != nil {
			n, _ = strconv.Atoi(m[1])
			text = m[2]
		} else if facts["nodes"] != "" {
			n, _ = strconv.Atoi(facts["nodes"])
		}
		for _, r := range refusals {
			if strings.Contains(text, r.part) {
				counts[r.problem] += n
				break
			}
		}
	}
	if strings.Contains(main, "no nodes available") {
		facts["nodes"], facts["problem"] = "0", "none"
	}
	most := 0
	for _, problem := range slices.Sorted(maps.Keys(counts)) {
		facts[problem] = strconv.Itoa(counts[problem])
		n := counts[problem]
		if problem == "taint" || problem == "selector" {
			n -= aside // these nodes are not meant for it: why not the others
		}
		if most == 0 || n > most {
			most, facts["problem"] = n, problem
		}
	}
	if taint := group(taintRE, main); taint != "" {
		facts["taints"] = strings.TrimSuffix(strings.TrimSpace(taint), ":")
	}
	return facts
}

// wanted is the node selector of a pod in words.
func wanted(pod object) string {
	return labels(pod.words("spec", "nodeSelector"))
}

// labels writes labels as kubectl does: a=b,c=d.
func labels(all map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return strings.Join(out, ",")
}

// quantity reads an amount as the API writes it: 500m, 1Gi. It is 0 where there is none.
func quantity(o object, path ...string) float64 {
	v, ok := o.value(path...)
	if !ok {
		return 0
	}
	return v.quantity()
}

// amount writes an amount for people.
func amount(resource string, v float64) string {
	if resource == "memory" {
		return finding.FormatBytes(v)
	}
	return strconv.FormatFloat(v, 'f', -1, 64) + " CPU"
}
