package kubernetesreceiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/your-org/tapio/receiver/kubernetesreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/kubernetesreceiver/internal/metadatatest"
)

// api is the part of an API server that misbehaves when told to: what a real one does is tested in test/kube.
type api struct {
	mu      sync.Mutex
	pods    map[string]string // name, in another namespace than shop with it before and a slash → uid
	version int
	away    bool   // every request fails
	forbid  string // the resource that may not be listed, nor watched
	quiet   bool   // watches bring nothing, and do not end
	gone    bool   // watches can't go on where they ended
	// turn is asked once, instead of a list's second page; it answers with an error.
	turn    func() (code int, reason string)
	lists   int
	watches []string // the versions from which was watched
	lengths []string // for how many seconds
	streams []stream
}

// stream is a watch.
type stream struct {
	path  string
	lines chan string
}

// shows says whether a path chooses a pod.
func shows(path, name string) bool {
	namespace, _ := named(name)
	return path == "/api/v1/pods" || path == "/api/v1/namespaces/"+namespace+"/pods"
}

func named(name string) (namespace, pod string) {
	if namespace, pod, ok := strings.Cut(name, "/"); ok {
		return namespace, pod
	}
	return "shop", name
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
	case a.forbid != "" && strings.HasSuffix(r.URL.Path, "/"+a.forbid):
		refuse(http.StatusForbidden, "Forbidden")
	case q.Get("watch") != "":
		a.watches = append(a.watches, q.Get("resourceVersion"))
		a.lengths = append(a.lengths, q.Get("timeoutSeconds"))
		if a.gone {
			a.gone = false
			refuse(http.StatusGone, "Expired")
			return
		}
		lines := make(chan string, 100)
		a.streams = append(a.streams, stream{r.URL.Path, lines})
		a.mu.Unlock()
		defer a.mu.Lock()
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case line, more := <-lines:
				if !more {
					return
				}
				fmt.Fprintln(w, line)
				w.(http.Flusher).Flush()
			}
		}
	case a.turn != nil && q.Get("continue") != "":
		refuse(a.turn())
		a.turn = nil
	default:
		a.lists++
		var names []string
		for _, n := range slices.Sorted(maps.Keys(a.pods)) {
			if shows(r.URL.Path, n) {
				names = append(names, n)
			}
		}
		from, size := 0, len(names)
		fmt.Sscan(q.Get("continue"), &from)
		fmt.Sscan(q.Get("limit"), &size)
		next, items := "", []json.RawMessage{}
		for _, n := range names[from:min(from+size, len(names))] {
			items = append(items, json.RawMessage(pod(n, a.pods[n], a.version)))
		}
		if from+size < len(names) {
			next = fmt.Sprint(from + size)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PodList", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version),
			"continue": next}, "items": items})
	}
}

func pod(name, uid string, version int) string {
	namespace, name := named(name)
	return fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q,"namespace":%q,"uid":%q,"resourceVersion":"%d","managedFields":[{"manager":"m"}],
		"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"s3cret"}},"spec":{"containers":[{"name":"api","env":[{"name":"PASSWORD","value":"s3cret"}]}]}}`,
		name, namespace, uid, version)
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
		if shows(s.path, name) {
			s.lines <- line
		}
	}
}

// cut ends all watches.
func (a *api) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.streams {
		close(s.lines)
	}
	a.streams = nil
}

// sink keeps what it is told, and refuses when it is told to.
type sink struct {
	mu     sync.Mutex
	told   []string // "LISTED a u1", "DELETED a u1", …
	states []string
	latest map[string]string // the last of states, by resource
	as     map[string]string // what it was of services when an object was told
	raw    strings.Builder
	refuse int
	busy   bool // objects are refused
	tries  int  // how often they were
}

func (s *sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errors.New("not now")
	}
	if s.busy && ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).EventName() == "" {
		s.tries++
		return errors.New("not now")
	}
	b, _ := (&plog.JSONMarshaler{}).MarshalLogs(ld)
	s.raw.Write(b)
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				if r.EventName() == EventStatus {
					a := r.Attributes().AsRaw()
					text := fmt.Sprint(a[AttrState], " ", a[AttrComplete], " ", a[AttrReason])
					s.states = append(s.states, text)
					if s.latest == nil {
						s.latest = map[string]string{}
					}
					s.latest[fmt.Sprint(a["k8s.resource.name"])] = text
					continue
				}
				o, kind := r.Body().Map().AsRaw(), "LISTED"
				if inner, ok := o["object"].(map[string]any); ok {
					kind, o = o["type"].(string), inner
				}
				meta := o["metadata"].(map[string]any)
				told := fmt.Sprintf("%s %s %s", kind, meta["name"], meta["uid"])
				s.told = append(s.told, told)
				if s.as == nil {
					s.as = map[string]string{}
				}
				s.as[told] = s.latest["services"]
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

