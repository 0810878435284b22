package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

// several are some clusters as one source. Each finding tells its cluster, and has an id of its own in each.
type several []named

// named is a cluster by the name of its context.
type named struct {
	name string
	Source
}

func (s several) String() string {
	var names []string
	for _, c := range s {
		names = append(names, c.name)
	}
	return "clusters " + strings.Join(names, ", ")
}

// Report implements Source. A cluster that cannot be looked at is named as not seen; all of them is an error.
func (s several) Report(ctx context.Context, q Query) (finding.Report, error) {
	reports, errs := make([]*finding.Report, len(s)), make([]error, len(s))
	var telling sync.Mutex
	progress := make([]kube.Progress, len(s))
	var group sync.WaitGroup
	for i, c := range s {
		group.Go(func() {
			q := q
			if tell := q.Progress; tell != nil {
				q.Progress = func(p kube.Progress) {
					telling.Lock()
					defer telling.Unlock()
					progress[i] = p
					tell(sum(progress))
				}
			}
			r, err := c.Report(ctx, q)
			if err != nil {
				errs[i] = err
				return
			}
			reports[i] = &r
		})
	}
	group.Wait()
	return s.merge(reports, errs)
}

// none is why no cluster could be looked at, in one line.
type none struct{ errs []error }

func (n *none) Error() string {
	var said []string
	for _, err := range n.errs {
		said = append(said, err.Error())
	}
	return strings.Join(said, "; ")
}

func (n *none) Unwrap() []error { return n.errs }

func sum(all []kube.Progress) kube.Progress {
	var total kube.Progress
	for _, p := range all {
		total.Objects, total.Kinds, total.Of = total.Objects+p.Objects, total.Kinds+p.Kinds, total.Of+p.Of
	}
	return total
}

// merge makes one report of those that there are; of the others errs tell why not.
func (s several) merge(reports []*finding.Report, errs []error) (finding.Report, error) {
	all := finding.Report{APIVersion: finding.APIVersion, Source: finding.SourceAPIServer, Coverage: []finding.Coverage{}, Watched: map[string]int{},
		Ready: map[string]finding.Ready{}, Findings: []finding.Finding{}}
	looked, missing := 0, 0
	for i, c := range s {
		if err := errs[i]; err != nil {
			if errors.Is(err, kube.ErrNotFound) {
				missing++
			}
			all.Coverage = append(all.Coverage, finding.Coverage{Layer: finding.LayerKubernetes, State: finding.CoverageAbsent, Reason: err.Error(), Cluster: c.name})
		}
		r := reports[i]
		if r == nil {
			continue
		}
		looked++
		if all.GeneratedAt = r.GeneratedAt; r.Source == finding.SourceCollector {
			all.Source = r.Source
		}
		for _, l := range r.Coverage {
			l.Cluster = c.name
			all.Coverage = append(all.Coverage, l)
		}
		for kind, n := range r.Watched {
			all.Watched[kind] += n
		}
		for kind, n := range r.Ready {
			all.Ready[kind] = finding.Ready{Available: all.Ready[kind].Available + n.Available, Total: all.Ready[kind].Total + n.Total}
		}
		all.Summary = finding.Summary{Healthy: all.Summary.Healthy + r.Summary.Healthy, Warning: all.Summary.Warning + r.Summary.Warning,
			Critical: all.Summary.Critical + r.Summary.Critical}
		for _, l := range r.Learning {
			l.Entity.Cluster = c.name
			all.Learning = append(all.Learning, l)
		}
		all.LearningTotal += r.LearningTotal
		for _, f := range r.Findings {
			all.Findings = append(all.Findings, c.own(f))
		}
	}
	if looked == 0 {
		return all, &none{errs}
	}
	if missing > 0 { // it is in another
		all.Coverage = slices.DeleteFunc(all.Coverage, func(l finding.Coverage) bool { return strings.HasPrefix(l.Reason, kube.ErrNotFound.Error()) })
	}
	finding.Sort(all.Findings)
	return all, nil
}

