package objects

// byLabel are pods by each of their labels, in order of name: a cluster has thousands of pods and of selectors, and holding each against
// each takes seconds.
type byLabel map[label][]object

type label struct{ namespace, name, value string }

// index sorts pods, which are in order of name, by their labels.
func index(pods []object) byLabel {
	all := byLabel{}
	for _, pod := range pods {
		namespace := pod.namespace()
		for name, value := range pod.words("metadata", "labels") {
			l := label{namespace, name, value}
			all[l] = append(all[l], pod)
		}
	}
	return all
}

// with are the pods of a namespace that have all labels of a selector, which must not be empty.
func (all byLabel) with(namespace string, selector map[string]string) []object {
	var fewest []object
	first := true
	for name, value := range selector {
		if some := all[label{namespace, name, value}]; first || len(some) < len(fewest) {
			fewest, first = some, false
		}
	}
	var found []object
	for _, pod := range fewest {
		if matches(selector, pod) {
			found = append(found, pod)
		}
	}
	return found
}

// with are the pods of a namespace that have all labels of a selector.
func (t *telling) with(namespace string, selector map[string]string) []object {
	if t.labels == nil {
		t.labels = index(t.sorted("pods"))
	}
	return t.labels.with(namespace, selector)
}
