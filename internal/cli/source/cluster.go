package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

// layerCollector is the name under which coverage speaks of the cluster's own collector.
const layerCollector finding.Layer = "collector"

// cluster is the collector that runs in a cluster, reached through the API server's service proxy or, where there is none that
// answers, the API server itself.
type cluster struct {
	*apiServer
	// namespace is where the collector's service is looked for.
	namespace string
	// followed is the collector that a watch follows; nil where none does.
	followed atomic.Pointer[endpoint]
}

// ask asks the collector. It returns false where there is none, with why one that is there cannot be asked.
func (c *cluster) ask(ctx context.Context, ask func(*endpoint) error) (bool, string) {
	if c.selector != "" {
		return false, "" // a collector knows no labels
	}
	service, err := c.client.Collector(ctx, c.namespace)
	switch {
	case errors.Is(err, kube.ErrNoService):
		return false, ""
	case err == nil:
		err = ask(&endpoint{base: service.Base, name: service.Name, client: service.Client, timeout: c.client.Timeout(), now: c.now})
	}
	if err != nil {
		return false, fmt.Sprintf("%v; the API server was asked in its place", err)
	}
	return true, ""
}

// scoped is the query with the namespace that the context means.
func (c *cluster) scoped(q Query) Query {
	q.Namespace = c.client.Scope(q.Namespace, q.All)
	return q
}

// Report implements Source. While a watch runs, what is watched is asked.
func (c *cluster) Report(ctx context.Context, q Query) (finding.Report, error) {
	if e := c.followed.Load(); e != nil {
		return e.Report(ctx, c.scoped(q))
	}
	if r := c.current(); r != nil {
		return *r, nil
	}
	var r finding.Report
	answered, why := c.ask(ctx, func(e *endpoint) (err error) {
		r, err = e.Report(ctx, c.scoped(q))
		return err
	})
	if answered || ctx.Err() != nil {
		return r, ctx.Err()
	}
	r, err := c.apiServer.Report(ctx, q)
	r.Coverage = instead(r.Coverage, why)
	return r, err
}

// instead adds to coverage why no collector was asked; empty: there is none.
func instead(covered []finding.Coverage, why string) []finding.Coverage {
	if why == "" {
		return covered
	}
	return append(slices.Clip(covered), finding.Coverage{Layer: layerCollector, State: finding.CoverageDegraded, Reason: why})
}

// Watch implements Source. What answered at first is watched to the end.
func (c *cluster) Watch(ctx context.Context, q Query, see func(Change) error) error {
	var ended error
	answered, why := c.ask(ctx, func(e *endpoint) error {
		if _, err := e.Report(ctx, c.scoped(q)); err != nil {
			return err
		}
		c.followed.Store(e)
		defer c.followed.Store(nil)
		ended = e.Watch(ctx, c.scoped(q), see)
		return nil
	})
	if answered || ctx.Err() != nil {
		return ended
	}
	return c.watch(ctx, q, why, see)
}

// either is the collector on this machine or, where there is none, another source.
type either struct {
	*endpoint
	other Source

	mu sync.Mutex
	// chosen is the one that was asked last; nil before. While a watch runs, it stays.
	chosen   Source
	watching bool
}

// String names the one that was asked.
func (e *either) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.chosen == nil {
		return fmt.Sprintf("%s, or else %s", e.endpoint, e.other)
	}
	return e.chosen.String()
}

// choose returns the one that answers. A collector that is there and refuses, or is ill, is not passed over.
func (e *either) choose(ctx context.Context) Source {
	e.mu.Lock()
	held := e.watching
	e.mu.Unlock()
	var answers Source = e.endpoint
	if !held {
		dial := net.Dialer{Timeout: e.timeout}
		conn, err := dial.DialContext(ctx, "tcp", finding.DefaultEndpoint)
		if refused(err) {
			answers = e.other
		}
		if err == nil {
			conn.Close()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.watching {
		e.chosen = answers
	}
	return e.chosen
}

// Report implements Source.
func (e *either) Report(ctx context.Context, q Query) (finding.Report, error) {
	return e.choose(ctx).Report(ctx, q)
}

// Watch implements Source. What answered at first is watched, and asked, to the end.
func (e *either) Watch(ctx context.Context, q Query, see func(Change) error) error {
	s := e.choose(ctx)
	e.hold(true)
	defer e.hold(false)
	return s.Watch(ctx, q, see)
}

func (e *either) hold(watching bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watching = watching
}
