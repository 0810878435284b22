package cgroupreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFile is the largest file that is read, in bytes. The largest real one, io.stat with hundreds of devices, is below 100 KiB.
const maxFile = 1 << 20

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
type reader struct {
	h   hierarchy
	buf []byte
	// path is room for the name of the file that is read.
	path []byte
	errs []error
}

func newReader(h hierarchy) *reader { return &reader{h: h, buf: make([]byte, 16<<10)} }

// read reads one cgroup; below says to count the memory events of the cgroups below it as well. It returns false when the
// cgroup is gone. What could not be read or parsed is in r.errs.
func (r *reader) read(cgroup string, below bool) (readings, bool) {
	r.errs = r.errs[:0]
	var x readings
	if r.h.memory.v2 {
		r.memoryV2(r.h.memory.of(cgroup), below, &x)
	} else {
		r.memoryV1(r.h.memory.of(cgroup), &x)
	}
	if r.h.cpu.v2 || r.h.cpuacct.v2 {
		r.cpuV2(r.h.cpu.of(cgroup), &x)
	} else {
		r.cpuV1(r.h.cpu.of(cgroup), r.h.cpuacct.of(cgroup), &x)
	}
	if r.h.io.v2 {
		r.ioV2(r.h.io.of(cgroup), &x)
	} else {
		r.ioV1(r.h.io.of(cgroup), &x)
	}
	r.pids(r.h.pids.of(cgroup), &x)
	if r.h.unified != "" {
		r.pressure(r.h.unified+cgroup, &x)
	}
	return x, x.usage.known || x.pids.known || x.cpuUser.known
}

// pids reads the pids controller, which has the same files in v1 and v2.
func (r *reader) pids(folder string, x *readings) {
	r.one(folder, "pids.current", &x.pids)
	r.one(folder, "pids.max", &x.pidsLimit)
	r.keys(folder, "pids.events", func(key []byte, v int64) {
		if string(key) == "max" {
			x.pidsHits = told(v)
		}
	})
}

// pressure reads the PSI files of a cgroup. Kernels without PSI have none of them.
func (r *reader) pressure(folder string, x *readings) {
	for i, name := range [...]string{"memory.pressure", "cpu.pressure", "io.pressure"} {
		var err error
		if b, ok := r.file(folder, name); ok {
			if x.pressures[i], err = parsePressure(b); err != nil {
				r.fail(folder, name, err)
			}
		} else if i == 0 {
			return
		}
	}
}

// one reads a file that holds one number; it stays unknown where there is no limit.
func (r *reader) one(folder, name string, to *amount) {
	b, ok := r.file(folder, name)
	if !ok {
		return
	}
	v, limited, err := parseInt(b)
	if err != nil {
		r.fail(folder, name, err)
	} else if limited {
		*to = told(v)
	}
}

// keys reads a flat-keyed file. It returns false when that is not there or cannot be read or parsed.
func (r *reader) keys(folder, name string, visit func(key []byte, v int64)) bool {
	b, ok := r.file(folder, name)
	if !ok {
		return false
	}
	if err := eachKey(b, visit); err != nil {
		r.fail(folder, name, err)
		return false
	}
	return true
}

// file reads a file of a cgroup; the bytes are valid until the next read. A file that is not there, or whose cgroup is going,
// is no error: it says nothing.
func (r *reader) file(folder, name string) ([]byte, bool) {
	if folder == "" {
		return nil, false
	}
	n, err := r.readAll(folder, name)
	if err != nil {
		if !gone(err) {
			r.fail(folder, name, err)
		}
		return nil, false
	}
	return r.buf[:n], true
}

func (r *reader) fail(folder, name string, err error) {
	r.errs = append(r.errs, fmt.Errorf("read %s/%s: %w", folder, name, err))
}

func (r *reader) readAll(folder, name string) (int, error) {
	fd, err := r.open(folder, name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	n := 0
	for {
		k, err := unix.Read(fd, r.buf[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return n, err
		}
		if n += k; n == len(r.buf) {
			if n >= maxFile {
				return n, errors.New("is larger than 1 MiB")
			}
			r.buf = append(r.buf, make([]byte, n)...)
		}
	}
}

func (r *reader) open(folder, name string) (int, error) {
	return unix.Open(folder+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// gone says whether an error means that the file does not exist, or its cgroup is being removed. (EOPNOTSUPP: the pressure of
// a cgroup that has it switched off.)
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EOPNOTSUPP)
}

// parent is the path of the cgroup that a cgroup is in; that of a top-level one is "/".
func parent(cgroup string) string {
	return cgroup[:max(strings.LastIndexByte(cgroup, '/'), 1)]
}
