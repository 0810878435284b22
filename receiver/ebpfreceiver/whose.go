//go:build linux

package ebpfreceiver

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/your-org/tapio/internal/cgroupid"
)

// cgroupPath puts together the path of a cgroup from its names as the kernel has them: from the leaf to the root, each ended
// by a zero.
func cgroupPath(names []byte) string {
	parts := strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00")
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

// text is a string of C in a fixed array.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.ToValidUTF8(string(b), "?")
}

// setWhose names who lives in a cgroup. What runs inside a container is the container's; what is in the root is nobody's but the
// machine's, and has no resource.
func setWhose(resource pcommon.Resource, cgroup string, version uint8) {
	if cgroup == "/" {
		return
	}
	id := cgroupid.Of(cgroup)
	if id.Inside(cgroup) {
		cgroup = id.Container
	}
	for name, v := range map[string]string{"cgroup.path": cgroup, "cgroup.version": strconv.Itoa(int(version)), "container.id": id.ContainerID,
		"container.runtime.name": id.Runtime, "k8s.pod.uid": id.PodUID, "systemd.unit": id.Unit} {
		if v != "" {
			resource.Attributes().PutStr(name, v)
		}
	}
}
