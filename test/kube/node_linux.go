package kube

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/your-org/tapio/test/containerd"
)

const (
	// NodeName is the node's, and Image the image that is there: busybox at /bin/busybox, and test/workload at /workload.
	NodeName = "real"
	Image    = "tapio.test/node:1"

	nodeAddress   = "10.199.0.1"
	cgroupRoot    = "/tapio-kube"
	runtimeFolder = "/run/containerd"
)

// settings are those of a containerd that lacks the rights which many containers lack. FOLDER is its own.
const settings = `version = 2
root = "FOLDER/containerd"
state = "/run/containerd/state"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "tapio.test/node:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "FOLDER/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
`

const network = `{"cniVersion":"1.0.0","name":"tapio","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"/var/lib/cni/networks"}}]}
`

// kubelet is its configuration: no right that is not there (oomScoreAdj), no iptables, and crash loops that turn faster.
const kubelet = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: CGROUP
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
address: ADDRESS
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
oomScoreAdj: 0
failSwapOn: false
makeIPTablesUtilChains: false
resolvConf: ""
podLogsDir: FOLDER/podlogs
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}
nodeStatusUpdateFrequency: 5s
crashLoopBackOff: {maxContainerRestartPeriod: 8s}
serializeImagePulls: false
`

// StartNode runs a real node of the cluster: containerd and a kubelet, in the namespaces that node.sh has made, with an image of
// workload and busybox.
func (c *Cluster) StartNode(ctx context.Context, binary, workload string) error {
	for _, program := range []string{"containerd", "runc", "ctr", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("start a node: %w (make setup)", err)
		}
	}
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		return fmt.Errorf("start a node: %w (make setup)", err)
	}
	fill := strings.NewReplacer("FOLDER", c.dir, "CGROUP", cgroupRoot, "ADDRESS", nodeAddress)
	for file, text := range map[string]string{"containerd.toml": settings, "kubelet.yaml": kubelet, "cni/10-tapio.conflist": network} {
		path := filepath.Join(c.dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(fill.Replace(text)), 0o600); err != nil {
			return err
		}
	}
	if err := c.run("/usr/bin/env", "containerd", "--config", filepath.Join(c.dir, "containerd.toml")); err != nil {
		return err
	}
	if err := until(ctx, "containerd", func() bool {
		conn, err := net.Dial("unix", runtimeFolder+"/containerd.sock")
		if err == nil {
			conn.Close()
		}
		return err == nil
	}); err != nil {
		return err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	archive := filepath.Join(c.dir, "image.tar")
	if err := containerd.WriteImage(archive, Image, map[string]string{"workload": workload, "bin/busybox": busybox}, "/workload", "pause"); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "ctr", "--address", runtimeFolder+"/containerd.sock", "-n", "k8s.io", "images", "import", archive).CombinedOutput(); err != nil {
		return fmt.Errorf("import an image: %w: %s", err, out)
	}
	if err := c.run(binary, "kubelet", "--config", filepath.Join(c.dir, "kubelet.yaml"), "--kubeconfig", c.Kubeconfig, "--root-dir", filepath.Join(c.dir, "kubelet"),
		"--cert-dir", filepath.Join(c.dir, "kubelet-pki"), "--hostname-override", NodeName, "--node-ip", nodeAddress); err != nil {
		return err
	}
	return until(ctx, "the node", func() bool {
		n, err := c.API.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).Get(ctx, NodeName, metav1.GetOptions{})
		if err != nil {
			return false
		}
		conditions, _, _ := unstructured.NestedSlice(n.Object, "status", "conditions")
		for _, condition := range conditions {
			if of, ok := condition.(map[string]any); ok && of["type"] == "Ready" && of["status"] == "True" {
				return true
			}
		}
		return false
	})
}

// until waits for a part to be ready.
func until(ctx context.Context, name string, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, started)
	defer cancel()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", name, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}
