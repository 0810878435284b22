package journaldreceiver

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/your-org/tapio/internal/cgroupid"
)

// The fields that say where an entry comes from.
const (
	hostName = iota
	hostID
	unit
	cgroup
	containerID
	containerName
	imageName
	originFields
)

const (
	// maxOrigin bounds what becomes a resource attribute, in bytes: a name of a host, unit or container is never as long.
	maxOrigin = 4096
	// maxIdentities bounds the cgroup paths whose meaning is remembered.
	maxIdentities = 4096
)

// origin is where an entry comes from: what makes its resource.
type origin struct {
	values [originFields][]byte
}

// take keeps the first good value of a field.
func (o *origin) take(field int, value []byte) {
	if o.values[field] == nil && len(value) > 0 && len(value) <= maxOrigin && utf8.Valid(value) {
		o.values[field] = value
	}
}

// told says whether the resource has all of this value.
func (o *origin) told(field int, value []byte, contained bool) bool {
	taken := o.values[field]
	if len(value) == 0 || taken == nil || &value[0] != &taken[0] {
		return false
	}
	return field != cgroup && (field != unit || !contained)
}

// origins turns origins into resources.
type origins struct {
	identities map[string]cgroupid.Identity
	scratch    []byte
}

func newOrigins() *origins { return &origins{identities: map[string]cgroupid.Identity{}} }

// key tells origins apart; it is valid until the next call.
func (s *origins) key(o *origin) []byte {
	s.scratch = s.scratch[:0]
	for _, v := range o.values {
		s.scratch = append(s.scratch, byte(len(v)), byte(len(v)>>8))
		s.scratch = append(s.scratch, v...)
	}
	return s.scratch
}

// identity is who lives in a cgroup.
func (s *origins) identity(path []byte) cgroupid.Identity {
	if id, ok := s.identities[string(path)]; ok || len(path) == 0 {
		return id
	}
	if len(s.identities) == maxIdentities {
		clear(s.identities) // pods come and go; those that are here are soon back
	}
	id := cgroupid.Of(string(path))
	s.identities[string(path)] = id
	return id
}

// fill sets the attributes of the resource, and says whether it is a container.
func (s *origins) fill(attributes pcommon.Map, o *origin) bool {
	set := func(name, value string) {
		if value != "" {
			attributes.PutStr(name, value)
		}
	}
	set("host.name", string(o.values[hostName]))
	set("host.id", string(o.values[hostID]))
	id := s.identity(o.values[cgroup])
	// A container's runtime that logs on its behalf (conmon, dockerd) is itself in a unit or a container's scope of its own.
	if v := o.values[containerID]; v != nil {
		if string(v) != id.ContainerID {
			id = cgroupid.Identity{}
		}
		id.ContainerID = string(v)
	}
	set("container.id", id.ContainerID)
	set("container.runtime.name", id.Runtime)
	name := string(o.values[containerName])
	set("container.name", name)
	set("container.image.name", string(o.values[imageName]))
	if k, ok := parseKubernetesName(name); ok {
		set("k8s.container.name", k.container)
		set("k8s.pod.name", k.pod)
		set("k8s.namespace.name", k.namespace)
		id.PodUID = k.uid
		attributes.PutInt("k8s.container.restart_count", k.attempt)
	}
	set("k8s.pod.uid", id.PodUID)
	if id.ContainerID != "" {
		return true
	}
	set("systemd.unit", string(o.values[unit]))
	return false
}

// kubernetesName is the name that CRI-O and cri-dockerd give to a container.
type kubernetesName struct {
	container, pod, namespace, uid string
	attempt                        int64
}

// parseKubernetesName reads k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT; names in Kubernetes have no underscores.
func parseKubernetesName(s string) (kubernetesName, bool) {
	parts := strings.Split(s, "_")
	if len(parts) != 6 || parts[0] != "k8s" {
		return kubernetesName{}, false
	}
	attempt, err := strconv.ParseInt(parts[5], 10, 64)
	if err != nil || attempt < 0 {
		return kubernetesName{}, false
	}
	return kubernetesName{parts[1], parts[2], parts[3], parts[4], attempt}, true
}
