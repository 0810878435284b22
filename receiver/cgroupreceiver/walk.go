package cgroupreceiver

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// walk calls visit with the path of every cgroup below the roots that is not excluded, each once, parents first, and its inode
// (in the first tree that has it), which tells it from an earlier cgroup of the same path. It stops early when visit returns
// false. What is in a folder that cannot be listed is left out, and the first such error returned at the end: a user may close a
// cgroup that is theirs, and is to hide no other by that.
func walk(trees, roots, exclude []string, visit func(cgroup string, inode uint64) bool) error {
	w := walker{exclude: exclude, visit: visit}
	if len(trees)+len(roots) > 2 {
		w.seen = map[string]bool{}
	}
	for _, w.tree = range trees {
		for _, root := range roots {
			if !w.walk(root) {
				return w.err
			}
		}
	}
	return w.err
}

type walker struct {
	tree    string
	exclude []string
	seen    map[string]bool // nil where no cgroup can be met twice
	visit   func(string, uint64) bool
	err     error // the first
}

// walk visits a cgroup and those below it; it returns false to stop.
func (w *walker) walk(cgroup string) bool {
	if excluded(w.exclude, cgroup) {
		return true
	}
	folder := w.tree + cgroup
	info, err := os.Lstat(folder)
	if err != nil || !info.IsDir() {
		return true // it vanished, or this tree does not have it
	}
	if cgroup != "/" && !w.seen[cgroup] {
		if w.seen != nil {
			w.seen[cgroup] = true
		}
		if !w.visit(cgroup, inode(info)) {
			return false
		}
	}
	if leaf(info) {
		return true
	}
	children, err := os.ReadDir(folder)
	if err != nil && !gone(err) && w.err == nil {
		w.err = fmt.Errorf("list cgroups: %w", err)
	}
	for _, child := range children {
		if child.IsDir() && !w.walk(path.Join(cgroup, child.Name())) {
			return false
		}
	}
	return true
}

// excluded says whether a cgroup matches a pattern. (What is below it is never reached.)
func excluded(patterns []string, cgroup string) bool {
	for _, pattern := range patterns {
		if ok, _ := path.Match(pattern, cgroup); ok {
			return true
		}
	}
	return false
}

// leaf says whether a cgroup has no children, by its link count, as find does: listing some sixty files to learn that would
// be most of a scrape.
func leaf(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 2
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
