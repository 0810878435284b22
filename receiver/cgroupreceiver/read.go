package cgroupreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// readings are what the kernel accounts for one cgroup. Pointers are nil where it says nothing.
type readings struct {
	usage, limit                   *int64
	anon, file, shmem, kernel      *int64
	inactiveFile                   int64
	high, max, oom, oomKill, group *int64
	minorFaults, majorFaults       *int64

	cpuUser, cpuSystem          *float64 // s
	cpuLimit                    *float64
	periods, throttled, heldFor *int64 // heldFor in ns

	io *io

	pids, pidsLimit, pidsHits *int64

	pressures map[string][2]*pressure // by resource: some, full
}

// reader reads cgroups into one buffer. (containerd/cgroups reads the same files and more, and keeps none of the events: see
// BenchmarkContainerdCgroups for what its Stat costs.)
type reader struct {
	h    hierarchy
	buf  []byte
	errs []error
}

func newReader(h hierarchy) *reader { return &reader{h: h, buf: make([]byte, 16<<10)} }

// read reads one cgroup. It returns false when the cgroup is gone. What could not be read or parsed is in r.errs.
func (r *reader) read(cgroup string) (readings, bool) {
	r.errs = r.errs[:0]
	var x readings
	if r.h.version == "2" {
		r.v2(filepath.Join(r.h.memory, cgroup), &x)
	} else {
		r.v1(cgroup, &x)
	}
	return x, x.usage != nil || x.pids != nil || x.cpuUser != nil
}

// file reads a file of a cgroup. A file that is not there, or whose cgroup is going, is no error: it says nothing.
func (r *reader) file(folder, name string, parse func([]byte) error) {
	if folder == "" {
		return
	}
	full := folder + "/" + name
	fd, err := unix.Open(full, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		var n int
		n, err = readAll(fd, &r.buf)
		_ = unix.Close(fd)
		if err == nil {
			err = parse(r.buf[:n])
		}
	}
	if err != nil && !gone(err) {
		r.errs = append(r.errs, fmt.Errorf("read %s: %w", full, err))
	}
}

func readAll(fd int, buf *[]byte) (int, error) {
	n := 0
	for {
		k, err := unix.Read(fd, (*buf)[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return n, err
		}
		if n += k; n == len(*buf) {
			if n >= 1<<20 {
				return n, errors.New("is larger than 1 MiB")
			}
			*buf = append(*buf, make([]byte, n)...)
		}
	}
}

// gone says whether an error means that the file does not exist, or its cgroup is being removed. (EOPNOTSUPP: the pressure of
// a cgroup that has it switched off.)
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EOPNOTSUPP)
}

func (r *reader) v2(f string, x *readings) {
	r.file(f, "memory.current", amount(&x.usage))
	r.file(f, "memory.max", amount(&x.limit))
	r.file(f, "memory.stat", func(b []byte) error {
		var anon, file, shmem, kernel, minor, major int64
		err := eachKey(b, func(key []byte, v int64) {
			switch string(key) {
			case "anon":
				anon = v
			case "file":
				file = v
			case "shmem":
				shmem = v
			case "inactive_file":
				x.inactiveFile = v
			case "slab_unreclaimable", "kernel_stack", "pagetables", "sec_pagetables", "percpu", "sock":
				kernel += v
			case "pgfault":
				minor += v
			case "pgmajfault":
				major, minor = v, minor-v
			}
		})
		if err == nil {
			x.anon, x.file, x.shmem, x.kernel, x.minorFaults, x.majorFaults = &anon, &file, &shmem, &kernel, &minor, &major
		}
		return err
	})
	// What happened in this cgroup itself; memory.events counts what happened below it as well (kernels before 5.2 have
	// only that).
	events := func(b []byte) error {
		return eachKey(b, func(key []byte, v int64) {
			switch string(key) {
			case "high":
				x.high = &v
			case "max":
				x.max = &v
			case "oom":
				x.oom = &v
			case "oom_kill":
				x.oomKill = &v
			case "oom_group_kill":
				x.group = &v
			}
		})
	}
	r.file(f, "memory.events.local", events)
	if x.oomKill == nil {
		r.file(f, "memory.events", events)
	}
	r.file(f, "cpu.stat", func(b []byte) error {
		return eachKey(b, func(key []byte, v int64) {
			seconds := float64(v) / 1e6
			switch string(key) {
			case "user_usec":
				x.cpuUser = &seconds
			case "system_usec":
				x.cpuSystem = &seconds
			case "nr_periods":
				x.periods = &v
			case "nr_throttled":
				x.throttled = &v
			case "throttled_usec":
				ns := v * 1000
				x.heldFor = &ns
			}
		})
	})
	r.file(f, "cpu.max", func(b []byte) error {
		cpus, ok, err := parseCPUMax(b)
		if ok {
			x.cpuLimit = &cpus
		}
		return err
	})
	r.file(f, "io.stat", func(b []byte) error {
		sum, err := parseIOStat(b)
		if err == nil {
			x.io = &sum
		}
		return err
	})
	r.pidsFiles(f, x)
	for _, resource := range []string{"memory", "cpu", "io"} {
		r.file(f, resource+".pressure", func(b []byte) error {
			some, full, err := parsePressure(b)
			if err == nil && some != nil {
				if x.pressures == nil {
					x.pressures = map[string][2]*pressure{}
				}
				x.pressures[resource] = [2]*pressure{some, full}
			}
			return err
		})
	}
}

