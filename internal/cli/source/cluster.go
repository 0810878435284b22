package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

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
		err = ask(&endpoint{base: service.Base, name: service.Name, client: service.Client, timeout: c.client.Timeout()})
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

// Report implements Source.
func (c *cluster) Report(ctx context.Context, q Query) (finding.Report, error) {
	var r finding.Report
	answered, why := c.ask(ctx, func(e *endpoint) (err error) {
		r, err = e.Report(ctx, c.scoped(q))
		return err
	})
	if answered || ctx.Err() != nil {
		return r, ctx.Err()
	}
	r, err := c.apiServer.Report(ctx, q)
	if why != "" {
		r.Coverage = append(r.Coverage, finding.Coverage{Layer: layerCollector, State: finding.CoverageDegraded, Reason: why})
	}
	return r, err
}

// Finding implements Source.
func (c *cluster) Finding(ctx context.Context, id string) (finding.Finding, bool, error) {
	var f finding.Finding
	var found bool
	answered, _ := c.ask(ctx, func(e *endpoint) (err error) {
		f, found, err = e.Finding(ctx, id)
		return err
	})
	if answered || ctx.Err() != nil {
		return f, found, ctx.Err()
	}
	return c.apiServer.Finding(ctx, id)
}

// Watch implements Source. What answered at first is watched to the end.
func (c *cluster) Watch(ctx context.Context, q Query, see func(Change) error) error {
	var ended error
	answered, _ := c.ask(ctx, func(e *endpoint) error {
		if _, err := e.Report(ctx, c.scoped(q)); err != nil {
			return err
		}
		ended = e.Watch(ctx, c.scoped(q), see)
		return nil
	})
	if answered || ctx.Err() != nil {
		return ended
	}
	return c.apiServer.Watch(ctx, q, see)
}

// either is the collector on this machine or, where there is none, another source.
type either struct {
	*endpoint
	other Source
}

// choose returns the one that answers. A collector that is there and refuses, or is ill, is not passed over.
func (e *either) choose(ctx context.Context) Source {
	dial := net.Dialer{Timeout: e.timeout}
	conn, err := dial.DialContext(ctx, "tcp", finding.DefaultEndpoint)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return e.other
	}
	if err == nil {
		conn.Close()
	}
	return e.endpoint
}

// Report implements Source.
func (e *either) Report(ctx context.Context, q Query) (finding.Report, error) {
	return e.choose(ctx).Report(ctx, q)
}

// Finding implements Source.
func (e *either) Finding(ctx context.Context, id string) (finding.Finding, bool, error) {
	return e.choose(ctx).Finding(ctx, id)
}

// Watch implements Source.
func (e *either) Watch(ctx context.Context, q Query, see func(Change) error) error {
	return e.choose(ctx).Watch(ctx, q, see)
}
