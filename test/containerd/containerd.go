//go:build linux

// Package containerd runs a real containerd for tests: in namespaces of its own, with its own folders and socket, so that it
// touches no other one; and pods in it, from images made of one static program, without registry and network.
package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Daemon is a running containerd.
type Daemon struct {
	// Socket is where it serves the CRI.
	Socket string
	// Cgroup is the cgroup that all pods are below.
	Cgroup string

	// systemd makes the cgroups, each container a scope of its own, as on most nodes.
	systemd        bool
	folder, binary string
	cmd            *exec.Cmd
	conn           *grpc.ClientConn
	runtime        cri.RuntimeServiceClient
}

// settings are containerd's; FOLDER is its own folder. A container is not asked to be killed last: that takes a right that is
// not there in many containers.
const settings = `
version = 2
root = "FOLDER/root"
state = "FOLDER/state"
oom_score = 0
[grpc]
  address = "FOLDER/sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "tapio.test/workload:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
[plugins."io.containerd.internal.v1.opt"]
  path = "FOLDER/opt"
`

// settings3 is the same for containerd 2.
const settings3 = `
version = 3
root = "FOLDER/root"
state = "FOLDER/state"
oom_score = 0
[grpc]
  address = "FOLDER/sock"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
  use_local_image_pull = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "tapio.test/workload:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.internal.v1.opt"]
  path = "FOLDER/opt"
`

// runc lets systemd make the cgroups.
const runc = `
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = true
`

// Start starts containerd, the program at binary, with an image of the program workload. It says what is missing.
func Start(ctx context.Context, binary, workload string) (*Daemon, error) {
	return start(ctx, binary, workload, false)
}

// StartSystemd starts one as on a node whose kubelet and runtime leave cgroups to systemd: each container is a scope. It is for
// a machine that is thrown away: neither namespaces nor cgroups are its own.
func StartSystemd(ctx context.Context, binary, workload string) (*Daemon, error) {
	return start(ctx, binary, workload, true)
}

func start(ctx context.Context, binary, workload string, systemd bool) (*Daemon, error) {
	folder, err := os.MkdirTemp("", "tapio") // the path of a socket must be short
	if err != nil {
		return nil, err
	}
	d := &Daemon{Socket: filepath.Join(folder, "sock"), Cgroup: "/" + filepath.Base(folder), systemd: systemd, folder: folder, binary: binary}
	if systemd {
		d.Cgroup = "/kubepods.slice"
	}
	if err := d.start(ctx, workload); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context, workload string) error {
	out, err := exec.CommandContext(ctx, d.binary, "--version").Output()
	if err != nil {
		return fmt.Errorf("ask containerd for its version: %w", err)
	}
	config := settings
	if strings.Contains(string(out), " v2.") || strings.Contains(string(out), " 2.") {
		config = settings3
	}
	if d.systemd {
		config += runc
	}
	if err := os.WriteFile(filepath.Join(d.folder, "config"), []byte(strings.ReplaceAll(config, "FOLDER", d.folder)), 0o600); err != nil {
		return err
	}
	if err := d.Run(ctx); err != nil {
		return err
	}
	return d.Import(ctx, Image, workload)
}

// Import makes an image of one static program and brings it into containerd.
func (d *Daemon) Import(ctx context.Context, name, program string) error {
	archive := filepath.Join(d.folder, "image.tar")
	if err := writeImage(archive, name, program); err != nil {
		return err
	}
	ctr := exec.CommandContext(ctx, "ctr", "--address", d.Socket, "-n", "k8s.io", "images", "import", archive)
	if out, err := ctr.CombinedOutput(); err != nil {
		return fmt.Errorf("import an image: %w: %s", err, out)
	}
	return nil
}

// Run starts the daemon, which was stopped or never ran, and waits until it serves the CRI. Its shims' sockets are at a path that
// cannot be configured, /run/containerd/s: it gets one of its own. When it ends, the kernel ends all that runs below it.
func (d *Daemon) Run(ctx context.Context) error {
	d.cmd = exec.Command("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
		`mkdir -p /run/containerd && mount -t tmpfs tapio /run/containerd || exit
		"$1" --config "$2" & wait $!`, "sh", d.binary, filepath.Join(d.folder, "config"))
	if d.systemd {
		d.cmd = exec.Command(d.binary, "--config", filepath.Join(d.folder, "config"))
	}
	log, err := os.OpenFile(d.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// Its own folder first: a containerd that is not the machine's brings its shim with it.
	d.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(d.binary)+":"+os.Getenv("PATH"))
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	if d.conn == nil {
		if d.conn, err = grpc.NewClient("unix://"+d.Socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			return fmt.Errorf("connect to containerd: %w", err)
		}
		d.runtime = cri.NewRuntimeServiceClient(d.conn)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		s, err := d.runtime.Status(ctx, &cri.StatusRequest{})
		if err == nil {
			for _, c := range s.GetStatus().GetConditions() {
				if c.GetType() == cri.RuntimeReady && c.GetStatus() {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(d.LogFile())
			return fmt.Errorf("containerd does not serve the CRI: %w\n%s", err, log[max(0, len(log)-3000):])
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// LogFile is where containerd logs.
func (d *Daemon) LogFile() string { return filepath.Join(d.folder, "log") }

// Halt ends the daemon, and all that it runs, as a machine that loses power does.
func (d *Daemon) Halt() {
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
		d.cmd = nil
	}
}

// Stop ends everything, and removes what it left. Of one whose cgroups are systemd's it ends the daemon only.
func (d *Daemon) Stop() error {
	if d.conn != nil {
		_ = d.conn.Close()
	}
	d.Halt()
	if d.systemd {
		return nil
	}
	var errs []error
	for range 100 { // the kernel needs a moment to end what was killed
		errs = nil
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			roots, _ := filepath.Glob(pattern + d.Cgroup)
			for _, root := range roots {
				errs = append(errs, removeCgroups(root))
			}
		}
		if err := errors.Join(append(errs, os.RemoveAll(d.folder))...); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(errs...)
}

// removeCgroups removes a cgroup with those inside it.
func removeCgroups(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroups(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(root)
}
