package cgroupreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

// hierarchy is how the controllers of this host are mounted: all in one tree (v2), or each in its own (v1, hybrid).
type hierarchy struct {
	version string // of the interface that the memory controller is on: 1 or 2
	memory  string // folders; empty where there is no such controller
	cpu     string
	cpuacct string
	pids    string
	blkio   string
}

// openHierarchy looks at what is mounted below a folder.
func openHierarchy(mount string) (hierarchy, error) {
	if info, err := os.Stat(mount); err != nil {
		return hierarchy{}, fmt.Errorf("mount: %w", err)
	} else if !info.IsDir() {
		return hierarchy{}, fmt.Errorf("mount: %s is no folder", mount)
	}
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err == nil {
		return hierarchy{version: "2", memory: mount, cpu: mount, cpuacct: mount, pids: mount, blkio: mount}, nil
	}
	folder := func(names ...string) string {
		for _, name := range names {
			f := filepath.Join(mount, name)
			if _, err := os.Stat(filepath.Join(f, "cgroup.procs")); err == nil {
				return f
			}
		}
		return ""
	}
	h := hierarchy{version: "1", memory: folder("memory"), cpu: folder("cpu", "cpu,cpuacct"), cpuacct: folder("cpuacct", "cpu,cpuacct"),
		pids: folder("pids"), blkio: folder("blkio")}
	if h.memory == "" {
		return hierarchy{}, fmt.Errorf("mount: %s holds neither cgroup v2 nor the memory controller of cgroup v1", mount)
	}
	return h, nil
}

// trees are the folders whose cgroups are followed: a cgroup may exist in the pids hierarchy only.
func (h hierarchy) trees() []string {
	if h.version == "2" || h.pids == "" {
		return []string{h.memory}
	}
	return []string{h.memory, h.pids}
}

// walk calls visit with the path of every cgroup below the roots that is not excluded, each once, parents first. It stops
// early when visit returns false.
func (h hierarchy) walk(roots, exclude []string, visit func(cgroup string) bool) error {
	seen := map[string]bool{}
	for _, tree := range h.trees() {
		for _, root := range roots {
			more, err := walkTree(tree, root, exclude, seen, visit)
			if err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func walkTree(tree, cgroup string, exclude []string, seen map[string]bool, visit func(string) bool) (bool, error) {
	if slices.ContainsFunc(exclude, func(pattern string) bool { ok, _ := path.Match(pattern, cgroup); return ok }) {
		return true, nil
	}
	folder := filepath.Join(tree, cgroup)
	info, err := os.Stat(folder)
	if err != nil || !info.IsDir() {
		return true, nil // it vanished, or this tree does not have it
	}
	if cgroup != "/" && !seen[cgroup] {
		seen[cgroup] = true
		if !visit(cgroup) {
			return false, nil
		}
	}
	if leaf(info) {
		return true, nil
	}
	children, err := os.ReadDir(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return true, nil
		}
		return false, fmt.Errorf("list cgroups: %w", err)
	}
	for _, child := range children {
		if !child.IsDir() {
			continue
		}
		if more, err := walkTree(tree, path.Join(cgroup, child.Name()), exclude, seen, visit); err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// leaf says whether a cgroup has no children, by its link count, as find does: listing some sixty files to learn that would
// be most of a scrape.
func leaf(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 2
}
