package kubernetesreceiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/your-org/tapio/receiver/kubernetesreceiver/internal/metadata"
)

// api is the part of an API server that misbehaves when told to: what a real one does is tested in test/kube.
type api struct {
	mu      sync.Mutex
	pods    map[string]string // name → uid
	version int
	away    bool // every request fails
	forbid  bool // lists are forbidden
	quiet   bool // watches bring nothing, and do not end
	gone    bool // watches can't go on where they ended
	lists   int
	watches []string // the versions from which was watched
	streams []chan string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := r.URL.Query()
	refuse := func(code int, reason string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"no"}`, reason, code)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case a.away:
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	case q.Get("watch") != "":
		a.watches = append(a.watches, q.Get("resourceVersion"))
		if a.gone {
			a.gone = false
			refuse(http.StatusGone, "Expired")
			return
		}
		stream := make(chan string, 100)
		a.streams = append(a.streams, stream)
		a.mu.Unlock()
		defer a.mu.Lock()
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case line, more := <-stream:
				if !more {
					return
				}
				fmt.Fprintln(w, line)
				w.(http.Flusher).Flush()
			}
		}
	case a.forbid:
		refuse(http.StatusForbidden, "Forbidden")
	default:
		a.lists++
		// A page each, to see that all are asked for.
		names := slices.Sorted(func(yield func(string) bool) {
			for n := range a.pods {
				if !yield(n) {
					return
				}
			}
		})
		from := 0
		fmt.Sscan(q.Get("continue"), &from)
		next, items := "", []json.RawMessage{}
		if from < len(names) {
			items = append(items, json.RawMessage(pod(names[from], a.pods[names[from]], a.version)))
			if from+1 < len(names) {
				next = fmt.Sprint(from + 1)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PodList", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version),
			"continue": next}, "items": items})
	}
}

func pod(name, uid string, version int) string {
	return fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q,"namespace":"shop","uid":%q,"resourceVersion":"%d","managedFields":[{"manager":"m"}],
		"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"s3cret"}},"spec":{"containers":[{"name":"api","env":[{"name":"PASSWORD","value":"s3cret"}]}]}}`,
		name, uid, version)
}

// set changes how the API server behaves.
func (a *api) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// change tells all who watch of a change.
func (a *api) change(kind, name, uid string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	if kind == "DELETED" {
		delete(a.pods, name)
	} else {
		a.pods[name] = uid
	}
	if a.quiet {
		return
	}
	line := strings.Join(strings.Fields(fmt.Sprintf(`{"type":%q,"object":%s}`, kind, pod(name, uid, a.version))), " ")
	for _, s := range a.streams {
		s <- line
	}
}

// cut ends all watches.
func (a *api) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.streams {
		close(s)
	}
	a.streams = nil
}

// sink keeps what it is told, and refuses when it is told to.
type sink struct {
	mu     sync.Mutex
	told   []string // "LISTED a u1", "DELETED a u1", …
	states []string
	raw    strings.Builder
	refuse int
	calls  int
}

func (s *sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.refuse > 0 {
		s.refuse--
		return errors.New("not now")
	}
	b, _ := (&plog.JSONMarshaler{}).MarshalLogs(ld)
	s.raw.Write(b)
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				if r.EventName() == EventStatus {
					a := r.Attributes().AsRaw()
					s.states = append(s.states, fmt.Sprint(a[AttrState], " ", a[AttrComplete], " ", a[AttrReason]))
					continue
				}
				o, kind := r.Body().Map().AsRaw(), "LISTED"
				if inner, ok := o["object"].(map[string]any); ok {
					kind, o = o["type"].(string), inner
				}
				meta := o["metadata"].(map[string]any)
				s.told = append(s.told, fmt.Sprintf("%s %s %s", kind, meta["name"], meta["uid"]))
			}
		}
	}
	return nil
}

func (s *sink) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

