package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// page is how many objects are asked for at a time; it is kubectl's own number.
	page = 500
	// atOnce bounds the requests under way.
	atOnce = 6
)

// kind is a kind of objects that is looked at.
type kind struct {
	schema.GroupVersionResource
	// everywhere says that its objects are in no namespace.
	everywhere bool
	// fields are field selectors of which each is listed; empty: all objects.
	fields []string
}

// told are the events that say something: most tell of what went as it should, and are not even sent.
var told = []string{"type!=Normal", "type=Normal,reason=Killing", "type=Normal,involvedObject.kind=PersistentVolumeClaim",
	"type=Normal,involvedObject.kind=Node"}

// kinds are those that are looked at, the largest first.
var kinds = []kind{
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "pods"}},
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "events"}, fields: told},
	{GroupVersionResource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}},
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "services"}},
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}},
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingressclasses"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Group: "certificates.k8s.io", Version: "v1", Resource: "certificatesigningrequests"}, everywhere: true},
}

// listing is what came of listing one kind.
type listing struct {
	kind kind
	err  error
}

// list calls see with every page of every kind; namespace "" is all of them. see is called by one goroutine at a time. What one
// kind fails with is in its listing.
func (c *Client) list(ctx context.Context, namespace string, see func(kind, *unstructured.UnstructuredList)) []listing {
	results := make([]listing, len(kinds))
	var group sync.WaitGroup
	var seeing sync.Mutex
	slots := make(chan struct{}, atOnce)
	for i, k := range kinds {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = listing{k, c.pages(ctx, k, namespace, func(l *unstructured.UnstructuredList) {
				seeing.Lock()
				defer seeing.Unlock()
				see(k, l)
			})}
		})
	}
	group.Wait()
	return results
}

func (c *Client) pages(ctx context.Context, k kind, namespace string, see func(*unstructured.UnstructuredList)) error {
	if len(k.fields) == 0 {
		return c.selected(ctx, k, namespace, "", see)
	}
	for _, fields := range k.fields {
		if err := c.selected(ctx, k, namespace, fields, see); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) selected(ctx context.Context, k kind, namespace, fields string, see func(*unstructured.UnstructuredList)) error {
	r := c.api.Resource(k.GroupVersionResource)
	options := metav1.ListOptions{Limit: page, FieldSelector: fields}
	for {
		var l *unstructured.UnstructuredList
		var err error
		if k.everywhere || namespace == "" {
			l, err = r.List(ctx, options)
		} else {
			l, err = r.Namespace(namespace).List(ctx, options)
		}
		if apierrors.IsResourceExpired(err) && options.Continue != "" {
			options = metav1.ListOptions{FieldSelector: fields} // it took too long: all at once; what was seen before is seen again
			continue
		}
		if err != nil {
			return err
		}
		see(l)
		if options.Continue = l.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

// reached reports why the cluster could not be looked at at all; nil when some kind could be listed.
func (c *Client) reached(all []listing) error {
	if slices.ContainsFunc(all, func(l listing) bool { return l.err == nil }) {
		return nil
	}
	for _, l := range all {
		var status apierrors.APIStatus
		switch {
		case errors.Is(l.err, context.Canceled):
			return l.err
		case apierrors.IsUnauthorized(l.err):
			return fmt.Errorf("%s does not know who asks (401): the credentials in the kubeconfig are wrong or expired", c)
		case !errors.As(l.err, &status):
			return fmt.Errorf("cannot reach %s: %w", c, l.err)
		}
	}
	return fmt.Errorf("%s lets you list nothing: %w", c, all[0].err)
}

// refusal says in words why a kind could not be listed.
func refusal(k kind, namespace string, err error) string {
	where := ""
	if namespace != "" && !k.everywhere {
		where = " in namespace " + namespace
	}
	if apierrors.IsForbidden(err) {
		return fmt.Sprintf("you may not list %s%s", k.Resource, where)
	}
	return fmt.Sprintf("cannot list %s%s: %v", k.Resource, where, err)
}
