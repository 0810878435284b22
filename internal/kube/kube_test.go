package kube

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write writes a kubeconfig with two contexts.
func write(t *testing.T, server string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: home
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: {token: s3cret}}]
contexts: [{name: home, context: {cluster: c, user: u, namespace: shop}}, {name: broken, context: {cluster: none, user: u}}]
`, server)), 0o600))
	return file
}

func connect(t *testing.T, server string) *Client {
	t.Helper()
	c, err := Connect(Options{Kubeconfig: write(t, server), Timeout: 5 * time.Second, Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return c
}

func TestConnect(t *testing.T) {
	home := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(home, ".kube"), 0o700))
	config, err := os.ReadFile(write(t, "https://cluster.example:6443"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(home, ".kube", "config"), config, 0o600))
	broken := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(broken, []byte("{"), 0o600))
	for _, c := range []struct {
		name    string
		options Options
		env     map[string]string
		want    string // the client's name, or the error
	}{
		{"nothing", Options{}, nil, ErrNoConfig.Error()},
		{"an empty home", Options{}, map[string]string{"HOME": t.TempDir()}, ErrNoConfig.Error()},
		{"home", Options{}, map[string]string{"HOME": home}, "cluster home (cluster.example:6443)"},
		{"KUBECONFIG", Options{}, map[string]string{"KUBECONFIG": filepath.Join(home, ".kube", "config"), "HOME": "/nonexistent"}, "cluster home (cluster.example:6443)"},
		{"KUBECONFIG of nothing", Options{}, map[string]string{"KUBECONFIG": "/nonexistent", "HOME": home}, ErrNoConfig.Error()},
		{"a flag of nothing", Options{Kubeconfig: "/nonexistent"}, nil, "read the kubeconfig: stat /nonexistent: no such file or directory"},
		{"no YAML", Options{Kubeconfig: broken}, nil, "read the kubeconfig: "},
		{"another context", Options{Context: "away"}, map[string]string{"HOME": home}, `the kubeconfig has no context "away"`},
		{"a context of nothing", Options{Context: "broken"}, map[string]string{"HOME": home}, `use context "broken" of the kubeconfig: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.Getenv = func(name string) string { return c.env[name] }
			client, err := Connect(c.options)
			if err != nil {
				assert.ErrorContains(t, err, c.want)
				return
			}
			assert.Equal(t, c.want, client.String())
			assert.Equal(t, "shop", client.namespace)
		})
	}
}

// Why a cluster cannot be looked at at all.
func TestCannotLook(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	l.Close()
	_, err = connect(t, "http://"+address).Check(t.Context(), Query{}, time.Now())
	assert.ErrorContains(t, err, "cannot reach cluster home ("+address+"): ")
	assert.ErrorContains(t, err, "connection refused")
	assert.NotContains(t, err.Error(), "s3cret")

	for status, want := range map[int]string{401: "does not know who asks (401)", 403: "lets you list nothing"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		_, err := connect(t, server.URL).Check(t.Context(), Query{}, time.Now())
		assert.ErrorContains(t, err, want)
		server.Close()
	}
	_, err = connect(t, "http://"+address).Check(t.Context(), Query{Selector: "a b"}, time.Now())
	assert.ErrorContains(t, err, `--selector is "a b": `)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = connect(t, "http://"+address).Check(ctx, Query{}, time.Now())
	assert.ErrorIs(t, err, context.Canceled)
}

// A list that takes longer than its pages are kept is asked for again as a whole.
func TestExpiredPages(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !strings.HasSuffix(r.URL.Path, "/pods"):
			fmt.Fprint(w, `{"kind":"List","apiVersion":"v1","metadata":{},"items":[]}`)
		case r.URL.Query().Get("continue") != "":
			asked.Add(1)
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`)
		case r.URL.Query().Get("limit") != "":
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"continue":"next"},"items":[{"metadata":{"name":"a","namespace":"shop"}}]}`)
		default:
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"a","namespace":"shop"}},{"metadata":{"name":"b","namespace":"shop"}}]}`)
		}
	}))
	defer server.Close()
	r, err := connect(t, server.URL).Check(t.Context(), Query{All: true}, time.Now())
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"Pod": 2}, r.Watched)
	assert.EqualValues(t, 1, asked.Load())
}

// The records are those of the k8sobjects receiver.
func TestRecords(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	ld, err := records("pods", []unstructured.Unstructured{
		{Object: map[string]any{"kind": "Pod", "metadata": map[string]any{"name": "a", "namespace": "x"}, "spec": map[string]any{"n": int64(3)}}},
		{Object: map[string]any{"kind": "Pod", "metadata": map[string]any{"name": "b", "namespace": "y"}}},
		{Object: map[string]any{"kind": "Pod", "metadata": map[string]any{"name": "c", "namespace": "x"}}},
	}, at)
	require.NoError(t, err)
	require.Equal(t, 2, ld.ResourceLogs().Len(), "one for each namespace")
	x := ld.ResourceLogs().At(0)
	assert.Equal(t, map[string]any{"k8s.namespace.name": "x"}, x.Resource().Attributes().AsRaw())
	r := x.ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, map[string]any{"k8s.resource.name": "pods"}, r.Attributes().AsRaw())
	assert.Equal(t, map[string]any{"kind": "Pod", "metadata": map[string]any{"name": "a", "namespace": "x"}, "spec": map[string]any{"n": int64(3)}}, r.Body().Map().AsRaw())
	assert.Equal(t, at.UTC(), r.ObservedTimestamp().AsTime())
}
