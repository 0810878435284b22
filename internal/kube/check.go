package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/causes"
	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/patterns"
)

// maxReferences bounds the ConfigMaps and Secrets that are asked for by name.
const maxReferences = 50

// Query chooses what of the cluster is reported.
type Query struct {
	// Namespace is one namespace; empty: that of the context or, where that names none or All is set, all.
	Namespace string
	All       bool
	// Entity is a name, or kind/name as kubectl has it; empty: everything.
	Entity string
	// Selector is a label selector of pods, workloads and services; empty: everything.
	Selector string
}

// Check looks at the cluster once.
func (c *Client) Check(ctx context.Context, q Query, now time.Time) (finding.Report, error) {
	selector, err := labels.Parse(q.Selector)
	if err != nil {
		return finding.Report{}, fmt.Errorf("--selector is %q: %w", q.Selector, err)
	}
	view, coverage, err := c.look(ctx, q, now)
	if err != nil {
		return finding.Report{}, err
	}
	known, err := pattern.Load(patterns.Files)
	if err != nil {
		return finding.Report{}, fmt.Errorf("load the patterns: %w", err)
	}
	engine, err := correlation.New(correlation.Settings{Patterns: known, MaxEntities: 100_000, MaxFindings: 100_000,
		EntityTTL: 24 * time.Hour, Retention: time.Hour, Refresh: time.Hour})
	if err != nil {
		return finding.Report{}, err
	}
	view.Signals(now, func(b signal.Batch) { engine.Observe(now, b) })
	wanted := wanted{query: q, view: view, selector: selector}
	all := engine.Evaluate(now)
	var found []finding.Finding // of what was asked for
	ids := map[string]bool{}
	for i, f := range all {
		all[i].FirstSeen = since(f)
		if wanted.is(f.Entity) {
			found, ids[f.ID] = append(found, f), true
		}
	}
	report := finding.Report{APIVersion: finding.APIVersion, GeneratedAt: now.UTC(), Source: finding.SourceAPIServer, Coverage: coverage}
	counts := view.Counts(func(kind, namespace, name string) bool {
		return wanted.is(finding.Entity{Kind: kind, Namespace: namespace, Name: name})
	})
	report.Watched = map[string]int{"Pod": counts.Pods}
	report.Ready = map[string]finding.Ready{"Deployment": {Available: counts.Available, Total: counts.Deployments}}
	report.Summary = summary(counts.Pods, found, view)
	// The cause of what was asked for may lie elsewhere.
	report.Findings = slices.DeleteFunc(causes.Fold(all, view.Links(), known), func(f finding.Finding) bool {
		return !ids[f.ID] && !slices.ContainsFunc(f.Effects, func(id string) bool { return ids[id] })
	})
	finding.Sort(report.Findings)
	for _, l := range engine.Status(now).Coverage {
		if l.Layer != finding.LayerKubernetes {
			report.Coverage = append(report.Coverage, l)
		}
	}
	return report, nil
}

// since is when what a finding tells began, by its evidence.
func since(f finding.Finding) time.Time {
	at := f.FirstSeen
	for _, e := range f.Evidence {
		if e.Time.Before(at) && !e.Time.IsZero() {
			at = e.Time
		}
	}
	return at
}

// summary counts pods by the worst that was found of each, before what has one cause is folded into one.
func summary(pods int, found []finding.Finding, view *objects.Cluster) finding.Summary {
	t, affected := finding.Tally{}, map[string]bool{}
	for _, f := range found {
		if f.Entity.Kind == "Container" {
			f.Entity.Kind, f.Entity.Container = "Pod", ""
		}
		if f.Entity.Kind == "Pod" && f.Severity != finding.Info && view.Alive(f.Entity.Namespace, f.Entity.Name) {
			affected[f.Entity.UID] = true
		}
		t.Add(&f)
	}
	s := t.Summary(nil)
	s.Healthy = max(pods-len(affected), 0)
	return s
}

