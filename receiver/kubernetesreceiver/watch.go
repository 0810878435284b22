package kubernetesreceiver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

// Why a watch ended.
const (
	closed  = "closed"  // by the API server, as it does every few minutes: it goes on where it ended
	expired = "expired" // it can't go on where it ended: everything is listed anew
	silent  = "silent"  // nothing came for too long: another one goes on where it ended
	failed  = "failed"
)

// shortest is how long the API server is asked to keep a watch at least; at most it is twice as long.
const shortest = 5 * time.Minute

// watch tells what changes, until the watch ends, and says why it did. A watch that brings nothing for long is not trusted: an
// API server sends a bookmark every minute where nothing changes, and one that was lost on the way never ends by itself.
func (s *source) watch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var quiet atomic.Bool
	idle := time.AfterFunc(s.cfg.SilentAfter, func() { quiet.Store(true); cancel() })
	defer idle.Stop()
	length := shortest + time.Duration(rand.Int64N(int64(shortest))) // #nosec G404: so that not all end at once
	// It ends when all is to be listed anew; one that ended at once would be taken for one that cannot be.
	length = max(min(length, time.Until(s.listed.Add(s.cfg.RelistInterval))), lastPause)
	keep := int64(length.Seconds())
	w, err := s.api.Watch(ctx, metav1.ListOptions{ResourceVersion: s.version, FieldSelector: s.fields, AllowWatchBookmarks: true, TimeoutSeconds: &keep})
	switch {
	case quiet.Load():
		return silent, nil
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		return expired, nil
	case err != nil:
		return failed, err
	}
	defer w.Stop()
	// A connection that breaks at once is no error to client-go, but a watch that is over.
	lives := time.NewTimer(firstPause)
	defer lives.Stop()
	works := false
	for {
		select {
		case <-lives.C:
			works = true
			s.ok()
		case <-ctx.Done():
			if quiet.Load() {
				return silent, nil
			}
			return closed, nil
		case e, more := <-w.ResultChan():
			if !more {
				if quiet.Load() {
					return silent, nil
				}
				if !works {
					return failed, errors.New("it ended the watch at once")
				}
				return closed, nil
			}
			if !works {
				works = true
				s.ok()
			}
			// While the next component is slow, the silence is not the API server's.
			if !idle.Stop() {
				return silent, nil
			}
			if end, err := s.changed(ctx, e); end != "" {
				return end, err
			}
			idle.Reset(s.cfg.SilentAfter)
		}
	}
}

// changed tells one change. It returns why the watch is to end, if it is.
func (s *source) changed(ctx context.Context, e watch.Event) (string, error) {
	if e.Type == watch.Error {
		err := apierrors.FromObject(e.Object)
		if status, ok := err.(apierrors.APIStatus); ok && (status.Status().Code == http.StatusGone || status.Status().Reason == metav1.StatusReasonExpired) {
			return expired, nil
		}
		return failed, err
	}
	o, ok := e.Object.(*unstructured.Unstructured)
	if !ok {
		return failed, fmt.Errorf("the API server sent a %T", e.Object)
	}
	if e.Type != watch.Bookmark && s.note(ctx, e.Type, o) {
		if err := s.tell(ctx, string(e.Type), []unstructured.Unstructured{*o}); err != nil {
			return failed, err
		}
		if e.Type == watch.Deleted {
			s.forget(o) // not before it was taken: a list has to tell it else
		}
	}
	if v := o.GetResourceVersion(); v != "" {
		s.version = v // not before it was taken
	}
	return "", nil
}

// note keeps in mind what is there. It returns false for one object too many. One that is not known was left out before, unless it
// is new.
func (s *source) note(ctx context.Context, change watch.EventType, o *unstructured.Unstructured) bool {
	if s.resource.Name == "events" {
		return true
	}
	k := key{o.GetNamespace(), o.GetName()}
	if _, known := s.known[k]; !known {
		if change != watch.Deleted && !s.room.take() {
			if change == watch.Added {
				s.left++
				s.drop(ctx, 1)
				s.ok()
			}
			return false
		}
		if change != watch.Added {
			s.left = max(s.left-1, 0)
			s.ok()
		}
	}
	if change != watch.Deleted {
		s.known[k] = string(o.GetUID())
	}
	return true
}

// forget makes room of what is gone.
func (s *source) forget(o *unstructured.Unstructured) {
	k := key{o.GetNamespace(), o.GetName()}
	if _, known := s.known[k]; known {
		delete(s.known, k)
		s.room.Add(1)
	}
}
