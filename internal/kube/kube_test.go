package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/your-org/tapio/internal/correlation/extract/objects"
	"github.com/your-org/tapio/internal/finding"
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
		{"KUBECONFIG of nothing", Options{}, map[string]string{"KUBECONFIG": "/nonexistent", "HOME": home}, `there is no kubeconfig: KUBECONFIG is "/nonexistent", and no file there names a cluster`},
		{"a context of nothing at all", Options{Context: "away"}, nil, `there is no kubeconfig that has the context "away": no KUBECONFIG, and no ~/.kube/config`},
		{"an empty file", Options{Kubeconfig: os.DevNull}, map[string]string{"HOME": home}, "there is no kubeconfig: " + os.DevNull + " names no cluster"},
		{"a flag of nothing", Options{Kubeconfig: "/nonexistent"}, nil, "read the kubeconfig: stat /nonexistent: no such file or directory"},
		{"no YAML", Options{Kubeconfig: broken}, nil, "read the kubeconfig: "},
		{"another context", Options{Context: "away"}, map[string]string{"HOME": home}, `the kubeconfig has no context "away"`},
		{"a context of nothing", Options{Context: "broken"}, map[string]string{"HOME": home}, `use context "broken" of the kubeconfig: it names the cluster "none", which is not there`},
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
			assert.Equal(t, []string{"broken", "home"}, Contexts(c.options))
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

	for status, want := range map[int]string{401: "does not know who asks (401)", 403: "lets you list nothing", 500: " lists nothing: an error on the server"} {
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

// A cluster that does not answer is waited for once, not for each kind in turn.
func TestSilentCluster(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}))
	defer server.Close()
	c, err := Connect(Options{Kubeconfig: write(t, server.URL), Timeout: 300 * time.Millisecond, Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	_, err = c.Check(t.Context(), Query{}, time.Now())
	assert.ErrorContains(t, err, "did not answer within 300ms")
	assert.LessOrEqual(t, asked.Load(), int32(atOnce))
}

// A list that takes longer than its pages are kept is asked for again as a whole.
func TestExpiredPages(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path != "/api/v1/pods":
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

// Nobody reads who changed an object when, but where a controller ought to have seen that; what is of no known type comes as a map.
func TestSlim(t *testing.T) {
	managed := []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	assert.Equal(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, slim(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", ManagedFields: managed}}))
	seen, unseen := int64(2), int64(1)
	for _, observed := range []int64{seen, unseen} {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "x", Generation: 2, ManagedFields: managed}, Status: appsv1.DeploymentStatus{ObservedGeneration: observed}}
		assert.Equal(t, observed == unseen, len(slim(d).(*appsv1.Deployment).ManagedFields) > 0)
	}
	scheme, err := known()
	require.NoError(t, err)
	json := codecs(scheme).SupportedMediaTypes()[0].Serializer
	o, err := runtime.Decode(codecs(scheme).DecoderToVersion(json, corev1.SchemeGroupVersion),
		[]byte(`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"x","managedFields":[{"manager":"kubectl"}]}}`))
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "x"}}, slim(o))
}

