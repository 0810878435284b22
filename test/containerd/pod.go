//go:build linux

package containerd

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is a pod whose containers are made and started as the kubelet does.
type Pod struct {
	// Sandbox is the id of its sandbox.
	Sandbox string

	d      *Daemon
	config *cri.PodSandboxConfig
}

// NewPod makes a pod's sandbox. It shares the network of the machine.
func (d *Daemon) NewPod(ctx context.Context, namespace, name, uid string) (*Pod, error) {
	node := &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER}
	p := &Pod{d: d, config: &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: namespace, Uid: uid},
		Labels:       map[string]string{"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.uid": uid},
		LogDirectory: filepath.Join(d.folder, "logs", uid),
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: d.parent(uid),
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: node}},
	}}
	r, err := d.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		return nil, fmt.Errorf("run the sandbox of %s: %w", name, err)
	}
	p.Sandbox = r.GetPodSandboxId()
	return p, nil
}

// parent is the cgroup of a pod, by the name that the kubelet gives it.
func (d *Daemon) parent(uid string) string {
	if d.systemd {
		return "kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	}
	return d.Cgroup + "/pod" + uid
}

// Start makes a container that runs `workload ARGS`, and starts it; attempt is how often one of its name was started before. limit
// bounds its memory (bytes). The id is that of a container that could not be started, too.
func (p *Pod) Start(ctx context.Context, name string, attempt uint32, limit int64, args ...string) (id string, err error) {
	return p.start(ctx, name, attempt, limit, append([]string{"/workload"}, args...))
}

// StartCommand is Start with another command.
func (p *Pod) StartCommand(ctx context.Context, name string, command ...string) (id string, err error) {
	return p.start(ctx, name, 0, 0, command)
}

func (p *Pod) start(ctx context.Context, name string, attempt uint32, limit int64, command []string) (id string, err error) {
	m := p.config.GetMetadata()
	c, err := p.d.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: p.Sandbox, SandboxConfig: p.config, Config: &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name, Attempt: attempt},
		Image:    &cri.ImageSpec{Image: Image},
		Command:  command,
		LogPath:  fmt.Sprintf("%s-%d.log", name, attempt),
		Labels: map[string]string{"io.kubernetes.pod.name": m.GetName(), "io.kubernetes.pod.namespace": m.GetNamespace(),
			"io.kubernetes.pod.uid": m.GetUid(), "io.kubernetes.container.name": name},
		Linux: &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: limit},
			SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: p.config.GetLinux().GetSecurityContext().GetNamespaceOptions()}},
	}})
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", name, err)
	}
	if _, err := p.d.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: c.GetContainerId()}); err != nil {
		return c.GetContainerId(), fmt.Errorf("start container %s: %w", name, err)
	}
	return c.GetContainerId(), nil
}

// Wait waits until a container has ended.
func (d *Daemon) Wait(ctx context.Context, id string) (*cri.ContainerStatus, error) {
	for {
		s, err := d.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
		if err != nil {
			return nil, fmt.Errorf("wait for container %s: %w", id, err)
		}
		if s.GetStatus().GetState() == cri.ContainerState_CONTAINER_EXITED {
			return s.GetStatus(), nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for container %s: %w", id, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Terminate asks a container to end, as the kubelet does when its pod is deleted, and kills it when it has not after grace.
func (d *Daemon) Terminate(ctx context.Context, id string, grace time.Duration) error {
	_, err := d.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: int64(grace.Seconds())})
	return err
}

// Remove removes a container that has ended.
func (d *Daemon) Remove(ctx context.Context, id string) error {
	_, err := d.runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: id})
	return err
}

// Stop stops the pod's sandbox, and its containers.
func (p *Pod) Stop(ctx context.Context) error {
	if _, err := p.d.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.Sandbox}); err != nil {
		return fmt.Errorf("stop the sandbox: %w", err)
	}
	return nil
}

// Remove removes the pod, which was stopped, with its containers.
func (p *Pod) Remove(ctx context.Context) error {
	if _, err := p.d.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.Sandbox}); err != nil {
		return fmt.Errorf("remove the sandbox: %w", err)
	}
	return nil
}
