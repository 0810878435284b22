package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
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

// routine are reasons of events that tell of what went as it should. They are most of all events, and are not even sent. (The API
// server reads all events for each list, so that one list without these costs less than one for each reason that is wanted.)
var routine = []string{"Pulling", "Pulled", "Created", "Started", "Scheduled", "SuccessfulCreate", "SuccessfulDelete", "SuccessfulMountVolume",
	"ScalingReplicaSet", "SawCompletedJob", "Completed", "LeaderElection", "NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"}

// kinds are those that are looked at, the largest first.
var kinds = []kind{
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "pods"}},
	{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "events"}, fields: []string{"reason!=" + strings.Join(routine, ",reason!=")}},
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
	{GroupVersionResource: schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}, everywhere: true},
	{GroupVersionResource: schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}},
	{GroupVersionResource: schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}},
}

// listing is what came of listing one kind.
type listing struct {
	kind kind
	err  error
}

// list takes every object of every kind into view. What one kind fails with is in its listing. told hears how far it is.
func (c *Client) list(ctx context.Context, s *sight, told func(Progress)) []listing {
	results := make([]listing, len(kinds))
	progress := Progress{Of: len(kinds)}
	if told == nil {
		told = func(Progress) {}
	}
	var group sync.WaitGroup
	var seeing sync.Mutex
	answered := false
	var silent error // nothing was answered in the time that there is for an answer
	slots := make(chan struct{}, atOnce)
	for i, k := range kinds {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			seeing.Lock()
			given := silent
			seeing.Unlock()
			if given != nil { // nobody has to wait as long for each other kind
				results[i] = listing{k, given}
				return
			}
			results[i] = listing{k, c.pages(ctx, k, s.namespace, func(o runtime.Object) error {
				seeing.Lock()
				defer seeing.Unlock()
				s.view.Take(k.Resource, slim(o))
				if progress.Objects++; progress.Objects%page == 0 {
					told(progress)
				}
				return nil
			})}
			seeing.Lock()
			defer seeing.Unlock()
			switch err := results[i].err; {
			case !errors.Is(err, context.DeadlineExceeded):
				answered, silent = true, nil
			case !answered:
				silent = err
			}
			progress.Kinds++
			told(progress)
		})
	}
	group.Wait()
	return results
}

// pages calls see with every object of a kind. The next page is asked for meanwhile.
func (c *Client) pages(ctx context.Context, k kind, namespace string, see func(runtime.Object) error) error {
	ask := func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		return c.request(k, namespace, o).Do(ctx).Get()
	}
	next := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		l, err := ask(ctx, o)
		if apierrors.IsResourceExpired(err) && o.Continue != "" { // it took too long: all at once; what was seen before is seen again
			return ask(ctx, metav1.ListOptions{FieldSelector: o.FieldSelector})
		}
		return l, err
	})
	next.PageSize, next.PageBufferSize = page, 1
	for _, fields := range orOne(k.fields) {
		if err := next.EachListItem(ctx, metav1.ListOptions{FieldSelector: fields}, see); err != nil {
			return err
		}
	}
	return nil
}

// request asks for a list of a kind.
func (c *Client) request(k kind, namespace string, o metav1.ListOptions) *rest.Request {
	root := "/apis/" + k.Group
	if k.Group == "" {
		root = "/api"
	}
	path := []string{root, k.Version}
	if namespace != "" && !k.everywhere {
		path = append(path, "namespaces", namespace)
	}
	r := c.api.Get().AbsPath(append(path, k.Resource)...).VersionedParams(&o, metav1.ParameterCodec)
	if !c.types.IsVersionRegistered(k.GroupVersion()) {
		r.SetHeader("Accept", "application/json")
	}
	return r
}

// orOne is a list, or one empty text where it is empty.
func orOne(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
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
		case errors.Is(l.err, context.DeadlineExceeded):
			return fmt.Errorf("%s did not answer within %s: it is overloaded, or something on the way drops the packets (--request-timeout waits longer)", c, c.timeout)
		case !errors.As(l.err, &status):
			return fmt.Errorf("cannot reach %s: %s", c, reason(l.err))
		}
	}
	lists := "lists nothing"
	if apierrors.IsForbidden(all[0].err) {
		lists = "lets you list nothing"
	}
	return fmt.Errorf("%s %s: %s", c, lists, reason(all[0].err))
}

// reason is why a kind cannot be seen, without what is different for each kind: the address that was asked for it.
func reason(err error) string {
	var asked *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &asked):
		return asked.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "failed to list <unspecified>: ") // a reflector's words
}

// refusals say in words which kinds could not be listed or watched, and why. What several have in common is said once. A kind that the
// cluster does not have is none of them.
func refusals(all []listing, namespace string) []string {
	kinds := map[[2]string][]string{} // by what is said before and after them
	for _, l := range all {
		if l.err == nil || apierrors.IsNotFound(l.err) {
			continue
		}
		verb, where, why := "list ", "", ": "+reason(l.err)
		if strings.Contains(l.err.Error(), "cannot watch resource") {
			verb = "watch "
		}
		if namespace != "" && !l.kind.everywhere {
			where = " in namespace " + namespace
		}
		said := [2]string{"cannot " + verb, where + why}
		if apierrors.IsForbidden(l.err) {
			said = [2]string{"you may not " + verb, where}
		}
		if !slices.Contains(kinds[said], l.kind.Resource) {
			kinds[said] = append(kinds[said], l.kind.Resource)
		}
	}
	var out []string
	for said, names := range kinds {
		out = append(out, said[0]+strings.Join(names, ", ")+said[1])
	}
	slices.Sort(out)
	return out
}
