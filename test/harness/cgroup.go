//go:build linux

// Package harness is what the demo and the end-to-end tests have in common: cgroups of their own, workloads in them, and a
// real collector with the CLI that asks it.
package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Mount is where cgroup file systems are mounted.
const Mount = "/sys/fs/cgroup"

// Cgroup is a memory cgroup of our own.
type Cgroup struct {
	// Name is its path below the mount, Folder where it is.
	Name, Folder string
	// pids is the folder in the hierarchy of the pids controller, where that is another one.
	pids string
	v2   bool
}

// NewCgroup makes a cgroup with a memory limit (bytes) at the top of the memory hierarchy, v1 or v2, whichever this machine
// has. The error says what is missing.
func NewCgroup(name string, limit int64) (*Cgroup, error) {
	c := &Cgroup{Name: name}
	limitFile := "memory.limit_in_bytes"
	switch root, v2, err := memoryRoot(); {
	case err != nil:
		return nil, err
	case v2:
		c.Folder, c.v2, limitFile = filepath.Join(root, name), true, "memory.max"
	default:
		c.Folder = filepath.Join(root, name)
	}
	if err := os.Mkdir(c.Folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
			return nil, fmt.Errorf("make a memory cgroup: %w: run this as root, on a machine or in a container that may write to %s", err, Mount)
		}
		return nil, fmt.Errorf("make a memory cgroup: %w", err)
	}
	if err := c.write(limitFile, strconv.FormatInt(limit, 10)); err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	// Swap would put the kill off. Kernels without swap accounting lack these files, machines without swap need none.
	if c.v2 {
		_ = c.write("memory.swap.max", "0")
	} else {
		_ = c.write("memory.swappiness", "0")
	}
	return c, nil
}

// memoryRoot is the root of the hierarchy that limits memory.
func memoryRoot() (root string, v2 bool, err error) {
	if isFile(filepath.Join(Mount, "memory", "memory.limit_in_bytes")) {
		return filepath.Join(Mount, "memory"), false, nil
	}
	for _, root := range []string{Mount, filepath.Join(Mount, "unified")} {
		controllers, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
		if err == nil && strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " memory ") {
			return root, true, nil
		}
	}
	return "", false, fmt.Errorf("the kernel offers no memory cgroups at %s: neither memory/ (v1) nor memory in cgroup.subtree_control (v2)", Mount)
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func (c *Cgroup) write(file, value string) error {
	if err := os.WriteFile(filepath.Join(c.Folder, file), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set up cgroup: %w", err)
	}
	return nil
}

// Tighten leaves the cgroup this much (bytes) above what it uses now: its end comes soon, and is as real as before. A cgroup that is full
// already keeps its limit.
func (c *Cgroup) Tighten(room int64) {
	usage, limit := "memory.usage_in_bytes", "memory.limit_in_bytes"
	if c.v2 {
		usage, limit = "memory.current", "memory.max"
	}
	said, _ := c.Read(usage)
	if used, err := strconv.ParseInt(said, 10, 64); err == nil {
		_ = c.write(limit, strconv.FormatInt(used+room, 10))
	}
}

// LimitPIDs limits the processes and threads in it.
func (c *Cgroup) LimitPIDs(n int) error {
	folder := c.Folder
	if isFile(filepath.Join(Mount, "pids", "cgroup.procs")) { // a hierarchy of its own
		folder = filepath.Join(Mount, "pids", c.Name)
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make a pids cgroup: %w", err)
		}
		c.pids = folder
	}
	if err := os.WriteFile(filepath.Join(folder, "pids.max"), []byte(strconv.Itoa(n)), 0o644); err != nil {
		return fmt.Errorf("limit the pids of a cgroup: %w", err)
	}
	return nil
}

// Folders are all folders of the cgroup, one in each hierarchy.
func (c *Cgroup) Folders() []string {
	if c.pids != "" {
		return []string{c.Folder, c.pids}
	}
	return []string{c.Folder}
}

// V2 says whether it is a cgroup of version 2.
func (c *Cgroup) V2() bool { return c.v2 }

// Read returns what a file of the cgroup holds.
func (c *Cgroup) Read(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(c.Folder, file))
	return strings.TrimSpace(string(b)), err
}

// Remove removes the cgroup, for which its processes must have ended; the kernel may need a moment after that.
func (c *Cgroup) Remove() error {
	var errs []error
	for _, folder := range c.Folders() {
		errs = append(errs, remove(folder))
	}
	return errors.Join(errs...)
}

func remove(folder string) error {
	var err error
	for range 600 { // half a minute: on a machine that is busy a process takes long to end
		if err = os.Remove(folder); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("remove cgroup: %w", err)
}
