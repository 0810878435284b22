package cgroupreceiver

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	idA  = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"
	idB  = "f00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dfacef00dface"
	uidA = "6b5a1f0e-2c3d-4e5f-8091-a2b3c4d5e6f7"
	// The same, as slices have it.
	uidSlice = "6b5a1f0e_2c3d_4e5f_8091_a2b3c4d5e6f7"
	mirror   = "d41d8cd98f00b204e9800998ecf8427e" // the UID of a static pod
)

func TestIdentify(t *testing.T) {
	for _, c := range []struct {
		what, path string
		want       identity // its container is the path's own where the path says so
		inside     bool
	}{
		// Kubernetes, cgroupfs driver: the path does not tell containerd from cri-dockerd.
		{what: "containerd or cri-dockerd", path: "/kubepods/burstable/pod" + uidA + "/" + idA, want: identity{containerID: idA, podUID: uidA}},
		{what: "guaranteed pod's container", path: "/kubepods/pod" + uidA + "/" + idA, want: identity{containerID: idA, podUID: uidA}},
		{what: "CRI-O", path: "/kubepods/besteffort/pod" + uidA + "/crio-" + idA, want: identity{containerID: idA, runtime: "cri-o", podUID: uidA}},
		{what: "CRI-O's monitor", path: "/kubepods/besteffort/pod" + uidA + "/crio-conmon-" + idA},
		{what: "pod", path: "/kubepods/burstable/pod" + uidA, want: identity{podUID: uidA}},
		{what: "static pod", path: "/kubepods/burstable/pod" + mirror, want: identity{podUID: mirror}},
		{what: "class of pods", path: "/kubepods/burstable"},
		{what: "all pods", path: "/kubepods"},
		// Kubernetes, systemd driver.
		{what: "containerd", path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidSlice + ".slice/cri-containerd-" + idA + ".scope",
			want: identity{containerID: idA, runtime: "containerd", podUID: uidA}},
		{what: "guaranteed pod's container", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/cri-containerd-" + idA + ".scope",
			want: identity{containerID: idA, runtime: "containerd", podUID: uidA}},
		{what: "CRI-O", path: "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidSlice + ".slice/crio-" + idA + ".scope",
			want: identity{containerID: idA, runtime: "cri-o", podUID: uidA}},
		{what: "inside CRI-O's (crun)", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/crio-" + idA + ".scope/container",
			want: identity{containerID: idA, runtime: "cri-o", podUID: uidA}, inside: true},
		{what: "CRI-O's monitor", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/crio-conmon-" + idA + ".scope"},
		{what: "cri-dockerd", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/docker-" + idA + ".scope",
			want: identity{containerID: idA, runtime: "docker", podUID: uidA}},
		{what: "pod", path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidSlice + ".slice", want: identity{podUID: uidA}},
		{what: "static pod", path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + mirror + ".slice", want: identity{podUID: mirror}},
		{what: "class of pods", path: "/kubepods.slice/kubepods-burstable.slice"},
		{what: "kubelet with a cgroup root (kind)",
			path: "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + uidSlice + ".slice/cri-containerd-" + idA + ".scope",
			want: identity{containerID: idA, runtime: "containerd", podUID: uidA}},
		{what: "kubelet on systemd, containerd left on cgroupfs",
			path: "/system.slice/containerd.service/kubepods-besteffort-pod" + uidSlice + ".slice:cri-containerd:" + idA,
			want: identity{containerID: idA, runtime: "containerd", podUID: uidA}},
		// A cluster inside a container (kind).
		{what: "container of a node that is a container", path: "/docker/" + idB + "/kubelet/kubepods/burstable/pod" + uidA + "/" + idA,
			want: identity{containerID: idA, podUID: uidA}},
		{what: "pod of a node that is a container", path: "/docker/" + idB + "/kubelet/kubepods/pod" + uidA, want: identity{podUID: uidA}},
		{what: "node that is a container", path: "/docker/" + idB, want: identity{containerID: idB, runtime: "docker"}},
		{what: "unit inside a container", path: "/docker/" + idB + "/system.slice/kubelet.service",
			want: identity{containerID: idB, runtime: "docker"}, inside: true},
		// Docker, Podman and nerdctl alone.
		{what: "Docker, cgroupfs", path: "/docker/" + idA, want: identity{containerID: idA, runtime: "docker"}},
		{what: "Docker, systemd", path: "/system.slice/docker-" + idA + ".scope", want: identity{containerID: idA, runtime: "docker"}},
		{what: "rootless Docker", path: "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-" + idA + ".scope",
			want: identity{containerID: idA, runtime: "docker"}},
		{what: "Podman", path: "/machine.slice/libpod-" + idA + ".scope", want: identity{containerID: idA, runtime: "podman"}},
		{what: "inside Podman's", path: "/machine.slice/libpod-" + idA + ".scope/container", want: identity{containerID: idA, runtime: "podman"}, inside: true},
		{what: "Podman, cgroupfs", path: "/libpod_parent/libpod-" + idA, want: identity{containerID: idA, runtime: "podman"}},
		{what: "nerdctl", path: "/system.slice/nerdctl-" + idA + ".scope", want: identity{containerID: idA, runtime: "containerd"}},
		{what: "Docker's own unit", path: "/system.slice/docker.service", want: identity{unit: "docker.service"}},
		// systemd.
		{what: "service", path: "/system.slice/nginx.service", want: identity{unit: "nginx.service"}},
		{what: "instance of a service", path: `/system.slice/system-getty.slice/getty@tty1.service`, want: identity{unit: "getty@tty1.service"}},
		{what: "escaped name", path: `/system.slice/system-systemd\x2dfsck.slice/systemd-fsck@dev-sda1.service`, want: identity{unit: "systemd-fsck@dev-sda1.service"}},
		{what: "session", path: "/user.slice/user-1000.slice/session-3.scope", want: identity{unit: "session-3.scope"}},
		{what: "slice", path: "/system.slice"},
		{what: "a user's manager", path: "/user.slice/user-1000.slice/user@1000.service", want: identity{unit: "user@1000.service"}},
		{what: "a user's unit, whose name is not unique on the host", path: "/user.slice/user-1000.slice/user@1000.service/init.scope"},
		{what: "a service's own cgroup", path: "/system.slice/nginx.service/workers"},
		// Anything else is known by its path.
		{what: "plain", path: "/tapio-demo"},
		{what: "looks like an id, but is too short", path: "/docker/0a1b2c3d4e5f"},
		{what: "is no id", path: "/docker/" + strings.Repeat("z", 64)},
	} {
		t.Run(c.what+" "+c.path, func(t *testing.T) {
			got := identify(c.path)
			assert.Equal(t, c.inside, got.inside(c.path))
			if c.want.containerID != "" && !c.inside {
				c.want.container = c.path
			}
			if c.inside {
				assert.True(t, strings.HasPrefix(c.path, got.container+"/"))
				got.container = ""
			}
			assert.Equal(t, c.want, got)
		})
	}
}