// look lists what may be listed, and asks for what else is needed.
func (c *Client) look(ctx context.Context, q Query, now time.Time) (*objects.Cluster, []finding.Coverage, error) {
	namespace := q.Namespace
	if namespace == "" && !q.All {
		namespace = c.namespace
	}
	view := objects.New()
	var unread error
	observe := func(resource string, list []unstructured.Unstructured) {
		ld, err := records(resource, list, now)
		if err != nil {
			unread = err
		}
		view.Observe(ld)
	}
	all := c.list(ctx, namespace, func(k kind, l *unstructured.UnstructuredList) { observe(k.Resource, l.Items) })
	if namespace == "" && !q.All && forbidden(all, "pods") {
		// Who may not look everywhere may look at home.
		namespace, view = "default", objects.New()
		all = c.list(ctx, namespace, func(k kind, l *unstructured.UnstructuredList) { observe(k.Resource, l.Items) })
	}
	if err := c.reached(all); err != nil {
		return nil, nil, err
	}
	var coverage []finding.Coverage
	lacks := func(reason string) {
		coverage = append(coverage, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageDegraded, Reason: reason})
	}
	view.Within(namespace)
	for _, l := range all {
		switch {
		case l.err == nil:
			view.Listed(l.kind.Resource)
		case apierrors.IsNotFound(l.err):
		default:
			lacks(refusal(l.kind, namespace, l.err))
		}
	}
	for i, ref := range view.Wanted() {
		if i == maxReferences {
			break
		}
		r := c.api.Resource(schema.GroupVersionResource{Version: "v1", Resource: ref.Resource}).Namespace(ref.Namespace)
		o, err := r.Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsForbidden(err) {
			lacks(fmt.Sprintf("you may not get %s in namespace %s: their keys, certificates and times are not known", ref.Resource, ref.Namespace))
		}
		if apierrors.IsNotFound(err) {
			view.Absent(ref)
		}
		if err == nil {
			objects.Public(o.Object)
			observe(ref.Resource, []unstructured.Unstructured{*o})
		}
	}
	if unread != nil {
		lacks(unread.Error())
	}
	if n := view.Dropped(); n > 0 {
		lacks(fmt.Sprintf("%d objects are more than can be held", n))
	}
	if len(coverage) == 0 {
		coverage = []finding.Coverage{{Layer: finding.LayerKubernetes, State: finding.CoverageOK}}
	}
	return view, coverage, nil
}

func forbidden(all []listing, resource string) bool {
	for _, l := range all {
		if l.kind.Resource == resource {
			return apierrors.IsForbidden(l.err)
		}
	}
	return false
}

// wanted says what was asked for.
type wanted struct {
	query    Query
	view     *objects.Cluster
	selector labels.Selector
}

// shortNames are kubectl's short and plural names of kinds.
var shortNames = map[string]string{"po": "pod", "deploy": "deployment", "rs": "replicaset", "sts": "statefulset", "ds": "daemonset", "svc": "service",
	"no": "node", "pvc": "persistentvolumeclaim", "pv": "persistentvolume", "cj": "cronjob", "hpa": "horizontalpodautoscaler", "pdb": "poddisruptionbudget",
	"ing": "ingress", "netpol": "networkpolicy", "networkpolicies": "networkpolicy", "ns": "namespace", "csr": "certificatesigningrequest"}

func (w wanted) is(e finding.Entity) bool {
	if !w.selector.Empty() && !w.selector.Matches(labels.Set(w.view.Labels(e))) {
		return false
	}
	name := w.query.Entity
	if name == "" {
		return true
	}
	o := w.view.Owner(e)
	if kind, rest, found := strings.Cut(name, "/"); found {
		kind = strings.ToLower(kind)
		kind, _, _ = strings.Cut(kind, ".")
		if long := shortNames[kind]; long != "" {
			kind = long
		}
		kind = strings.TrimSuffix(kind, "s")
		of := strings.ToLower(e.Kind)
		if of == "container" {
			of = "pod"
		} else if of == "volume" {
			of = "persistentvolumeclaim"
		}
		return kind == of && rest == e.Name || o != nil && kind == strings.ToLower(o.Kind) && rest == o.Name
	}
	return name == e.Name || name == e.UID && name != "" || name == e.Container || o != nil && name == o.Name || name == e.Name+"/"+e.Container
}
