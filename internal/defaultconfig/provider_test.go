package defaultconfig

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
)

// resolve does what the collector does with --config.
func resolve(t *testing.T, uris ...string) (*confmap.Conf, error) {
	t.Helper()
	r, err := confmap.NewResolver(confmap.ResolverSettings{URIs: uris,
		ProviderFactories: []confmap.ProviderFactory{NewFactory(), envprovider.NewFactory(), yamlprovider.NewFactory()}})
	require.NoError(t, err)
	return r.Resolve(t.Context())
}

// The default configuration serves on loopback only, and environment variables change what they say they change.
func TestLocal(t *testing.T) {
	conf, err := resolve(t, "tapio:local")
	require.NoError(t, err)
	for key, want := range map[string]any{
		"exporters::findings::endpoint":          "localhost:4320",
		"exporters::prometheus::endpoint":        "localhost:4321",
		"extensions::file_storage::directory":    "/var/lib/tapio",
		"receivers::cgroup::collection_interval": "5s",
		"receivers::cgroup::mount":               "/sys/fs/cgroup",
		"receivers::hostmetrics::root_path":      "/",
	} {
		assert.Equal(t, want, conf.Get(key), key)
	}
	t.Setenv("TAPIO_STATE_DIR", "/elsewhere")
	t.Setenv("TAPIO_FINDINGS_ENDPOINT", "localhost:1")
	t.Setenv("TAPIO_METRICS_ENDPOINT", "localhost:2")
	t.Setenv("TAPIO_INTERVAL", "100ms")
	t.Setenv("TAPIO_CGROUP_MOUNT", "/cgroup")
	t.Setenv("TAPIO_ROOT_PATH", "/host")
	conf, err = resolve(t, "tapio:local")
	require.NoError(t, err)
	for key, want := range map[string]any{
		"exporters::findings::endpoint":          "localhost:1",
		"exporters::prometheus::endpoint":        "localhost:2",
		"extensions::file_storage::directory":    "/elsewhere",
		"receivers::cgroup::collection_interval": "100ms",
		"receivers::cgroup::mount":               "/cgroup",
		"receivers::hostmetrics::root_path":      "/host",
	} {
		assert.Equal(t, want, conf.Get(key), key)
	}
}

// The collector's own metrics are off, and can be switched on as the files say.
func TestOwnMetrics(t *testing.T) {
	for _, uri := range []string{"tapio:local", "tapio:cluster"} {
		const key = "service::telemetry::metrics::level"
		conf, err := resolve(t, uri)
		require.NoError(t, err)
		assert.Equal(t, "none", conf.Get(key))
		conf, err = resolve(t, uri, "yaml:"+key+": normal")
		require.NoError(t, err)
		assert.Equal(t, "normal", conf.Get(key))
	}
}

// The journal is added to what the default configuration reads; nothing of that is lost.
func TestJournal(t *testing.T) {
	alone, err := resolve(t, "tapio:local")
	require.NoError(t, err)
	both, err := resolve(t, "tapio:local", "tapio:journal")
	require.NoError(t, err)
	const key = "service::pipelines::logs::receivers"
	assert.Equal(t, append(alone.Get(key).([]any), "journald"), both.Get(key))
}

// A node's collector serves what it finds as before, and sends it to the cluster's as well.
func TestNode(t *testing.T) {
	conf, err := resolve(t, "tapio:local", "tapio:node")
	require.NoError(t, err)
	assert.Equal(t, []any{"findings", "otlp/cluster"}, conf.Get("service::pipelines::logs::exporters"))
	assert.Equal(t, "tapio.tapio.svc:4317", conf.Get("exporters::otlp/cluster::endpoint"))
	assert.NotEmpty(t, conf.Get("service::pipelines::logs::receivers"))
	assert.Equal(t, []any{"nop"}, conf.Get("service::pipelines::metrics::exporters"))
}

// Data waits before the kernel ends a collector for want of memory: at less than what its manifest allows.
func TestMemoryLimitsOfTheManifests(t *testing.T) {
	for file, uris := range map[string][]string{"node.yaml": {"tapio:local", "tapio:node"}, "cluster.yaml": {"tapio:cluster"}} {
		conf, err := resolve(t, uris...)
		require.NoError(t, err)
		manifest, err := os.ReadFile(filepath.Join("../../deploy/kubernetes", file))
		require.NoError(t, err)
		limit := regexp.MustCompile(`limits: \{memory: (\d+)Mi\}`).FindSubmatch(manifest)
		require.NotNil(t, limit, file)
		most, err := strconv.Atoi(string(limit[1]))
		require.NoError(t, err)
		assert.LessOrEqual(t, conf.Get("processors::memory_limiter::limit_mib"), most*85/100, "%s: beside the heap there are code, stacks and maps", file)
	}
}

// In a cluster that has IPv6 only, an address of IPv4 is nobody's: neither the nodes nor the kubelet would reach the collector.
func TestClusterIsReachedByIPv6(t *testing.T) {
	conf, err := resolve(t, "tapio:cluster")
	require.NoError(t, err)
	for _, key := range []string{"extensions::health_check::endpoint", "receivers::otlp::protocols::grpc::endpoint", "exporters::findings::endpoint",
		"exporters::prometheus::endpoint"} {
		endpoint, ok := conf.Get(key).(string)
		require.True(t, ok, key)
		host, _, err := net.SplitHostPort(endpoint)
		require.NoError(t, err, key)
		assert.Empty(t, host, key)
	}
}

// The cluster's collector can be pointed at another cluster, and serves elsewhere, by environment variables.
func TestCluster(t *testing.T) {
	for name, value := range map[string]string{"TAPIO_KUBE_AUTH": "kubeConfig", "TAPIO_NAMESPACE": "elsewhere", "TAPIO_OTLP_ENDPOINT": "localhost:1",
		"TAPIO_FINDINGS_ENDPOINT": "localhost:2", "TAPIO_METRICS_ENDPOINT": "localhost:3", "TAPIO_HEALTH_ENDPOINT": "localhost:4", "TAPIO_STATE_DIR": "/elsewhere"} {
		t.Setenv(name, value)
	}
	conf, err := resolve(t, "tapio:cluster")
	require.NoError(t, err)
	for key, want := range map[string]any{
		"extensions::k8s_leader_elector::auth_type":       "kubeConfig",
		"extensions::k8s_leader_elector::lease_namespace": "elsewhere",
		"receivers::otlp::protocols::grpc::endpoint":      "localhost:1",
		"receivers::k8s_cluster::auth_type":               "kubeConfig",
		"exporters::findings::endpoint":                   "localhost:2",
		"exporters::prometheus::endpoint":                 "localhost:3",
		"extensions::health_check::endpoint":              "localhost:4",
		"extensions::file_storage::directory":             "/elsewhere",
	} {
		assert.Equal(t, want, conf.Get(key), key)
	}
}

func TestUnknown(t *testing.T) {
	_, err := resolve(t, "tapio:kluster")
	assert.ErrorContains(t, err, "there is no configuration tapio:kluster, want tapio:local, with it tapio:journal or tapio:node, or tapio:cluster")
}