// set changes how it behaves.
func (s *sink) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// says waits until the last state of a resource begins with what is wanted.
func (s *sink) says(t *testing.T, resource, want string) {
	t.Helper()
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		s.mu.Lock()
		defer s.mu.Unlock()
		assert.True(c, strings.HasPrefix(s.latest[resource], want), "%s is %q, want %q", resource, s.latest[resource], want)
	}, soon, 10*time.Millisecond)
}

// refused waits until objects were refused n times.
func (s *sink) refused(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.tries >= n
	}, soon, 10*time.Millisecond)
}

// begin starts a receiver of pods.
func begin(t *testing.T, a *api, s *sink, change func(*Config)) *kubernetesReceiver {
	t.Helper()
	return beginWith(t, componenttest.NewNopTelemetrySettings(), componenttest.NewNopHost(), a, s, change)
}

func beginWith(t *testing.T, telemetry component.TelemetrySettings, host component.Host, a *api, s *sink, change func(*Config)) *kubernetesReceiver {
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
	settings := receivertest.NewNopSettings(metadata.Type)
	settings.TelemetrySettings = telemetry
	r, err := NewFactory().CreateLogs(t.Context(), settings, cfg, s)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
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

// What a list told that failed later on, or that could not go on, is told as gone when it went before the next.
func TestListBreaks(t *testing.T) {
	for _, c := range []struct {
		code   int
		reason string
	}{{http.StatusInternalServerError, "InternalError"}, {http.StatusGone, "Expired"}} {
		t.Run(c.reason, func(t *testing.T) {
			a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
			a.turn = func() (int, string) {
				delete(a.pods, "a")
				return c.code, c.reason
			}
			begin(t, a, s, nil)
			eventually(t, s, "LISTED a u1", "LISTED b u2", "DELETED a u1")
		})
	}
}

// A next component that is slow for longer than a watch may be silent is no silent watch, and no API server that is away.
func TestSlowNext(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1"}, version: 7}, &sink{}
	begin(t, a, s, func(c *Config) { c.SilentAfter = time.Second })
	watching(t, a, 1)
	s.says(t, "pods", "watched true")
	s.set(func() { s.busy = true })
	a.change("ADDED", "b", "u2")
	s.refused(t, 6) // the sixth time 3 s after the first
	s.set(func() { s.busy = false })
	eventually(t, s, "LISTED a u1", "ADDED b u2")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range s.states {
		assert.NotContains(t, state, "blind")
	}
}

// An object whose end could not be told before the watch ended is told as gone by the next list.
func TestEndIsNotLost(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
	r := begin(t, a, s, nil)
	watching(t, a, 1)
	s.set(func() { s.busy = true })
	a.change("DELETED", "a", "u1")
	s.refused(t, 1)
	r.follow()
	s.set(func() { s.busy = false })
	r.lead()
	eventually(t, s, "LISTED a u1", "LISTED b u2", "LISTED b u2", "DELETED a u1")
}

// A watch ends when everything is to be listed anew.
func TestWatchEndsForList(t *testing.T) {
	a := &api{pods: map[string]string{"a": "u1"}, version: 7}
	begin(t, a, &sink{}, func(c *Config) { c.RelistInterval = time.Minute })
	watching(t, a, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	seconds, err := strconv.Atoi(a.lengths[0])
	require.NoError(t, err)
	assert.LessOrEqual(t, seconds, 60)
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
	a, s := &api{forbid: "pods"}, &sink{}
	begin(t, a, s, nil)
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, "blind false the service account may not list pods", s.state())
	}, soon, 10*time.Millisecond)
}

// Of a resource that may not be seen any more, it is not known what is there, once something new is known of another.
func TestForbiddenLater(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1"}, version: 7}, &sink{}
	begin(t, a, s, func(c *Config) { c.Resources = append(c.Resources, Resource{Version: "v1", Name: "services"}) })
	watching(t, a, 2)
	s.says(t, "services", "watched true")
	a.set(func() { a.forbid = "services" })
	a.cut()
	s.says(t, "services", "blind true the service account may not watch services") // nothing that was told depends on what was not
	watching(t, a, 1)
	a.change("ADDED", "b", "u2")
	eventually(t, s, "LISTED a u1", "ADDED b u2")
	s.says(t, "pods", "watched true")
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Equal(t, "blind false the service account may not watch services", s.as["ADDED b u2"], "it is told before the pod is")
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
	const more = "watched false there are more pods than max_objects (1)"
	s.says(t, "pods", more)
	watching(t, a, 1)
	a.change("DELETED", "a", "u1")
	a.change("ADDED", "c", "u3")
	eventually(t, s, "LISTED a u1", "DELETED a u1", "ADDED c u3")
	a.change("DELETED", "c", "u3")
	a.change("MODIFIED", "b", "u2")
	eventually(t, s, "LISTED a u1", "DELETED a u1", "ADDED c u3", "DELETED c u3", "MODIFIED b u2")
	s.says(t, "pods", "watched true <nil>")
}

