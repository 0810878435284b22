package cgroupreceiver

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// amount is a number that the kernel may not tell.
type amount struct {
	v     int64
	known bool
}

func told(v int64) amount { return amount{v: v, known: true} }

// readings are what the kernel accounts for one cgroup.
type readings struct {
	usage, limit                   amount // bytes
	anon, file, shmem, kernel      amount
	inactiveFile                   amount
	high, max, oom, oomKill, group amount // events
	minorFaults, majorFaults       amount

	cpuUser, cpuSystem          amount // ns
	cpuQuota, cpuPeriod         amount // µs
	periods, throttled, heldFor amount // heldFor in ns

	readBytes, writeBytes, reads, writes amount

	pids, pidsLimit, pidsHits amount

	pressures [len(resources)]pressures
}

// resources are what PSI tells of, in the order of readings.pressures.
var resources = [...]string{"memory", "cpu", "io"}

// reader reads cgroups into one buffer. It is not for use by several goroutines.
//
// Most of the time of a scrape goes to opening files. So as many as may be stay open from one read to the next, and the others
// are opened relative to their cgroup's folder, and that relative to its tree, since much of opening is to walk the path.
type reader struct {
	h     hierarchy
	trees map[string]int // descriptors of the trees' folders
	buf   []byte
	errs  []error

	// kept are the files that stay open, by cgroup and name, and room is how many more may.
	kept map[string]map[string]int
	room int

	cgroup string
	// tree and fd are of the folder that is open; fd is -1 when it is not there.
	tree string
	fd   int
}

// newReader returns a reader that keeps up to a number of files open, but no more than half of what the process may have.
func newReader(h hierarchy, keep int) (*reader, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("getrlimit: %w", err)
	}
	keep = int(min(uint64(keep), limit.Cur/2))
	r := &reader{h: h, trees: map[string]int{}, buf: make([]byte, 16<<10), fd: -1, kept: map[string]map[string]int{}, room: keep}
	for _, tree := range append(h.folders(), h.unified) {
		if _, known := r.trees[tree]; known || tree == "" {
			continue
		}
		fd, err := unix.Open(tree, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", tree, err), r.close())
		}
		r.trees[tree] = fd
	}
	return r, nil
}

// close closes what the reader holds open.
func (r *reader) close() error {
	for cgroup := range r.kept {
		r.forget(cgroup)
	}
	var errs []error
	for tree, fd := range r.trees {
		errs = append(errs, unix.Close(fd))
		delete(r.trees, tree)
	}
	return errors.Join(errs...)
}

// enter makes a cgroup the one that is read.
func (r *reader) enter(cgroup string) {
	r.leave()
	r.cgroup = cgroup
}

func (r *reader) leave() {
	if r.fd >= 0 {
		_ = unix.Close(r.fd)
	}
	r.tree, r.fd = "", -1
}

// folder opens the cgroup's folder in a tree, unless it is open already. It returns -1 when there is none.
func (r *reader) folder(tree string) int {
	if tree == "" || tree == r.tree {
		return r.fd
	}
	r.leave()
	r.tree = tree
	fd, err := unix.Openat(r.trees[tree], "."+r.cgroup, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		if !gone(err) {
			r.fail(tree, "", err)
		}
		return -1
	}
	r.fd = fd
	return fd
}

// read reads one cgroup; below says to count the memory events of the cgroups below it as well. It returns false when the
// cgroup is gone. What could not be read or parsed is in r.errs.
func (r *reader) read(cgroup string, below bool) (readings, bool) {
	r.errs = r.errs[:0]
	r.enter(cgroup)
	defer r.leave()
	var x readings
	if r.h.memory.v2 {
		r.memoryV2(r.h.memory.folder, below, &x)
	} else {
		r.memoryV1(r.h.memory.folder, &x)
	}
	if r.h.cpu.v2 || r.h.cpuacct.v2 {
		r.cpuV2(r.h.cpu.folder, &x)
	} else {
		r.cpuV1(r.h.cpu.folder, r.h.cpuacct.folder, &x)
	}
	if r.h.io.v2 {
		r.ioV2(r.h.io.folder, &x)
	} else {
		r.ioV1(r.h.io.folder, &x)
	}
	r.pids(r.h.pids.folder, &x)
	r.pressure(r.h.unified, &x)
	return x, x.usage.known || x.pids.known || x.cpuUser.known
}

// kills reads how many processes the kernel killed in a cgroup so far, or in those below it as well, which v1 does not count. What
// could not be read or parsed is in r.errs.
func (r *reader) kills(cgroup string, below bool) (int64, bool) {
	r.errs = r.errs[:0]
	r.enter(cgroup)
	defer r.leave()
	var x readings
	switch {
	case r.h.memory.v2:
		r.memoryEventsV2(r.h.memory.folder, below, &x)
	case !below:
		r.oomControl(r.h.memory.folder, &x)
	}
	return x.oomKill.v, x.oomKill.known
}

// pids reads the pids controller, which has the same files in v1 and v2.
func (r *reader) pids(tree string, x *readings) {
	r.one(tree, "pids.current", &x.pids)
	r.one(tree, "pids.max", &x.pidsLimit)
	r.keys(tree, "pids.events", func(key []byte, v int64) {
		if string(key) == "max" {
			x.pidsHits = told(v)
		}
	})
}

// pressure reads the PSI files of a cgroup. Kernels without PSI have none of them.
func (r *reader) pressure(tree string, x *readings) {
	for i, name := range [...]string{"memory.pressure", "cpu.pressure", "io.pressure"} {
		var err error
		if b, ok := r.file(tree, name); ok {
			if x.pressures[i], err = parsePressure(b); err != nil {
				r.fail(tree, name, err)
			}
		} else if i == 0 {
			return
		}
	}
}

// one reads a file that holds one number; it stays unknown where there is no limit.
func (r *reader) one(tree, name string, to *amount) {
	b, ok := r.file(tree, name)
	if !ok {
		return
	}
	v, limited, err := parseInt(b)
	if err != nil {
		r.fail(tree, name, err)
	} else if limited {
		*to = told(v)
	}
}

// keys reads a flat-keyed file. It returns false when that is not there or cannot be read or parsed.
func (r *reader) keys(tree, name string, visit func(key []byte, v int64)) bool {
	b, ok := r.file(tree, name)
	if !ok {
		return false
	}
	if err := eachKey(b, visit); err != nil {
		r.fail(tree, name, err)
		return false
	}
	return true
}

// parent is the path of the cgroup that a cgroup is in; that of a top-level one is "/".
func parent(cgroup string) string {
	return cgroup[:max(strings.LastIndexByte(cgroup, '/'), 1)]
}
