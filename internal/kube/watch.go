package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/finding"
)

const (
	// soonest is the least time between two reports, latest the longest: states become findings when they have held for long enough,
	// which no change of an object tells.
	soonest = time.Second
	latest  = 5 * time.Second
	// idle is how much longer than a judgement took, at least, nobody judges again, since a large cluster may change all the time; on
	// a busy machine that takes long, and nobody is to wait for longer than longest.
	idle = 5
	// longest is the longest pause between two judgements, or two attempts to list a kind.
	longest = 10 * time.Second
	// fresh is how long the keys of a ConfigMap or Secret are believed, and what containers use.
	fresh = 30 * time.Second
)

// Watch calls see with a report of what the cluster is like, and again whenever it may have changed, until ctx ends or see fails. It
// lists each kind once and then watches it, comes back by itself when the API server was away, and lists anew what can no longer
// be watched from where it was. The first report must succeed.
func (c *Client) Watch(ctx context.Context, q Query, now func() time.Time, see func(finding.Report) error) error {
	a, err := q.understand()
	if err != nil {
		return err
	}
	w := &watcher{client: c, namespace: c.Scope(q.Namespace, q.All), view: objects.New(), changed: make(chan struct{}, 1), asked: map[objects.Reference]time.Time{}}
	if w.namespace == "" && !q.All && c.refused(ctx, "pods") {
		w.namespace = metav1.NamespaceDefault // who may not look everywhere may look at home
	}
	w.view.Within(w.namespace)
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, logr.Discard())) // what goes wrong is told as coverage
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	var begun sync.WaitGroup
	for _, k := range kinds {
		for _, fields := range orOne(k.fields) {
			begun.Add(1)
			s := &store{watcher: w, kind: k, fields: fields, held: map[cache.ObjectName]runtime.Object{}, begun: sync.OnceFunc(begun.Done)}
			w.stores = append(w.stores, s)
			group.Go(func() { s.run(ctx) })
		}
	}
	all := make(chan struct{})
	go func() { begun.Wait(); close(all) }()
	select {
	case <-all:
	case <-ctx.Done():
		return nil
	}
	if err := c.reached(w.listings()); err != nil {
		return err
	}
	return w.tell(ctx, a, now, see)
}

// refused says whether a kind may not be listed in all namespaces.
func (c *Client) refused(ctx context.Context, resource string) bool {
	for _, k := range kinds {
		if k.Resource == resource {
			ctx, cancel := context.WithTimeout(ctx, c.timeout)
			defer cancel()
			return apierrors.IsForbidden(c.request(k, "", metav1.ListOptions{Limit: 1}).Do(ctx).Error())
		}
	}
	return false
}

// watcher keeps a view of a cluster current.
type watcher struct {
	client    *Client
	namespace string
	stores    []*store
	changed   chan struct{}

	mu   sync.Mutex
	view *objects.Cluster
	// asked are the ConfigMaps and Secrets whose keys were asked for.
	asked map[objects.Reference]time.Time
	// metrics is how well metrics.k8s.io is seen, metered when that was asked last: it cannot be watched.
	metrics finding.Coverage
	metered time.Time
}

// tell reports until ctx ends.
func (w *watcher) tell(ctx context.Context, a asked, now func() time.Time, see func(finding.Report) error) error {
	told := false
	for {
		began := time.Now()
		s := w.look(ctx)
		w.mu.Lock()
		r, err := w.client.judge(s, a, now())
		w.mu.Unlock()
		if errors.Is(err, ErrNotFound) {
			if err = s.absent(w.client, a); told { // it was there, and may come again
				r, err = finding.Report{APIVersion: finding.APIVersion, GeneratedAt: now().UTC(), Source: finding.SourceAPIServer, Findings: []finding.Finding{},
					Coverage: []finding.Coverage{{Layer: finding.LayerKubernetes, State: finding.CoverageDegraded, Reason: err.Error()}}}, nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = see(r)
		}
		if err != nil {
			return err
		}
		told = true
		pause := min(max(soonest, idle*time.Since(began)), longest)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.changed:
		case <-time.After(max(latest-pause, 0)):
		}
	}
}