func (s *sink) state() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.states) == 0 {
		return ""
	}
	return s.states[len(s.states)-1]
}

// begin starts a receiver of pods.
func begin(t *testing.T, a *api, s *sink, change func(*Config)) *kubernetesReceiver {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(func() { a.cut(); server.CloseClientConnections(); server.Close() })
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: %q}}]\n"+
		"users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n", server.URL)), 0o600))
	cfg := createDefaultConfig().(*Config)
	cfg.Kubeconfig, cfg.PageSize = file, 1
	cfg.Resources = []Resource{{Version: "v1", Name: "pods"}}
	if change != nil {
		change(cfg)
	}
	require.NoError(t, cfg.Validate())
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, s)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.WithoutCancel(t.Context()))) })
	return r.(*kubernetesReceiver)
}

const soon = 20 * time.Second

func eventually(t *testing.T, s *sink, want ...string) {
	t.Helper()
	assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, want, s.all()) }, soon, 10*time.Millisecond)
}

// What is there is listed page by page, and what changes is told from there on.
func TestListAndWatch(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
	begin(t, a, s, nil)
	eventually(t, s, "LISTED a u1", "LISTED b u2")
	watching(t, a, 1)
	a.change("ADDED", "c", "u3")
	a.change("DELETED", "a", "u1")
	eventually(t, s, "LISTED a u1", "LISTED b u2", "ADDED c u3", "DELETED a u1")
	assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, "watched true <nil>", s.state()) }, soon, 10*time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, never := range []string{"s3cret", "managedFields"} {
		assert.NotContains(t, s.raw.String(), never)
	}
}

func watching(t *testing.T, a *api, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.streams) >= n
	}, soon, 10*time.Millisecond)
}

// A watch that ends goes on where it ended.
func TestGoesOn(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1"}, version: 7}, &sink{}
	begin(t, a, s, nil)
	watching(t, a, 1)
	a.change("ADDED", "b", "u2")
	eventually(t, s, "LISTED a u1", "ADDED b u2")
	a.cut()
	watching(t, a, 1)
	a.change("MODIFIED", "b", "u2")
	eventually(t, s, "LISTED a u1", "ADDED b u2", "MODIFIED b u2")
	a.mu.Lock()
	defer a.mu.Unlock()
	assert.Equal(t, []string{"7", "8"}, a.watches)
	assert.Equal(t, 1, a.lists)
}

// What happened before a watch that cannot go on is told by a list: what came, and what went.
func TestExpired(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
	begin(t, a, s, nil)
	watching(t, a, 1)
	a.set(func() {
		a.gone = true
		delete(a.pods, "a")
		a.pods["c"] = "u3"
		a.version = 900
	})
	a.cut()
	eventually(t, s, "LISTED a u1", "LISTED b u2", "LISTED b u2", "LISTED c u3", "DELETED a u1")
}

// A watch that brings nothing, without ending, is renewed.
func TestSilentWatch(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1"}, version: 7, quiet: true}, &sink{}
	begin(t, a, s, func(c *Config) { c.SilentAfter = time.Second })
	watching(t, a, 2)
	a.set(func() { a.quiet = false })
	a.change("ADDED", "b", "u2")
	eventually(t, s, "LISTED a u1", "ADDED b u2")
	a.mu.Lock()
	defer a.mu.Unlock()
	assert.Equal(t, 1, a.lists, "it goes on where the silent one ended")
}

// The API server may be away at start, and later: that is told, and what it has is seen afterwards.
func TestAway(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1"}, version: 7, away: true}, &sink{}
	begin(t, a, s, nil)
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Contains(c, s.state(), "blind false the API server cannot be reached: ")
	}, soon, 10*time.Millisecond)
	a.set(func() { a.away = false })
	eventually(t, s, "LISTED a u1")
	assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, "watched true <nil>", s.state()) }, soon, 10*time.Millisecond)
	a.set(func() { a.away = true })
	a.cut()
	assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.Contains(c, s.state(), "blind true") }, soon, 10*time.Millisecond)
	a.set(func() { a.pods["b"], a.version, a.gone, a.away = "u2", 900, true, false })
	eventually(t, s, "LISTED a u1", "LISTED a u1", "LISTED b u2")
}

