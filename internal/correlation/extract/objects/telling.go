package objects

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

// tellers say what is wrong with the objects of each resource.
var tellers = []struct {
	resource string
	tell     func(*telling, object)
}{
	{"nodes", (*telling).node}, {"persistentvolumeclaims", (*telling).claim}, {"persistentvolumes", (*telling).volume}, {"pods", (*telling).pod},
	{"deployments", (*telling).deployment}, {"replicasets", (*telling).replicaSet}, {"statefulsets", (*telling).statefulSet},
	{"daemonsets", (*telling).daemonSet}, {"jobs", (*telling).job}, {"cronjobs", (*telling).cronJob}, {"services", (*telling).service},
	{"horizontalpodautoscalers", (*telling).autoscaler}, {"poddisruptionbudgets", (*telling).budget}, {"ingresses", (*telling).ingress},
	{"networkpolicies", (*telling).policy}, {"validatingwebhookconfigurations", (*telling).validating}, {"mutatingwebhookconfigurations", (*telling).mutating},
	{"apiservices", (*telling).apiService}, {"namespaces", (*telling).namespace}, {"certificatesigningrequests", (*telling).certificateRequest},
	{"secrets", (*telling).certificate},
	{"gatewayclasses", (*telling).gatewayClass}, {"gateways", (*telling).gateway}, {"httproutes", (*telling).route},
}

// Signals calls visit for everything that the objects tell at a time. What is well tells nothing.
func (c *Cluster) Signals(now time.Time, visit func(signal.Batch)) {
	t := &telling{Cluster: c, now: now, visit: visit, dead: map[key]bool{}, answering: map[key]object{}, ordered: map[string][]object{},
		refusal: map[string]map[string]string{}, changes: map[key]change{}, stillSelecting: map[key]time.Time{}, budgets: map[key]string{}}
	for _, part := range tellers {
		for _, o := range t.sorted(part.resource) {
			part.tell(t, o)
		}
	}
	t.capacity()
	c.selecting = t.stillSelecting
}

// sorted are a resource's objects in order of name, so that what is told comes in the same order each time.
func (c *Cluster) sorted(resource string) []object {
	of := c.kinds[resource]
	keys := slices.SortedFunc(maps.Keys(of), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	all := make([]object, len(keys))
	for i, k := range keys {
		all[i] = of[k]
	}
	return all
}

// telling is one pass over a cluster's objects.
type telling struct {
	*Cluster
	now   time.Time
	visit func(signal.Batch)
	// bySpace are the pods by namespace, made when a service asks.
	bySpace map[string][]object
	// labels are the pods by label, made likewise.
	labels byLabel
	// dead are the services that have no pod that is ready, and should.
	dead map[key]bool
	// stillSelecting is selecting as it is after this pass.
	stillSelecting map[key]time.Time
	// calling are the pods that name a service as their host, made when a network policy asks.
	calling map[key][]object
	// budgets name a disruption budget of each pod that has one.
	budgets map[key]string
	// displaced are the events of pods that were ended for others, by what their names begin with, made when one is asked for.
	displaced map[key][]object
	// answering is a pod of each service that was asked for.
	answering map[key]object
	// ordered are the objects of a resource in order of name, refusal why the nodes do not take the pods of a controller, changes what the
	// latest revision of a Deployment changed, alike how many pods of a namespace have the same labels: each found out once.
	ordered map[string][]object
	refusal map[string]map[string]string
	changes map[key]change
	alike   map[string]int
	// byOwner are the ReplicaSets of each Deployment, made when they are asked for.
	byOwner map[key][]object
}

// sorted is as that of the cluster, and sorts once.
func (t *telling) sorted(resource string) []object {
	all, known := t.ordered[resource]
	if !known {
		all = t.Cluster.sorted(resource)
		t.ordered[resource] = all
	}
	return all
}

// timesLately is how often an event happened lately. One that goes on counts from its beginning: how many of these times were lately, its
// average says; the last one was.
func (t *telling) timesLately(ev object) float64 {
	went := t.now.Sub(began(ev))
	if went <= lately {
		return times(ev)
	}
	return max(1, math.Round(times(ev)*lately.Seconds()/went.Seconds()))
}

// state tells a state that holds since a time.
func (t *telling) state(e entity.Entity, kind string, since time.Time, text string, facts map[string]string) {
	held := 0.0
	if !since.IsZero() && since.Before(t.now) {
		held = t.now.Sub(since).Seconds()
	}
	t.reading(e, kind, held, "s", since, text, facts)
}

func (t *telling) reading(e entity.Entity, kind string, value float64, unit string, since time.Time, text string, facts map[string]string) {
	t.visit(signal.Batch{Entity: e, Signals: []signal.Signal{{Time: t.now, Kind: kind, Layer: finding.LayerKubernetes, Entity: e.ID,
		Shape: signal.Gauge, Value: value, Unit: unit, Start: since, Text: text, Attributes: facts}}})
}

// event tells what an event of Kubernetes says. That may grow, and is told under the same name then.
func (t *telling) event(e entity.Entity, kind string, said object, text string, facts map[string]string) {
	at := occurred(said)
	if at.After(t.now) {
		at = t.now // the clocks of a cluster differ a little
	}
	t.visit(signal.Batch{Entity: e, Signals: []signal.Signal{{Time: at, Kind: kind, Layer: finding.LayerKubernetes, Entity: e.ID,
		Shape: signal.Event, Value: times(said), Unit: "{event}", ID: said.uid(), Text: text, Attributes: facts}}})
}