// An object that is left out is counted once, however often it changes.
func TestLeftOutOnce(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1"}, version: 7}, &sink{}
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.WithoutCancel(t.Context()))) })
	beginWith(t, telemetry.NewTelemetrySettings(), componenttest.NewNopHost(), a, s, func(c *Config) { c.MaxObjects = 1 })
	watching(t, a, 1)
	a.change("ADDED", "b", "u2")
	for range 3 {
		a.change("MODIFIED", "b", "u2")
	}
	a.change("MODIFIED", "a", "u1")
	eventually(t, s, "LISTED a u1", "MODIFIED a u1")
	metadatatest.AssertEqualReceiverKubernetesDropped(t, telemetry, []metricdata.DataPoint[int64]{
		{Value: 1, Attributes: attribute.NewSet(attribute.String("k8s.resource.name", "pods"))}}, metricdatatest.IgnoreTimestamp())
	a.set(func() { a.gone = true })
	a.cut()
	eventually(t, s, "LISTED a u1", "MODIFIED a u1", "LISTED a u1")
	watching(t, a, 1)
	metadatatest.AssertEqualReceiverKubernetesDropped(t, telemetry, []metricdata.DataPoint[int64]{
		{Value: 1, Attributes: attribute.NewSet(attribute.String("k8s.resource.name", "pods"))}}, metricdatatest.IgnoreTimestamp())
}

// The bound is that of a resource, however many namespaces and selectors it is watched by.
func TestBoundOfResource(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "bank/b": "u2"}, version: 7}, &sink{}
	begin(t, a, s, func(c *Config) { c.MaxObjects, c.Namespaces = 1, []string{"shop", "bank"} })
	s.says(t, "pods", "watched false there are more pods than max_objects (1)")
	watching(t, a, 2)
	assert.Len(t, s.all(), 1)
}

// What there was no room for in a list is told when that list shows that others made room.
func TestRoomOfTheGone(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
	begin(t, a, s, func(c *Config) { c.MaxObjects = 2 })
	watching(t, a, 1)
	a.set(func() {
		delete(a.pods, "a")
		a.pods["c"], a.version, a.gone = "u3", 900, true
	})
	a.cut()
	eventually(t, s, "LISTED a u1", "LISTED b u2", "LISTED b u2", "DELETED a u1", "LISTED b u2", "LISTED c u3")
	s.says(t, "pods", "watched true <nil>")
}

// Who leads no more watches no more; who leads again sees what went meanwhile.
func TestLeadership(t *testing.T) {
	a, s := &api{pods: map[string]string{"a": "u1", "b": "u2"}, version: 7}, &sink{}
	r := begin(t, a, s, nil)
	eventually(t, s, "LISTED a u1", "LISTED b u2")
	for range 2 {
		r.follow()
		r.states.all(standby, follows)
	}
	s.says(t, "pods", "standby true this replica is not the leader")
	a.set(func() { delete(a.pods, "a"); a.version++ })
	r.lead()
	r.lead()
	eventually(t, s, "LISTED a u1", "LISTED b u2", "LISTED b u2", "DELETED a u1")
}

// elector elects when it is told to.
type elector struct {
	component.StartFunc
	component.ShutdownFunc
	lead func(context.Context)
	stop func()
}

func (e *elector) SetCallBackFuncs(lead func(context.Context), stop func()) {
	e.lead, e.stop = lead, stop
}

func (e *elector) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("k8s_leader_elector"): e}
}

// Who does not lead, yet or any more, names no other replica that does: it may be the only one, and its lease out of reach.
func TestStandby(t *testing.T) {
	a, s, e := &api{pods: map[string]string{"a": "u1"}, version: 7}, &sink{}, &elector{}
	beginWith(t, componenttest.NewNopTelemetrySettings(), e, a, s, func(c *Config) {
		id := component.MustNewID("k8s_leader_elector")
		c.LeaderElector = &id
	})
	const why = "this replica is not the leader: another one is, or the lease or the API server is out of reach"
	s.says(t, "pods", "standby false "+why)
	e.lead(t.Context())
	s.says(t, "pods", "watched true")
	e.stop()
	s.says(t, "pods", "standby true "+why)
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
