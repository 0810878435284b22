// Package cgroupid reads from a cgroup's path who lives in it: a container, a pod, a systemd unit.
package cgroupid

import (
	"regexp"
	"strings"
)

// Identity is what a cgroup's path says of who lives in it.
type Identity struct {
	ContainerID string
	Runtime     string
	PodUID      string
	Unit        string
	// Container is the path of the container's own cgroup. That of a cgroup inside it (made by the runtime, or by an init
	// system in the container) is longer.
	Container string
}

var (
	// Scopes of the systemd driver: cri-containerd-<id>.scope, crio-<id>.scope, docker-<id>.scope, libpod-<id>.scope.
	// (crio-conmon-<id>.scope holds the monitor, not the container.)
	scopeRE = regexp.MustCompile(`^(cri-containerd|crio|docker|libpod|nerdctl)-([0-9a-f]{12,64})\.scope$`)
	// Folders of the cgroupfs driver: <id>, crio-<id>, libpod-<id>.
	folderRE = regexp.MustCompile(`^(?:(crio|libpod)-)?([0-9a-f]{64})$`)
	// A name for the systemd driver that was used as a folder, by a runtime left on cgroupfs below a kubelet on systemd:
	// kubepods-burstable-pod<uid>.slice:cri-containerd:<id>.
	mixedRE = regexp.MustCompile(`^([^/:]+\.slice):(cri-containerd|crio|docker|libpod|nerdctl):([0-9a-f]{12,64})$`)
	// Pods: pod<uid>, kubepods-burstable-pod<uid>.slice with the uid's dashes as underscores, and a prefix where the kubelet
	// has a cgroup root of its own (kubelet-kubepods-…, as in kind). Static pods have a hash for uid.
	podRE = regexp.MustCompile(`^(?:(?:[^/]+-)?kubepods(?:-burstable|-besteffort)?-)?pod` +
		`([0-9a-fA-F]{8}[-_][0-9a-fA-F]{4}[-_][0-9a-fA-F]{4}[-_][0-9a-fA-F]{4}[-_][0-9a-fA-F]{12}|[0-9a-f]{32})(?:\.slice)?$`)
	// Units of systemd that have processes of their own or below them. Slices group others.
	unitRE = regexp.MustCompile(`^[^/]+\.(service|scope|socket|mount|swap)$`)
)

var runtimes = map[string]string{
	"cri-containerd": "containerd", "nerdctl": "containerd", "crio": "cri-o", "docker": "docker", "libpod": "podman",
}

// Of reads a cgroup path. Attributes that name somebody are given to one cgroup only, the container's, pod's or unit's
// own, and not to those inside it: two cgroups under one name would be read as one that jumps to and fro. Only containers
// are told of the cgroups inside them, which belong to them; a container or pod inside a container is one of its own.
func Of(path string) Identity {
	var id Identity
	parts := strings.Split(strings.Trim(path, "/"), "/")
	unitAt := -1
	own := false // the last part names somebody
	end := 0     // of the part in the path
	for i, part := range parts {
		end += 1 + len(part)
		own = true
		container := func(runtime, containerID string) {
			id.Runtime, id.ContainerID, id.Container = runtime, containerID, path[:min(end, len(path))]
		}
		if m := mixedRE.FindStringSubmatch(part); m != nil {
			if pod := podRE.FindStringSubmatch(m[1]); pod != nil {
				id.PodUID = uid(pod[1])
			}
			container(runtimes[m[2]], m[3])
		} else if m := podRE.FindStringSubmatch(part); m != nil {
			id = Identity{PodUID: uid(m[1])}
		} else if m := scopeRE.FindStringSubmatch(part); m != nil {
			container(runtimes[m[1]], m[2])
		} else if m := folderRE.FindStringSubmatch(part); m != nil {
			runtime := runtimes[m[1]]
			if runtime == "" && i > 0 && parts[i-1] == "docker" {
				runtime = "docker"
			}
			container(runtime, m[2])
		} else if own = false; unitAt < 0 && unitRE.MatchString(part) {
			unitAt = i
		}
	}
	switch {
	case id.ContainerID != "":
	case !own && unitAt == len(parts)-1 && id.PodUID == "":
		id.Unit = parts[unitAt]
	case !own:
		id.PodUID = "" // beside the pod's containers: a monitor
	}
	return id
}

// uid is a pod's UID as the API server has it.
func uid(s string) string { return strings.ReplaceAll(s, "_", "-") }

// Inside says whether a cgroup is inside a container, and not the container's own.
func (id Identity) Inside(cgroup string) bool { return id.Container != "" && id.Container != cgroup }
