package source

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
)

// listening is a server at an address.
func listening(t *testing.T, address string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	return s
}

// Whoever watches is told, once, that the collector is not heard any more, and when it is heard again.
func TestWatchTellsTheLoss(t *testing.T) {
	ok := finding.Coverage{Layer: finding.LayerCgroup, State: finding.CoverageOK}
	well := strings.Replace(empty, `"coverage":[]`, `"coverage":[{"layer":"cgroup","state":"ok"}]`, 1)
	stream := func(events string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, events)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	server := listening(t, "127.0.0.1:0", stream(": tapio/v1\n\nevent: report\nid: e-1\ndata: "+well+"\n\n"))
	address := server.Listener.Addr().String()
	heard := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var told [][]finding.Coverage
	err := open(t, Options{Endpoint: address, Now: func() time.Time { return heard }}, nil).Watch(ctx, Query{}, func(c Change) error {
		switch {
		case c.Report != nil:
			server.CloseClientConnections()
			server.Close()
		case c.Coverage != nil:
			if told = append(told, c.Coverage); len(told) == 2 {
				cancel()
				return nil
			}
			server = listening(t, address, stream(":\nid: e-1\n\n"))
		}
		return nil
	})
	require.NoError(t, err)
	server.CloseClientConnections()
	server.Close()
	require.Len(t, told, 2)
	assert.Equal(t, []finding.Coverage{{Layer: finding.LayerCgroup, State: finding.CoverageAbsent, Reason: "the collector is not heard"},
		{Layer: layerCollector, State: finding.CoverageDegraded, Reason: "not heard since 12:00:00: nothing answers at http://" + address +
			": is the collector running, and is this its findings endpoint?"}}, told[0])
	assert.Equal(t, []finding.Coverage{ok}, told[1])
}

// A change is applied in one place, and leaves alone what the report shares with others.
func TestApply(t *testing.T) {
	before := report(found("a"), found("b"))
	r := before
	worse, over := found("c"), found("a")
	worse.Severity, over.State = finding.Critical, finding.Resolved
	for _, c := range []Change{{Finding: &worse}, {Finding: &over}, {Forgotten: "unknown"}, {Coverage: []finding.Coverage{}}} {
		c.Apply(&r)
	}
	var ids []string
	for _, f := range r.Findings {
		ids = append(ids, f.ID)
	}
	assert.Equal(t, []string{"c", "b"}, ids)
	assert.Empty(t, r.Coverage)
	assert.Equal(t, "a", before.Findings[0].ID)
	Change{Forgotten: "c"}.Apply(&r)
	assert.Len(t, r.Findings, 1)
	Change{Report: &before}.Apply(&r)
	assert.Equal(t, before, r)
}

// Several clusters tell the loss of one as theirs.
func TestSeveralTellTheLoss(t *testing.T) {
	first, begun := report(), make(chan struct{})
	lost := []finding.Coverage{{Layer: layerCollector, State: finding.CoverageDegraded, Reason: "not heard"}}
	s := several{{"east", &scripted{after: begun, changes: []Change{{Report: &first}, {Coverage: lost}}}}, {"west", &scripted{after: begun, changes: []Change{{Report: &first}}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var told []finding.Coverage
	require.NoError(t, s.Watch(ctx, Query{}, func(c Change) error {
		if c.Report != nil {
			close(begun)
			return nil
		}
		told = c.Coverage
		cancel()
		return nil
	}))
	assert.Equal(t, []finding.Coverage{{Layer: layerCollector, State: finding.CoverageDegraded, Reason: "not heard", Cluster: "east"},
		{Layer: finding.LayerKubernetes, State: finding.CoverageOK, Cluster: "west"}}, told)
}

// A cluster that could not be looked at is not one whose collector says that it sees nothing of Kubernetes.
func TestAway(t *testing.T) {
	absent := func(cluster string, layer finding.Layer) finding.Coverage {
		return finding.Coverage{Layer: layer, State: finding.CoverageAbsent, Cluster: cluster}
	}
	assert.Equal(t, []finding.Coverage{absent("away", finding.LayerKubernetes)},
		Away([]finding.Coverage{absent("away", finding.LayerKubernetes), absent("east", finding.LayerKubernetes), absent("east", finding.LayerEBPF), absent("", finding.LayerKubernetes)}))
}

// Where nobody listens on this machine another source is asked, and it is the one that is named.
func TestEitherNamesWhomItAsked(t *testing.T) {
	l, err := net.Listen("tcp", finding.DefaultEndpoint)
	if err != nil {
		t.Skipf("a collector listens at %s: %v", finding.DefaultEndpoint, err)
	}
	l.Close()
	e := &either{endpoint: &endpoint{name: "http://here", timeout: time.Second}, other: &scripted{report: report(found("a"))}}
	assert.Equal(t, "http://here, or else scripted", e.String())
	r, err := e.Report(t.Context(), Query{})
	require.NoError(t, err)
	assert.Len(t, r.Findings, 1)
	assert.Equal(t, "scripted", e.String())
}
