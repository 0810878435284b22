package cgroupreceiver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// controller is where one controller's cgroups are, and by which interface it tells of them. The zero value is a controller
// that this host does not have.
type controller struct {
	folder string
	v2     bool
}

// of is the folder of a cgroup, or empty when the host does not have the controller.
func (c controller) of(cgroup string) string {
	if c.folder == "" {
		return ""
	}
	return c.folder + cgroup
}

// hierarchy is how the controllers of a host are mounted: all in one tree (v2), each in its own (v1), or some in either way
// (hybrid).
type hierarchy struct {
	memory, cpu, cpuacct, pids, io controller
	// unified is the v2 tree, or empty. It has every cgroup's pressure even where the controllers are elsewhere.
	unified string
}

// openHierarchy looks at what is mounted below a folder.
func openHierarchy(mount string) (hierarchy, error) {
	if info, err := os.Stat(mount); err != nil {
		return hierarchy{}, fmt.Errorf("mount: %w (want the folder of the cgroup file systems, such as /sys/fs/cgroup)", err)
	} else if !info.IsDir() {
		return hierarchy{}, fmt.Errorf("mount: %s is no folder (want that of the cgroup file systems, such as /sys/fs/cgroup)", mount)
	}
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err == nil {
		all := controller{folder: mount, v2: true}
		return hierarchy{memory: all, cpu: all, cpuacct: all, pids: all, io: all, unified: mount}, nil
	}
	unified := filepath.Join(mount, "unified") // where systemd puts it on hybrid hosts
	list, err := os.ReadFile(filepath.Join(unified, "cgroup.controllers"))
	if err != nil {
		unified = ""
	}
	find := func(controllerName string, folders ...string) controller {
		for _, name := range folders {
			f := filepath.Join(mount, name)
			if _, err := os.Stat(filepath.Join(f, "cgroup.procs")); err == nil {
				return controller{folder: f}
			}
		}
		if slices.Contains(strings.Fields(string(list)), controllerName) {
			return controller{folder: unified, v2: true}
		}
		return controller{}
	}
	h := hierarchy{
		memory:  find("memory", "memory"),
		cpu:     find("cpu", "cpu", "cpu,cpuacct"),
		cpuacct: find("cpu", "cpuacct", "cpu,cpuacct"),
		pids:    find("pids", "pids"),
		io:      find("io", "blkio"),
		unified: unified,
	}
	if len(h.trees()) == 0 {
		return hierarchy{}, fmt.Errorf("mount: there is neither cgroup v2 nor any controller of cgroup v1 at %s", mount)
	}
	return h, nil
}

// version is that of the interface that the memory controller is on, 1 or 2.
func (h hierarchy) version() string {
	if h.memory.v2 || h.memory.folder == "" && h.unified != "" {
		return "2"
	}
	return "1"
}

// folders are those of all controllers.
func (h hierarchy) folders() []string {
	return []string{h.memory.folder, h.cpu.folder, h.cpuacct.folder, h.pids.folder, h.io.folder}
}

// trees are the folders whose cgroups are followed. There are two where memory and pids have trees of their own: a cgroup may
// exist in one of them only.
func (h hierarchy) trees() []string {
	var trees []string
	for _, c := range []controller{h.memory, h.pids} {
		if c.folder != "" && !slices.Contains(trees, c.folder) {
			trees = append(trees, c.folder)
		}
	}
	if len(trees) == 0 {
		for _, c := range []controller{h.cpuacct, h.cpu, h.io} {
			if c.folder != "" {
				return []string{c.folder}
			}
		}
	}
	return trees
}