// look is what is seen now.
func (w *watcher) look(ctx context.Context) *sight {
	s := &sight{view: w.view, namespace: w.namespace, lacks: refusals(w.listings(), w.namespace)}
	if time.Since(w.metered) >= fresh {
		var used []podMetrics
		used, w.metrics = w.client.usage(ctx, w.namespace)
		w.metered = time.Now()
		w.mu.Lock()
		use(w.view, used)
		w.mu.Unlock()
	}
	s.metrics = w.metrics
	w.mu.Lock()
	wanted := s.references()
	w.mu.Unlock()
	for _, ref := range wanted {
		if time.Since(w.asked[ref]) < fresh {
			continue
		}
		w.asked[ref] = time.Now()
		o, err := w.client.get(ctx, ref)
		w.mu.Lock()
		s.know(ref, o, err)
		w.mu.Unlock()
	}
	return s
}

func (w *watcher) listings() []listing {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []listing
	for _, s := range w.stores {
		all = append(all, listing{s.kind, s.err})
	}
	return all
}

// store is where a reflector keeps the objects of a kind: in the view.
type store struct {
	*watcher
	kind   kind
	fields string
	// held are the objects that the reflector knows of.
	held map[cache.ObjectName]runtime.Object
	// err is why the kind cannot be listed or watched now.
	err error
	// listed says whether the kind was ever listed.
	listed bool
	// begun is called when the kind was listed, or could not be.
	begun func()
}

// run lists and watches until ctx ends.
func (s *store) run(ctx context.Context) {
	defer s.begun()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			ctx, cancel := context.WithTimeout(ctx, s.client.timeout)
			defer cancel()
			o.FieldSelector = s.fields
			return s.client.request(s.kind, s.namespace, o).Do(ctx).Get()
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch, o.FieldSelector = true, s.fields
			w, err := s.client.request(s.kind, s.namespace, o).Watch(ctx)
			s.failed(err)
			return w, err
		},
	}
	r := cache.NewReflectorWithOptions(lw, nil, s, cache.ReflectorOptions{Name: s.kind.Resource})
	for pause := time.Duration(0); ; {
		err := r.ListAndWatchWithContext(ctx) // until the watch ends, as all do after some minutes
		if pause = min(2*pause+500*time.Millisecond, longest); err == nil {
			pause = 0
		} else {
			s.failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause + 100*time.Millisecond):
		}
	}
}

// failed notes why the kind cannot be seen now; nil: it can.
func (s *store) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && err == nil {
		return
	}
	s.seen(err)
	s.note()
}

// seen notes whether the kind is seen now. While it is not, an object that is not known may be there all the same. The caller has the
// lock.
func (s *store) seen(err error) {
	if s.err = err; err == nil && s.listed {
		s.view.Listed(s.kind.Resource)
	} else {
		s.view.Unlisted(s.kind.Resource)
	}
}

// note wakes whoever tells; the caller has the lock.
func (s *store) note() {
	s.begun()
	select {
	case s.changed <- struct{}{}:
	default: // it is awake
	}
}

// Add implements cache.ReflectorStore.
func (s *store) Add(o any) error { return s.Update(o) }

// Update implements cache.ReflectorStore.
func (s *store) Update(o any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen(nil)
	s.note()
	return s.take(o)
}

func (s *store) take(o any) error {
	name, err := cache.ObjectToName(o)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.kind.Resource, err)
	}
	if object, ok := o.(runtime.Object); ok {
		s.view.Take(s.kind.Resource, slim(object))
		s.held[name] = object
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *store) Delete(o any) error {
	name, err := cache.ObjectToName(o)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.kind.Resource, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if object, ok := o.(runtime.Object); ok {
		s.view.Remove(s.kind.Resource, slim(object))
	}
	delete(s.held, name)
	s.note()
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *store) Replace(all []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.held
	s.held = make(map[cache.ObjectName]runtime.Object, len(all))
	for _, o := range all {
		if err := s.take(o); err != nil {
			return err
		}
	}
	for name, o := range before {
		if s.held[name] == nil {
			s.view.Remove(s.kind.Resource, slim(o))
		}
	}
	s.listed = true
	s.seen(nil)
	s.note()
	return nil
}

// Resync implements cache.ReflectorStore.
func (*store) Resync() error { return nil }

var _ cache.ReflectorStore = (*store)(nil)