func (r *reader) v1(cgroup string, x *readings) {
	below := func(controller string) string {
		if controller == "" {
			return ""
		}
		return filepath.Join(controller, cgroup)
	}
	m := below(r.h.memory)
	r.file(m, "memory.usage_in_bytes", amount(&x.usage))
	r.file(m, "memory.limit_in_bytes", amount(&x.limit))
	r.file(m, "memory.failcnt", amount(&x.max))
	// memory.kmem.usage_in_bytes is left alone: v1 does not say how much of it (dentries, inodes) can be reclaimed.
	r.file(m, "memory.oom_control", func(b []byte) error {
		return eachKey(b, func(key []byte, v int64) {
			if string(key) == "oom_kill" {
				x.oomKill = &v
			}
		})
	})
	r.file(m, "memory.stat", func(b []byte) error {
		var anon, file, shmem, minor, major int64
		err := eachKey(b, func(key []byte, v int64) {
			switch string(key) {
			case "total_rss":
				anon = v
			case "total_cache":
				file = v
			case "total_shmem":
				shmem = v
			case "total_inactive_file":
				x.inactiveFile = v
			case "total_pgfault":
				minor += v
			case "total_pgmajfault":
				major, minor = v, minor-v
			}
		})
		if err == nil {
			x.anon, x.file, x.shmem, x.minorFaults, x.majorFaults = &anon, &file, &shmem, &minor, &major
		}
		return err
	})
	r.file(below(r.h.cpuacct), "cpuacct.stat", func(b []byte) error {
		return eachKey(b, func(key []byte, v int64) {
			seconds := float64(v) / 100 // USER_HZ
			switch string(key) {
			case "user":
				x.cpuUser = &seconds
			case "system":
				x.cpuSystem = &seconds
			}
		})
	})
	cpu := below(r.h.cpu)
	r.file(cpu, "cpu.stat", func(b []byte) error {
		return eachKey(b, func(key []byte, v int64) {
			switch string(key) {
			case "nr_periods":
				x.periods = &v
			case "nr_throttled":
				x.throttled = &v
			case "throttled_time":
				x.heldFor = &v
			}
		})
	})
	var quota, period *int64
	r.file(cpu, "cpu.cfs_quota_us", amount(&quota))
	if quota != nil {
		r.file(cpu, "cpu.cfs_period_us", amount(&period))
	}
	if quota != nil && period != nil && *period > 0 {
		cpus := float64(*quota) / float64(*period)
		x.cpuLimit = &cpus
	}
	blkio := below(r.h.blkio)
	var sum io
	r.file(blkio, "blkio.throttle.io_service_bytes_recursive", func(b []byte) (err error) {
		x.io = &sum
		sum.readBytes, sum.writeBytes, err = parseBlkio(b)
		return err
	})
	r.file(blkio, "blkio.throttle.io_serviced_recursive", func(b []byte) (err error) {
		x.io = &sum
		sum.reads, sum.writes, err = parseBlkio(b)
		return err
	})
	r.pidsFiles(below(r.h.pids), x)
}

func (r *reader) pidsFiles(f string, x *readings) {
	r.file(f, "pids.current", amount(&x.pids))
	r.file(f, "pids.max", amount(&x.pidsLimit))
	r.file(f, "pids.events", func(b []byte) error {
		return eachKey(b, func(key []byte, v int64) {
			if string(key) == "max" {
				x.pidsHits = &v
			}
		})
	})
}

// amount parses a file with one number into a pointer, which stays nil where there is no limit.
func amount(to **int64) func([]byte) error {
	return func(b []byte) error {
		v, ok, err := parseInt(b)
		if ok {
			*to = &v
		}
		return err
	}
}
