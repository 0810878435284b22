package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/kube"
)

// apiServer looks at a cluster with the user's own credentials, no collector needed.
type apiServer struct {
	client   *kube.Client
	selector string
	now      func() time.Time
}

func (a *apiServer) String() string { return a.client.String() }

// Report implements Source.
func (a *apiServer) Report(ctx context.Context, q Query) (finding.Report, error) {
	return a.client.Check(ctx, kube.Query{Namespace: q.Namespace, All: q.All, Entity: q.Entity, Selector: a.selector}, a.now())
}

// Finding implements Source.
func (a *apiServer) Finding(ctx context.Context, id string) (finding.Finding, bool, error) {
	r, err := a.Report(ctx, Query{All: true})
	if err != nil {
		return finding.Finding{}, false, err
	}
	for _, f := range r.Findings {
		if f.ID == id {
			return f, true, nil
		}
	}
	return finding.Finding{}, false, nil
}

// Watch implements Source.
func (a *apiServer) Watch(context.Context, Query, func(Change) error) error {
	return fmt.Errorf("%s: watching needs a collector, which keeps watching: name one with --endpoint", a)
}

// either is the collector on this machine or, where there is none, the API server.
type either struct {
	*endpoint
	api *apiServer
}

// choose returns the one that answers. A collector that is there and refuses, or is ill, is not passed over.
func (e *either) choose(ctx context.Context) Source {
	dial := net.Dialer{Timeout: e.timeout}
	conn, err := dial.DialContext(ctx, "tcp", finding.DefaultEndpoint)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return e.api
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