// Away is what a report says of clusters that could not be looked at at all: why.
func Away(covered []finding.Coverage) []finding.Coverage {
	said := map[string]int{} // of a cluster that was looked at, a collector may say of several layers that they are absent
	for _, c := range covered {
		said[c.Cluster]++
	}
	var all []finding.Coverage
	for _, c := range covered {
		if c.Cluster != "" && said[c.Cluster] == 1 && c.Layer == finding.LayerKubernetes && c.State == finding.CoverageAbsent {
			all = append(all, c)
		}
	}
	return all
}

// own gives a finding its cluster, and ids that no other cluster has.
func (c named) own(f finding.Finding) finding.Finding {
	f.Entity.Cluster = c.name
	f.ID = c.id(f.ID)
	for _, ids := range []*[]string{&f.Causes, &f.Effects} {
		*ids = slices.Clone(*ids)
		for i := range *ids {
			(*ids)[i] = c.id((*ids)[i])
		}
	}
	return f
}

func (c named) id(id string) string { return correlation.ID(id, entity.ID(c.name)) }

// Watch implements Source. It begins when every cluster has said what there is, or why it cannot.
func (s several) Watch(ctx context.Context, q Query, see func(Change) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	reports, errs := make([]*finding.Report, len(s)), make([]error, len(s))
	var failed error
	tell := func(c Change) {
		if err := see(c); err != nil && failed == nil {
			failed = err
			cancel()
		}
	}
	heard := 0
	first := func() { // of a cluster
		if heard++; heard == len(s) {
			r, err := s.merge(reports, errs)
			if err != nil {
				failed = err
				cancel()
				return
			}
			tell(Change{Report: &r})
		}
	}
	var group sync.WaitGroup
	for i, c := range s {
		group.Go(func() {
			err := c.Watch(ctx, q, func(change Change) error {
				mu.Lock()
				defer mu.Unlock()
				if reports[i] == nil {
					if change.Report != nil {
						r := *change.Report
						reports[i] = &r
						first()
					}
					return failed
				}
				change.Apply(reports[i])
				if heard < len(s) {
					return failed
				}
				switch {
				case change.Finding != nil:
					f := c.own(*change.Finding)
					tell(Change{Finding: &f})
				case change.Forgotten != "":
					tell(Change{Forgotten: c.id(change.Forgotten)})
				default:
					r, err := s.merge(reports, errs)
					if change.Report != nil && err == nil {
						tell(Change{Report: &r})
					} else if err == nil {
						tell(Change{Coverage: r.Coverage})
					}
				}
				return failed
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil || failed != nil:
			case reports[i] == nil:
				errs[i] = err
				first()
			default: // it sent something that nobody understands
				reports[i].Coverage = Unheard(reports[i].Coverage, time.Time{}, err)
				if r, err := s.merge(reports, errs); err == nil && heard == len(s) {
					tell(Change{Coverage: r.Coverage})
				}
			}
		})
	}
	group.Wait()
	return failed
}

// ContextNames are the names of the contexts of the kubeconfig, for shells to complete.
func (o Options) ContextNames(getenv func(string) string) []string {
	return kube.Contexts(kube.Options{Kubeconfig: o.Kubeconfig, Getenv: getenv})
}

// clusters opens the contexts.
func (o Options) clusters(getenv func(string) string) (Source, error) {
	contexts := o.Contexts
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	var all several
	for _, name := range contexts {
		if slices.ContainsFunc(all, func(c named) bool { return c.name == name }) {
			return nil, fmt.Errorf("--context names %q twice", name)
		}
		client, err := kube.Connect(kube.Options{Kubeconfig: o.Kubeconfig, Context: name, Timeout: o.Timeout, Getenv: getenv})
		if err != nil {
			return nil, err
		}
		c := &cluster{apiServer: &apiServer{client: client, selector: o.Selector, now: o.Now}, namespace: getenv("TAPIO_NAMESPACE")}
		if c.namespace == "" {
			c.namespace = "tapio"
		}
		all = append(all, named{client.Context(), c})
	}
	if len(all) == 1 {
		return all[0].Source, nil
	}
	return all, nil
}
