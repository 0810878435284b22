//go:build linux

package ebpfreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"

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
	walks   int
}

// place is where a cgroup is, and who is told of it.
type place struct {
	path, owner string
	// gone is the walk that was the first not to find it; 0: it is there.
	gone int
	// told is by whom its last was told.
	told tellers
}

// tellers are those who tell what the programs remember, each at times of its own.
type tellers uint8

const (
	tellsMetrics tellers = 1 << iota
	tellsEvents
)

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

// look walks through all cgroups, and says whether it saw all; not where it just did.
func (c *cgroups) look() bool {
	if c.root == "" || time.Since(c.walked) < rewalk {
		return false
	}
	return c.walk()
}

// walk looks at all cgroups, and remembers those that are gone until their last is told. whole says that it saw all that it may: else,
// for want of descriptors or memory, none is known to be gone.
func (c *cgroups) walk() (whole bool) {
	whole = true
	c.walked = time.Now()
	c.walks++
	before := c.places
	c.places = make(map[uint64]place, len(before))
	_ = filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && d.IsDir() {
			info, err = d.Info()
		}
		if err != nil {
			whole = whole && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ENOMEM)
			return nil // gone meanwhile, or not to be looked at
		}
		if info == nil {
			return nil // a file
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			p := place{path: "/" + strings.TrimPrefix(strings.TrimPrefix(path, c.root), "/")}
			// To read a path costs more than to find it.
			if old := before[stat.Ino]; old.path == p.path {
				p.owner = old.owner
			} else {
				p.owner = owner(p.path)
			}
			c.places[stat.Ino] = p
			if stat.Nlink == 2 { // it has none below it: to list its files would be most of the walk
				return fs.SkipDir
			}
		}
		return nil
	})
	for id, p := range before {
		if _, there := c.places[id]; !there {
			if p.gone == 0 && whole {
				p.gone = c.walks
			}
			c.places[id] = p
		}
	}
	return whole
}

// told says that somebody has told all that the programs remembered after so many walks. It forgets the cgroups that were gone by then
// and whose last everybody has told, and returns them. Where more than room are gone, as when events are refused for long, one teller is enough.
func (c *cgroups) told(by tellers, walks int, everybody tellers, room int) map[uint64]place {
	over, gone := map[uint64]place{}, 0
	for _, p := range c.places {
		if p.gone > 0 {
			gone++
		}
	}
	for id, p := range c.places {
		if p.gone == 0 {
			continue
		}
		if p.gone <= walks {
			p.told |= by
			c.places[id] = p
		}
		if p.told&everybody == everybody || gone > room && p.told != 0 {
			over[id] = p
			delete(c.places, id)
		}
	}
	return over
}

// paths are those of all cgroups that are known.
func (c *cgroups) paths() map[string]bool {
	all := make(map[string]bool, len(c.places))
	for _, p := range c.places {
		all[p.path] = true
	}
	return all
}

// owned visits the entries of a map with who is told of them. id is the cgroup in a key. Those that are not known are looked for once,
// when all has been read: what is not found then is gone, and deleted.
func owned[K, V any](c *cgroups, m *ebpf.Map, id func(K) uint64, visit func(who string, key K, value V)) error {
	type entry struct {
		key   K
		value V
	}
	var unknown []entry
	var left []K
	err := entries(m, func(key K, value V) {
		if p, ok := c.places[id(key)]; ok {
			visit(p.owner, key, value)
		} else {
			unknown = append(unknown, entry{key, value})
		}
	})
	if len(unknown) > 0 && c.look() {
		for _, e := range unknown {
			if p, ok := c.places[id(e.key)]; ok {
				visit(p.owner, e.key, e.value)
			} else {
				left = append(left, e.key)
			}
		}
	}
	for _, key := range left {
		err = errors.Join(err, forget(m, &key))
	}
	return err
}

// forget deletes an entry, which may be gone already.
func forget(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete what a cgroup left: %w", err)
	}
	return nil
}

// owner is the cgroup that one is told under: of what is inside a container, the container's.
func owner(cgroup string) string {
	if id := cgroupid.Of(cgroup); id.Inside(cgroup) {
		return id.Container
	}
	return cgroup
}
