// Package kube runs a real Kubernetes control plane for tests: etcd, kube-apiserver, kube-controller-manager and kube-scheduler of
// one binary, which build.sh makes. There is no kubelet: tests write what kubelets write.
package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// Tokens of the users: one who may do everything, and one whom the tests give rights.
const (
	adminToken = "admin-token"
	guestToken = "guest-token"
)

// Guest is the name of the user who may do nothing at first.
const Guest = "guest"

// started is how long a part may take to be ready. On a busy machine some take half a minute.
const started = 3 * time.Minute

// Cluster is a control plane that runs.
type Cluster struct {
	// API is the administrator's.
	API dynamic.Interface
	// Kubeconfig and GuestKubeconfig are files.
	Kubeconfig, GuestKubeconfig string

	dir       string
	processes []part
	client    *http.Client
	address   string
}

// part is a process of the control plane.
type part struct {
	*exec.Cmd
	name string
}

// Start runs a control plane from the binary that build.sh made, with its files in dir. Stop must be called in any case.
func Start(ctx context.Context, binary, dir string) (*Cluster, error) {
	c := &Cluster{dir: dir, client: &http.Client{Timeout: 5 * time.Second}}
	ports, err := freePorts(3)
	if err != nil {
		return c, err
	}
	tokens := fmt.Sprintf("%s,admin,admin,system:masters\n%s,%s,%s\n", adminToken, guestToken, Guest, Guest)
	if err := os.WriteFile(filepath.Join(dir, "tokens.csv"), []byte(tokens), 0o600); err != nil {
		return c, err
	}
	if err := c.serviceAccountKey(); err != nil {
		return c, err
	}
	etcd, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	c.address = "https://127.0.0.1:" + ports[2]
	if err := c.run(binary, "etcd", "--name", "test", "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "test="+peer, "--unsafe-no-fsync", "--log-level", "warn"); err != nil {
		return c, err
	}
	if err := c.run(binary, "kube-apiserver", "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", ports[2], "--cert-dir", filepath.Join(dir, "pki"),
		"--token-auth-file", filepath.Join(dir, "tokens.csv"), "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16",
		"--service-account-key-file", filepath.Join(dir, "sa.pem"), "--service-account-signing-key-file", filepath.Join(dir, "sa.pem"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--profiling=false",
		// There is no kube-proxy: what extends the API is reached by the addresses of its pods.
		"--enable-aggregator-routing",
		// Tests write nodes and pods' status by themselves, and there is no kubelet that could be asked.
		"--disable-admission-plugins", "ServiceAccount,TaintNodesByCondition"); err != nil {
		return c, err
	}
	if err := c.ready(ctx); err != nil {
		return c, err
	}
	for path, token := range map[string]string{"admin.kubeconfig": adminToken, "guest.kubeconfig": guestToken} {
		if err := c.kubeconfig(filepath.Join(dir, path), token); err != nil {
			return c, err
		}
	}
	c.Kubeconfig, c.GuestKubeconfig = filepath.Join(dir, "admin.kubeconfig"), filepath.Join(dir, "guest.kubeconfig")
	if err := c.run(binary, "kube-controller-manager", "--kubeconfig", c.Kubeconfig, "--authentication-kubeconfig", c.Kubeconfig, "--authorization-kubeconfig", c.Kubeconfig,
		"--secure-port", "0", "--leader-elect=false", "--use-service-account-credentials=false", "--service-account-private-key-file", filepath.Join(dir, "sa.pem"),
		// Nodes without a kubelet would be found dead, and their pods deleted.
		"--controllers", "*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller"); err != nil {
		return c, err
	}
	if err := c.run(binary, "kube-scheduler", "--kubeconfig", c.Kubeconfig, "--secure-port", "0", "--leader-elect=false"); err != nil {
		return c, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return c, err
	}
	config.QPS = -1
	c.API, err = dynamic.NewForConfig(config)
	return c, err
}

// run starts one part; its output is in the file of its name.
func (c *Cluster) run(binary, name string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(binary, append([]string{name}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = orphaned()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.processes = append(c.processes, part{cmd, name})
	return nil
}

// Kill ends a part at once; etcd keeps what it had.
func (c *Cluster) Kill(name string) error {
	i := slices.IndexFunc(c.processes, func(p part) bool { return p.name == name && p.ProcessState == nil })
	if i < 0 {
		return fmt.Errorf("kill %s: it does not run", name)
	}
	if err := c.processes[i].Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	_ = c.processes[i].Wait()
	return nil
}

// Resume starts a part again that was killed, and waits until the API server answers.
func (c *Cluster) Resume(ctx context.Context, name string) error {
	i := slices.IndexFunc(c.processes, func(p part) bool { return p.name == name })
	if i < 0 {
		return fmt.Errorf("start %s: no such part", name)
	}
	old := c.processes[i]
	c.processes = slices.Delete(c.processes, i, i+1)
	if err := c.run(old.Path, name, old.Args[2:]...); err != nil {
		return err
	}
	return c.ready(ctx)
}

// ready waits until the API server answers.
func (c *Cluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, started)
	defer cancel()
	for {
		if ca, err := os.ReadFile(filepath.Join(c.dir, "pki", "apiserver.crt")); err == nil {
			if c.answers(ctx, ca) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(c.dir, "kube-apiserver.log"))
			return fmt.Errorf("the API server is not ready: %w\n%s", ctx.Err(), tail(string(log), 30))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Cluster) answers(ctx context.Context, ca []byte) bool {
	c.client.Transport = transport(ca)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address+"/readyz", nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := c.client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	c.client.CloseIdleConnections()
	return resp.StatusCode == http.StatusOK
}

// Stop ends the control plane, the last part first.
func (c *Cluster) Stop() error {
	var errs []error
	for i := len(c.processes) - 1; i >= 0; i-- {
		p := c.processes[i]
		if p.ProcessState != nil {
			continue // it was killed before
		}
		if err := p.Process.Signal(syscall.SIGKILL); err != nil { // its state is thrown away
			errs = append(errs, err)
		}
		_ = p.Wait()
	}
	return errors.Join(errs...)
}

func (c *Cluster) kubeconfig(path, token string) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: test, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
`, c.address, filepath.Join(c.dir, "pki", "apiserver.crt"), token)
	return os.WriteFile(path, []byte(text), 0o600)
}

// serviceAccountKey makes the key that tokens of service accounts are signed with.
func (c *Cluster) serviceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "sa.pem"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// freePorts are ports of loopback that nobody listens on now.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
