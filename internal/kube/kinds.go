package kube

import "k8s.io/apimachinery/pkg/runtime/schema"

// Kind is a kind of objects that says something about what is wrong.
type Kind struct {
	schema.GroupVersionResource
	// Namespaced says that its objects are in namespaces.
	Namespaced bool
	// Fields are field selectors of which each is to be listed; empty: all objects.
	Fields []string
}

// Kinds are those that are looked at.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i, k := range kinds {
		all[i] = Kind{GroupVersionResource: k.GroupVersionResource, Namespaced: !k.everywhere, Fields: k.fields}
	}
	return all
}