// What may not be listed is said, with the kind.
func TestForbidden(t *testing.T) {
	a, s := &api{forbid: true}, &sink{}
	begin(t, a, s, nil)
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, "blind false the service account may not list pods", s.state())
	}, soon, 10*time.Millisecond)
}

// What the next component refuses for now is offered again, and nothing after it is told first.
func TestRefused(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{refuse: 3}
	begin(t, a, s, nil)
	eventually(t, s, "LISTED a u1", "LISTED b u2")
}

// Objects beyond the bound are left out, and that is said.
func TestBound(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
	begin(t, a, s, func(c *Config) { c.MaxObjects = 1 })
	eventually(t, s, "LISTED a u1")
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, "watched false 1 pods are more than max_objects (1)", s.state())
	}, soon, 10*time.Millisecond)
	watching(t, a, 1)
	a.change("DELETED", "a", "u1")
	a.change("ADDED", "c", "u3")
	eventually(t, s, "LISTED a u1", "DELETED a u1", "ADDED c u3")
}

// Who leads no more watches no more; who leads again sees what went meanwhile.
func TestLeadership(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
	r := begin(t, a, s, nil)
	eventually(t, s, "LISTED a u1", "LISTED b u2")
	for range 2 {
		r.follow()
		r.states.all(standby, "another replica watches the cluster")
	}
	assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.Contains(c, s.state(), "standby") }, soon, 10*time.Millisecond)
	a.set(func() { delete(a.pods, "a"); a.version++ })
	r.lead()
	r.lead()
	eventually(t, s, "LISTED a u1", "LISTED b u2", "LISTED b u2", "DELETED a u1")
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"the default":     {func(*Config) {}, ""},
		"relist":          {func(c *Config) { c.RelistInterval = time.Second }, "relist_interval is 1s, want at least 1m0s"},
		"silent":          {func(c *Config) { c.SilentAfter = 0 }, "silent_after is 0s, want at least 1s"},
		"page":            {func(c *Config) { c.PageSize = 0 }, "page_size is 0, want at least 1"},
		"bound":           {func(c *Config) { c.MaxObjects = 0 }, "max_objects is 0, want at least 1"},
		"a nameless kind": {func(c *Config) { c.Resources = []Resource{{Version: "v1"}} }, `resources[0] has name "" and version "v1", want both`},
		"no selector": {func(c *Config) {
			c.Resources = []Resource{{Version: "v1", Name: "pods", FieldSelectors: []string{"a"}}}
		}, "resources[0].field_selectors[0]: "},
		"an empty name":    {func(c *Config) { c.Namespaces = []string{""} }, "namespaces[0] is empty"},
		"the timeout of 0": {func(c *Config) { c.RequestTimeout = 0 }, "request_timeout is 0s, want at least 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			c.change(cfg)
			if err := cfg.Validate(); c.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, c.want)
			}
		})
	}
	assert.NotEmpty(t, createDefaultConfig().(*Config).resources())
}

// A collector that cannot know its cluster, or who elects its leader, does not start, and says why.
func TestCannotStart(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	elector := component.MustNewID("k8s_leader_elector")
	for want, cfg := range map[string]*Config{
		"there is no kubeconfig":                                    {},
		"read the kubeconfig: stat /nonexistent":                    {Kubeconfig: "/nonexistent"},
		`k8s_leader_elector: there is no extension "k8s_leader_ele`: {Kubeconfig: "testdata/kubeconfig", LeaderElector: &elector},
	} {
		r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, &sink{})
		require.NoError(t, err)
		assert.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), want)
		assert.NoError(t, r.Shutdown(t.Context()))
	}
}