// A watch that the API server can no longer continue, as it says at its start or in its midst, begins anew with a list.
func TestWatchBeginsAnew(t *testing.T) {
	var lists, watches atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch q := r.URL.Query(); {
		case r.URL.Path != "/api/v1/pods" && q.Get("watch") == "":
			fmt.Fprint(w, `{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`)
		case r.URL.Path != "/api/v1/pods":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case q.Get("watch") == "":
			var items []string
			for i := range lists.Add(1) {
				items = append(items, fmt.Sprintf(`{"metadata":{"name":"p%d","namespace":"shop"},"status":{"phase":"Running"}}`, i))
			}
			fmt.Fprintf(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[%s]}`, strings.Join(items, ","))
		case watches.Add(1) == 1:
			assert.Equal(t, "7", q.Get("resourceVersion"))
			assert.Equal(t, "true", q.Get("allowWatchBookmarks"))
			fmt.Fprint(w, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}}`)
		case watches.Load() == 2:
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`)
		default:
			fmt.Fprint(w, `{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}`)
			fmt.Fprint(w, `{"type":"DELETED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p0","namespace":"shop"}}}`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	last := 0
	require.NoError(t, connect(t, server.URL).Watch(ctx, Query{All: true}, time.Now, func(r finding.Report) error {
		if last = r.Watched["Pod"]; last == 2 && watches.Load() > 2 {
			cancel() // three after the third list, one of which was deleted since
		}
		return nil
	}))
	assert.Equal(t, 2, last)
	assert.EqualValues(t, 3, lists.Load())
}

// What is missing is told only while it would be seen: while services cannot be watched, one that is not known may have come since.
func TestWatchLosesAKind(t *testing.T) {
	const set = `{"type":"ADDED","object":{"kind":"StatefulSet","apiVersion":"apps/v1","metadata":{"name":%q,"namespace":"shop","creationTimestamp":"2020-01-01T00:00:00Z"%s},
		"spec":{"replicas":1,"serviceName":"db","selector":{}},"status":{"replicas":1,"readyReplicas":1}}}`
	for _, refused := range []bool{false, true} {
		var lists atomic.Int32
		again := make(chan struct{})
		relisted := sync.OnceFunc(func() { close(again) })
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			resource, watch := path.Base(r.URL.Path), r.URL.Query().Get("watch") != ""
			switch {
			case refused && resource == "services" && (watch || lists.Add(1) > 1):
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
				if !watch {
					relisted()
				}
			case !watch:
				fmt.Fprint(w, `{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`)
			default:
				w.(http.Flusher).Flush()
				if resource == "statefulsets" {
					if refused {
						<-again
					}
					fmt.Fprintf(w, set+set, "without-service", "", "leaving", `,"finalizers":["x/y"],"deletionTimestamp":"2020-01-02T00:00:00Z"`)
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			}
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		var told []string
		require.NoError(t, connect(t, server.URL).Watch(ctx, Query{All: true}, time.Now, func(r finding.Report) error {
			told = nil
			for _, f := range r.Findings {
				if told = append(told, f.Entity.Name); f.Entity.Name == "leaving" {
					cancel()
				}
			}
			return nil
		}))
		cancel()
		server.Close()
		want := []string{"leaving", "without-service"}
		if refused {
			want = want[:1]
		}
		assert.ElementsMatch(t, want, told)
	}
}

// What cannot be watched at first fails at once.
func TestWatchFailsAtFirst(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer server.Close()
	see := func(finding.Report) error { return nil }
	assert.ErrorContains(t, connect(t, server.URL).Watch(t.Context(), Query{}, time.Now, see), "does not know who asks (401)")
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer broken.Close()
	assert.ErrorContains(t, connect(t, broken.URL).Watch(t.Context(), Query{}, time.Now, see), " lists nothing: an error on the server")
	assert.ErrorContains(t, connect(t, server.URL).Watch(t.Context(), Query{Exclude: []string{"x"}}, time.Now, see), "there is no such pattern")
}

// What kinds have in common is said once.
func TestRefusals(t *testing.T) {
	forbidden := func(k kind) error { return apierrors.NewForbidden(k.GroupResource(), "", errors.New("no")) }
	all := []listing{{kinds[0], nil}, {kinds[1], apierrors.NewNotFound(kinds[1].GroupResource(), "")}}
	assert.Empty(t, refusals(all, "shop"))
	for _, k := range kinds[2:6] {
		all = append(all, listing{k, forbidden(k)})
	}
	for _, k := range kinds[6:8] {
		all = append(all, listing{k, &url.Error{Op: "Get", URL: "https://cluster.example/apis/" + k.Resource, Err: errors.New("connection refused")}})
	}
	for _, k := range kinds[8:10] {
		all = append(all, listing{k, fmt.Errorf("failed to list <unspecified>: %w", &url.Error{Op: "Get", URL: k.Resource, Err: context.DeadlineExceeded})})
	}
	assert.Equal(t, []string{"cannot list jobs, cronjobs in namespace shop: no answer in time", "cannot list statefulsets, daemonsets in namespace shop: connection refused", "you may not list nodes",
		"you may not list replicasets, deployments, services in namespace shop"}, refusals(all, "shop"))
}

// Whatever a server of metrics sends, reading it ends.
func FuzzMetrics(f *testing.F) {
	f.Add([]byte(`{"items":[{"metadata":{"name":"a","namespace":"b"},"timestamp":"2026-11-23T12:00:00Z","containers":[{"name":"c","usage":{"cpu":"12m","memory":"3Mi"}}]}]}`))
	f.Add([]byte(`{"items":[{"containers":[{"usage":{"cpu":1e400,"memory":"-"}}]}]}`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		if all, err := metrics(body); err == nil {
			use(objects.New(), all)
		}
	})
}

// Objects that are asked for by name are few; what is left out is said.
func TestReferences(t *testing.T) {
	for certificates, want := range map[int][]string{
		maxReferences:     nil,
		maxReferences + 3: {"50 ConfigMaps and Secrets are asked for at most; 3 more may tell of missing keys, certificates and changes"},
	} {
		var tls []any
		for i := range certificates {
			tls = append(tls, map[string]any{"secretName": fmt.Sprintf("certificate-%d", i)})
		}
		s := &sight{view: objects.New()}
		s.view.Take("ingresses", map[string]any{"metadata": map[string]any{"name": "web", "namespace": "shop"}, "spec": map[string]any{"tls": tls}})
		assert.Len(t, s.references(), maxReferences)
		assert.Equal(t, want, s.lacks)
	}
}
