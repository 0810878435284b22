package objects

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8slabels "k8s.io/apimachinery/pkg/labels"
)

// selector reads a label selector with matchLabels and matchExpressions. One that is not there, or is not valid, selects nothing;
// one that is empty selects everything.
func selector(o object) k8slabels.Selector {
	if !o.ok {
		return k8slabels.Nothing()
	}
	s := metav1.LabelSelector{MatchLabels: o.words("matchLabels")}
	o.each(func(e object) {
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: e.str("key"),
			Operator: metav1.LabelSelectorOperator(e.str("operator")), Values: e.texts("values")})
	}, "matchExpressions")
	parsed, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		return k8slabels.Nothing()
	}
	return parsed
}

// labelled says whether a selector fits an object's labels.
func labelled(s k8slabels.Selector, o object) bool {
	return s.Matches(k8slabels.Set(o.words("metadata", "labels")))
}

// selected are the pods of a namespace that a selector fits and that are neither over nor being deleted, in order of name.
func (t *telling) selected(namespace string, by object) []object {
	all, s := t.pods(namespace), selector(by)
	if exact := by.words("matchLabels"); len(exact) > 0 {
		all = t.with(namespace, exact)
	}
	var found []object
	for _, pod := range all {
		if !over(pod) && !pod.leaving() && labelled(s, pod) {
			found = append(found, pod)
		}
	}
	return found
}

// over says whether all containers of a pod have ended for good.
func over(pod object) bool {
	phase := pod.str("status", "phase")
	return phase == "Succeeded" || phase == "Failed"
}

// readyPod says whether a pod is ready.
func readyPod(pod object) bool { return pod.condition("Ready").str("status") == "True" }
