//go:build linux

package ebpfreceiver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/your-org/tapio/internal/cgroupid"
)

// rewalk is how soon after one walk through all cgroups the next may follow.
const rewalk = time.Second

// cgroups knows the paths of memory cgroups by the ids under which the kernel's programs count, which are the inodes of their
// folders. It is not safe for concurrent use.
type cgroups struct {
	root    string // empty: this machine has none
	version uint8
	places  map[uint64]place
	walked  time.Time
}

// place is where a cgroup is, and who is told of it.
type place struct{ path, owner string }

// openCgroups finds the hierarchy that the memory controller is on.
func openCgroups(mount string) *cgroups {
	c := &cgroups{places: map[uint64]place{}}
	isFile := func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.Mode().IsRegular()
	}
	if root := filepath.Join(mount, "memory"); isFile(filepath.Join(root, "memory.usage_in_bytes")) {
		c.root, c.version = root, 1
		return c
	}
	for _, root := range []string{mount, filepath.Join(mount, "unified")} {
		controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
		if err == nil && strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " memory ") {
			c.root, c.version = root, 2
			return c
		}
	}
	return c
}

// folder is where a cgroup is mounted.
func (c *cgroups) folder(cgroup string) (string, error) {
	if c.root == "" {
		return "", errors.New("this machine has no memory cgroups")
	}
	return filepath.Join(c.root, filepath.Clean("/"+cgroup)), nil
}

// owner returns who is told of a cgroup; false when it is gone, or too new to have been walked past.
func (c *cgroups) owner(id uint64) (string, bool) {
	if p, ok := c.places[id]; ok {
		return p.owner, true
	}
	if c.root == "" || time.Since(c.walked) < rewalk {
		return "", false
	}
	c.walk()
	p, ok := c.places[id]
	return p.owner, ok
}

// walk looks at all cgroups, and forgets those that are gone.
func (c *cgroups) walk() {
	c.walked = time.Now()
	before := c.places
	c.places = make(map[uint64]place, len(before))
	_ = filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // gone meanwhile, or a file
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			p := place{path: "/" + strings.TrimPrefix(strings.TrimPrefix(path, c.root), "/")}
			// To read a path costs more than to find it.
			if old := before[stat.Ino]; old.path == p.path {
				p = old
			} else {
				p.owner = owner(p.path)
			}
			c.places[stat.Ino] = p
		}
		return nil
	})
}

// owner is the cgroup that one is told under: of what is inside a container, the container's.
func owner(cgroup string) string {
	if id := cgroupid.Of(cgroup); id.Inside(cgroup) {
		return id.Container
	}
	return cgroup
}
