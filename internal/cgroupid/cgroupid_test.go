package cgroupid

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

func TestOf(t *testing.T) {
	for _, c := range []struct {
		what, path string
		want       Identity // its container is the path's own where the path says so
		inside     bool
	}{
		// Kubernetes, cgroupfs driver: the path does not tell containerd from cri-dockerd.
		{what: "containerd or cri-dockerd", path: "/kubepods/burstable/pod" + uidA + "/" + idA, want: Identity{ContainerID: idA, PodUID: uidA}},
		{what: "guaranteed pod's container", path: "/kubepods/pod" + uidA + "/" + idA, want: Identity{ContainerID: idA, PodUID: uidA}},
		{what: "CRI-O", path: "/kubepods/besteffort/pod" + uidA + "/crio-" + idA, want: Identity{ContainerID: idA, Runtime: "cri-o", PodUID: uidA}},
		{what: "CRI-O's monitor", path: "/kubepods/besteffort/pod" + uidA + "/crio-conmon-" + idA},
		{what: "pod", path: "/kubepods/burstable/pod" + uidA, want: Identity{PodUID: uidA}},
		{what: "static pod", path: "/kubepods/burstable/pod" + mirror, want: Identity{PodUID: mirror}},
		{what: "class of pods", path: "/kubepods/burstable"},
		{what: "all pods", path: "/kubepods"},
		// Kubernetes, systemd driver.
		{what: "containerd", path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidSlice + ".slice/cri-containerd-" + idA + ".scope",
			want: Identity{ContainerID: idA, Runtime: "containerd", PodUID: uidA}},
		{what: "guaranteed pod's container", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/cri-containerd-" + idA + ".scope",
			want: Identity{ContainerID: idA, Runtime: "containerd", PodUID: uidA}},
		{what: "CRI-O", path: "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidSlice + ".slice/crio-" + idA + ".scope",
			want: Identity{ContainerID: idA, Runtime: "cri-o", PodUID: uidA}},
		{what: "inside CRI-O's (crun)", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/crio-" + idA + ".scope/container",
			want: Identity{ContainerID: idA, Runtime: "cri-o", PodUID: uidA}, inside: true},
		{what: "CRI-O's monitor", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/crio-conmon-" + idA + ".scope"},
		{what: "cri-dockerd", path: "/kubepods.slice/kubepods-pod" + uidSlice + ".slice/docker-" + idA + ".scope",
			want: Identity{ContainerID: idA, Runtime: "docker", PodUID: uidA}},
		{what: "pod", path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidSlice + ".slice", want: Identity{PodUID: uidA}},
		{what: "static pod", path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + mirror + ".slice", want: Identity{PodUID: mirror}},
		{what: "class of pods", path: "/kubepods.slice/kubepods-burstable.slice"},
		{what: "kubelet with a cgroup root (kind)",
			path: "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + uidSlice + ".slice/cri-containerd-" + idA + ".scope",
			want: Identity{ContainerID: idA, Runtime: "containerd", PodUID: uidA}},
		{what: "kubelet on systemd, containerd left on cgroupfs",
			path: "/system.slice/containerd.service/kubepods-besteffort-pod" + uidSlice + ".slice:cri-containerd:" + idA,
			want: Identity{ContainerID: idA, Runtime: "containerd", PodUID: uidA}},
		// A cluster inside a container (kind).
		{what: "container of a node that is a container", path: "/docker/" + idB + "/kubelet/kubepods/burstable/pod" + uidA + "/" + idA,
			want: Identity{ContainerID: idA, PodUID: uidA}},
		{what: "pod of a node that is a container", path: "/docker/" + idB + "/kubelet/kubepods/pod" + uidA, want: Identity{PodUID: uidA}},
		{what: "node that is a container", path: "/docker/" + idB, want: Identity{ContainerID: idB, Runtime: "docker"}},
		{what: "unit inside a container", path: "/docker/" + idB + "/system.slice/kubelet.service",
			want: Identity{ContainerID: idB, Runtime: "docker"}, inside: true},
		// Docker, Podman and nerdctl alone.
		{what: "Docker, cgroupfs", path: "/docker/" + idA, want: Identity{ContainerID: idA, Runtime: "docker"}},
		{what: "Docker, systemd", path: "/system.slice/docker-" + idA + ".scope", want: Identity{ContainerID: idA, Runtime: "docker"}},
		{what: "rootless Docker", path: "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-" + idA + ".scope",
			want: Identity{ContainerID: idA, Runtime: "docker"}},
		{what: "Podman", path: "/machine.slice/libpod-" + idA + ".scope", want: Identity{ContainerID: idA, Runtime: "podman"}},
		{what: "inside Podman's", path: "/machine.slice/libpod-" + idA + ".scope/container", want: Identity{ContainerID: idA, Runtime: "podman"}, inside: true},
		{what: "Podman, cgroupfs", path: "/libpod_parent/libpod-" + idA, want: Identity{ContainerID: idA, Runtime: "podman"}},
		{what: "nerdctl", path: "/system.slice/nerdctl-" + idA + ".scope", want: Identity{ContainerID: idA, Runtime: "containerd"}},
		{what: "Docker's own unit", path: "/system.slice/docker.service", want: Identity{Unit: "docker.service"}},
		// systemd.
		{what: "service", path: "/system.slice/nginx.service", want: Identity{Unit: "nginx.service"}},
		{what: "instance of a service", path: `/system.slice/system-getty.slice/getty@tty1.service`, want: Identity{Unit: "getty@tty1.service"}},
		{what: "escaped name", path: `/system.slice/system-systemd\x2dfsck.slice/systemd-fsck@dev-sda1.service`, want: Identity{Unit: "systemd-fsck@dev-sda1.service"}},
		{what: "session", path: "/user.slice/user-1000.slice/session-3.scope", want: Identity{Unit: "session-3.scope"}},
		{what: "slice", path: "/system.slice"},
		{what: "a user's manager", path: "/user.slice/user-1000.slice/user@1000.service", want: Identity{Unit: "user@1000.service"}},
		{what: "a user's unit, whose name is not unique on the host", path: "/user.slice/user-1000.slice/user@1000.service/init.scope"},
		{what: "a service's own cgroup", path: "/system.slice/nginx.service/workers"},
		// Anything else is known by its path.
		{what: "plain", path: "/tapio-demo"},
		{what: "looks like an id, but is too short", path: "/docker/0a1b2c3d4e5f"},
		{what: "is no id", path: "/docker/" + strings.Repeat("z", 64)},
	} {
		t.Run(c.what+" "+c.path, func(t *testing.T) {
			got := Of(c.path)
			assert.Equal(t, c.inside, got.Inside(c.path))
			if c.want.ContainerID != "" && !c.inside {
				c.want.Container = c.path
			}
			if c.inside {
				assert.True(t, strings.HasPrefix(c.path, got.Container+"/"))
				got.Container = ""
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func FuzzOf(f *testing.F) {
	f.Add("/kubepods/burstable/pod" + uidA + "/" + idA)
	f.Add("/kubepods.slice/kubepods-pod" + uidSlice + ".slice/cri-containerd-" + idA + ".scope")
	f.Add("/docker/" + idB + "/system.slice/kubelet.service")
	f.Add("/x.slice:docker:" + idA)
	f.Add("//" + idA + "//")
	f.Fuzz(func(t *testing.T, path string) {
		id := Of(path)
		if (id.ContainerID != "") != (id.Container != "") || !strings.HasPrefix(path, id.Container) {
			t.Fatalf("%+v", id)
		}
		if id.Unit != "" && (id.ContainerID != "" || id.PodUID != "") {
			t.Fatalf("a unit and a container or pod: %+v", id)
		}
	})
}
