package kubernetesreceiver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

const (
	// The pause after a failure doubles from the one to the other.
	firstPause = time.Second
	lastPause  = 30 * time.Second
	// refusedPause is the pause after the API server said no: somebody has to change something first.
	refusedPause = time.Minute
)

// key names an object within its resource.
type key struct{ namespace, name string }

// source is what one selector chooses of a resource: it is listed, and watched from there on. Only run touches it.
type source struct {
	*kubernetesReceiver
	resource          Resource
	namespace, fields string
	api               dynamic.ResourceInterface
	// known are the uids of the objects that were told, and not told as gone. room is what there may be more of.
	known map[key]string
	room  *room
	// left is how many objects are there that were not told.
	left int
	// version is where watching goes on; empty: a list has to come first. listed is when the last one ended; zero: the next has to
	// follow at once.
	version string
	listed  time.Time
	// at is the source's place in states.
	at int
}

// run lists and watches until ctx ends. Whatever fails is tried again.
func (s *source) run(ctx context.Context) {
	s.version = "" // much may have changed since it was last run
	wait := firstPause
	for ctx.Err() == nil {
		if s.version == "" || time.Since(s.listed) >= s.cfg.RelistInterval {
			if err := s.list(ctx); err != nil {
				s.failed(ctx, "list", err)
				wait = s.pause(ctx, wait, err)
				continue
			}
			if s.listed.IsZero() {
				continue
			}
		}
		began := time.Now()
		end, err := s.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		s.telemetry.ReceiverKubernetesWatches.Add(ctx, 1, metric.WithAttributes(s.name(), attribute.String("kubernetes.watch.end", end)))
		if time.Since(began) > lastPause {
			wait = firstPause
		}
		switch end {
		case expired:
			s.version = ""
		case failed:
			s.failed(ctx, "watch", err)
			if refused(err) {
				s.version = "" // without a watch, lists have to do
			}
			wait = s.pause(ctx, wait, err)
		default:
			s.set.Logger.Debug("a watch ended and is taken up", zap.String("resource", s.resource.Name), zap.String("end", end))
		}
	}
}

func (s *source) name() attribute.KeyValue {
	return attribute.String("k8s.resource.name", s.resource.Name)
}

// pause waits before the next try, and returns how long to wait the time after.
func (s *source) pause(ctx context.Context, wait time.Duration, err error) time.Duration {
	pause := wait
	if refused(err) {
		pause = refusedPause
	}
	pause += time.Duration(rand.Int64N(int64(pause)/4 + 1)) // #nosec G404: so that not all come at once
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return min(2*wait, lastPause)
}

// refused says that the API server answered, and that the answer is no.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsUnauthorized(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsBadRequest(err)
}

// failed tells why nothing is seen, or nothing new.
func (s *source) failed(ctx context.Context, verb string, err error) {
	if ctx.Err() != nil {
		return
	}
	where := ""
	if s.namespace != "" {
		where = " in namespace " + s.namespace
	}
	var status apierrors.APIStatus
	switch {
	case apierrors.IsNotFound(err) && verb == "list":
		s.states.set(s.at, unserved, fmt.Sprintf("the API server does not serve %s", s.resource.Name))
	case apierrors.IsForbidden(err):
		s.states.set(s.at, blind, fmt.Sprintf("the service account may not %s %s%s", verb, s.resource.Name, where))
	case apierrors.IsUnauthorized(err):
		s.states.set(s.at, blind, "the API server does not know who asks (401): the token is wrong or expired")
	case errors.As(err, &status):
		s.states.set(s.at, blind, fmt.Sprintf("cannot %s %s%s: %v", verb, s.resource.Name, where, err))
	default:
		s.states.set(s.at, blind, "the API server cannot be reached: "+err.Error())
	}
}

// list tells all objects, page by page, and after them those that are gone.
func (s *source) list(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case s.lists <- struct{}{}:
		defer func() { <-s.lists }()
	}
	seen := make(map[key]string, len(s.known))
	options := metav1.ListOptions{Limit: s.cfg.PageSize, FieldSelector: s.fields}
	left := 0
	for {
		page, err := s.page(ctx, options)
		if apierrors.IsResourceExpired(err) && options.Continue != "" {
			// It took too long: all at once. What was told before is told again, or as gone.
			options, left = metav1.ListOptions{FieldSelector: s.fields}, 0
			clear(seen)
			continue
		}
		if err != nil {
			return err
		}
		left += s.keep(page, seen)
		if err := s.tell(ctx, "", page.Items); err != nil {
			return err
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			s.version = page.GetResourceVersion()
			break
		}
	}
	var gone []unstructured.Unstructured
	for k, uid := range s.known {
		if _, there := seen[k]; !there {
			gone = append(gone, tombstone(k, uid))
		}
	}
	if err := s.tell(ctx, "DELETED", gone); err != nil {
		return err
	}
	s.known = seen
	s.room.Add(int64(len(gone)))
	s.telemetry.ReceiverKubernetesLists.Add(ctx, 1, s.attributes())
	if left > 0 && left <= len(gone) {
		s.listed = time.Time{} // there is room now for what was left out
		return nil
	}
	s.drop(ctx, left-s.left)
	s.left, s.listed = left, time.Now()
	s.ok()
	return nil
}

// ok tells that the resource is seen.
func (s *source) ok() {
	reason := ""
	if s.left > 0 {
		reason = fmt.Sprintf("there are more %s than max_objects (%d)", s.resource.Name, s.cfg.MaxObjects)
	}
	s.states.set(s.at, watched, reason)
}

func (s *source) page(ctx context.Context, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	return s.api.List(ctx, options)
}

// keep notes what is on a page, and takes off what there is no room for. Events are told, not kept. It is noted before it is told: a
// list that fails later on has told it all the same.
func (s *source) keep(page *unstructured.UnstructuredList, seen map[key]string) (left int) {
	if s.resource.Name == "events" {
		return 0
	}
	kept := page.Items[:0]
	for _, o := range page.Items {
		k, uid := key{o.GetNamespace(), o.GetName()}, string(o.GetUID())
		if _, known := s.known[k]; !known && !s.room.take() {
			left++
			continue
		}
		s.known[k], seen[k] = uid, uid
		kept = append(kept, o)
	}
	page.Items = kept
	return left
}

// drop counts objects that were left out.
func (s *source) drop(ctx context.Context, n int) {
	if n > 0 {
		s.telemetry.ReceiverKubernetesDropped.Add(ctx, int64(n), s.attributes())
	}
}

// room is how many more objects of a resource may be known to its sources together.
type room struct{ atomic.Int64 }

// take takes the room of one object, if there is any.
func (r *room) take() bool {
	if r.Add(-1) >= 0 {
		return true
	}
	r.Add(1)
	return false
}
