package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/finding"
)

// maxReferences bounds the ConfigMaps and Secrets that are asked for by name.
const maxReferences = 50

// Check looks at the cluster once.
func (c *Client) Check(ctx context.Context, q Query, now time.Time) (finding.Report, error) {
	understood := make(chan error, 1)
	var a asked
	go func() { // the patterns are compiled meanwhile
		var err error
		a, err = q.understand()
		understood <- err
	}()
	s, err := c.look(ctx, q)
	if asking := <-understood; asking != nil {
		return finding.Report{}, asking
	}
	if err != nil {
		return finding.Report{}, err
	}
	r, err := c.judge(s, a, now)
	if errors.Is(err, ErrNotFound) {
		err = s.absent(c, a)
	}
	return r, err
}

// sight is what could be seen of a cluster.
type sight struct {
	view *objects.Cluster
	// namespace is the one that was looked at; empty: all.
	namespace string
	// lacks say what could not be seen.
	lacks []string
	// metrics is how well metrics.k8s.io is seen.
	metrics finding.Coverage
}

func (s *sight) lack(format string, args ...any) {
	s.lacks = append(s.lacks, fmt.Sprintf(format, args...))
}

// absent says that what was asked for is not there, or that nobody can tell.
func (s *sight) absent(c *Client, a asked) error {
	where := ""
	if s.namespace != "" {
		where = " in namespace " + s.namespace
	}
	if len(s.lacks) > 0 {
		return fmt.Errorf("%w: %s shows no %q%s (%s)", ErrNotFound, c, a.Entity, where, s.lacks[0])
	}
	return fmt.Errorf("%w: %s has no %q%s", ErrNotFound, c, a.Entity, where)
}

// look lists what may be listed, and asks for what else is needed.
func (c *Client) look(ctx context.Context, q Query) (*sight, error) {
	s := &sight{view: objects.New(), namespace: c.Scope(q.Namespace, q.All)}
	all := c.list(ctx, s, q.Progress)
	if s.namespace == "" && !q.All && forbidden(all, "pods") {
		// Who may not look everywhere may look at home.
		s.namespace, s.view = metav1.NamespaceDefault, objects.New()
		all = c.list(ctx, s, q.Progress)
	}
	if err := c.reached(all); err != nil {
		return nil, err
	}
	used, covered := c.usage(ctx, s.namespace)
	use(s.view, used)
	s.metrics = covered
	s.view.Within(s.namespace)
	for _, l := range all {
		if l.err == nil {
			s.view.Listed(l.kind.Resource)
		}
	}
	s.lacks = refusals(all, s.namespace)
	c.refer(ctx, s)
	return s, nil
}

// refer asks for the ConfigMaps and Secrets that would tell more: the names of their keys, and when they changed.
func (c *Client) refer(ctx context.Context, s *sight) {
	for _, ref := range s.references() {
		o, err := c.get(ctx, ref)
		s.know(ref, o, err)
	}
}

// references are those that are asked for. What is left out is said.
func (s *sight) references() []objects.Reference {
	wanted := s.view.Wanted()
	if left := len(wanted) - maxReferences; left > 0 {
		s.lack("%d ConfigMaps and Secrets are asked for at most; %d more may tell of missing keys, certificates and changes", maxReferences, left)
		wanted = wanted[:maxReferences]
	}
	return wanted
}

// know takes in what came of asking for an object by name.
func (s *sight) know(ref objects.Reference, o map[string]any, err error) {
	switch {
	case err == nil:
		s.view.Take(ref.Resource, o)
	case apierrors.IsForbidden(err):
		s.lack("you may not get %s in namespace %s: their keys, certificates and times are not known", ref.Resource, ref.Namespace)
	case apierrors.IsNotFound(err):
		s.view.Absent(ref)
	}
}

// get asks for one ConfigMap or Secret, and throws away all that is not public at once.
func (c *Client) get(ctx context.Context, ref objects.Reference) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := c.api.Get().AbsPath("/api/v1/namespaces", ref.Namespace, ref.Resource, ref.Name).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var o map[string]any
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fmt.Errorf("read %s %s/%s: %w", ref.Resource, ref.Namespace, ref.Name, err)
	}
	objects.Public(o)
	return o, nil
}

func forbidden(all []listing, resource string) bool {
	return slices.ContainsFunc(all, func(l listing) bool { return l.kind.Resource == resource && apierrors.IsForbidden(l.err) })
}
