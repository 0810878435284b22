package cgroupreceiver

import (
	"regexp"
	"strings"
)

// identity is what a cgroup's path says of who lives in it.
type identity struct {
	containerID string
	runtime     string
	podUID      string
	unit        string
}

var (
	// Scopes of the systemd driver: cri-containerd-<id>.scope, crio-<id>.scope, docker-<id>.scope, libpod-<id>.scope.
	// (crio-conmon-<id>.scope holds the monitor, not the container.)
	scopeRE = regexp.MustCompile(`^(cri-containerd|crio|docker|libpod)-([0-9a-f]{12,64})\.scope$`)
	// Folders of the cgroupfs driver: <id>, crio-<id>, libpod-<id>.
	folderRE = regexp.MustCompile(`^(?:(crio|libpod)-)?([0-9a-f]{64})$`)
	// Pods: pod<uid>, kubepods-burstable-pod<uid>.slice with the uid's dashes as underscores; static pods have a hash for uid.
	podRE = regexp.MustCompile(`^(?:kubepods(?:-burstable|-besteffort)?-)?pod([0-9a-fA-F]{8}[-_][0-9a-fA-F]{4}[-_][0-9a-fA-F]{4}[-_][0-9a-fA-F]{4}[-_][0-9a-fA-F]{12}|[0-9a-f]{32})(?:\.slice)?$`)
	// Units of systemd that have processes of their own or below them. Slices and root's own scope group others.
	unitRE = regexp.MustCompile(`^[^/]+\.(service|scope|socket|mount|swap)$`)
)

var runtimes = map[string]string{"cri-containerd": "containerd", "crio": "cri-o", "docker": "docker", "libpod": "podman"}

// identify reads a cgroup path. The innermost part that says something counts: a service inside a container belongs to it.
func identify(path string) identity {
	var id identity
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, part := range parts {
		if m := podRE.FindStringSubmatch(part); m != nil {
			id.podUID = strings.ReplaceAll(m[1], "_", "-")
			continue
		}
		if m := scopeRE.FindStringSubmatch(part); m != nil {
			id.runtime, id.containerID = runtimes[m[1]], m[2]
			continue
		}
		if m := folderRE.FindStringSubmatch(part); m != nil {
			id.containerID = m[2]
			switch {
			case m[1] != "":
				id.runtime = runtimes[m[1]]
			case i > 0 && parts[i-1] == "docker":
				id.runtime = "docker"
			}
			continue
		}
		if id.containerID == "" && id.podUID == "" && unitRE.MatchString(part) {
			id.unit = part
		}
	}
	if id.containerID != "" || id.podUID != "" {
		id.unit = ""
	}
	return id
}
