package cgroupreceiver

// userHZ is how many ticks of cpuacct.stat are a second, on every architecture that Linux calls its user space's (USER_HZ).
const userHZ = 100

// memoryV1 reads the memory controller of cgroup v1 (Documentation/admin-guide/cgroup-v1/memory.rst).
// memory.kmem.usage_in_bytes is left alone: v1 does not say how much of it (dentries, inodes) can be reclaimed.
func (r *reader) memoryV1(f string, x *readings) {
	r.one(f, "memory.usage_in_bytes", &x.usage)
	r.one(f, "memory.limit_in_bytes", &x.limit)
	// With swap accounting the limit of memory and swap together is tried first. Where the two are the same (no swap allowed)
	// it is always that one that is hit.
	var swapToo amount
	if x.limit.known {
		r.one(f, "memory.failcnt", &x.max)
		r.one(f, "memory.memsw.failcnt", &swapToo)
		x.max.v = plus(x.max.v, swapToo.v)
	}
	r.oomControl(f, x)
	var anon, file, shmem, inactive, faults, major int64
	if r.keys(f, "memory.stat", func(key []byte, v int64) {
		switch string(key) {
		case "total_rss":
			anon = v
		case "total_cache":
			file = v
		case "total_shmem":
			shmem = v
		case "total_inactive_file":
			inactive = v
		case "total_pgfault":
			faults = v
		case "total_pgmajfault":
			major = v
		}
	}) {
		x.anon, x.file, x.shmem, x.inactiveFile = told(anon), told(file), told(shmem), told(inactive)
		x.minorFaults, x.majorFaults = told(max(faults-major, 0)), told(major)
	}
}

// oomControl reads how many processes of a cgroup were killed; v1 does not count those of the cgroups below it.
func (r *reader) oomControl(f string, x *readings) {
	r.keys(f, "memory.oom_control", func(key []byte, v int64) {
		if string(key) == "oom_kill" {
			x.oomKill = told(v)
		}
	})
}

func (r *reader) cpuV1(cpu, cpuacct string, x *readings) {
	const tick = 1_000_000_000 / userHZ
	r.keys(cpuacct, "cpuacct.stat", func(key []byte, v int64) {
		ns := min(v, maxInt/tick) * tick
		switch string(key) {
		case "user":
			x.cpuUser = told(ns)
		case "system":
			x.cpuSystem = told(ns)
		}
	})
	r.one(cpu, "cpu.cfs_quota_us", &x.cpuQuota)
	if x.cpuQuota.known {
		r.one(cpu, "cpu.cfs_period_us", &x.cpuPeriod)
		r.keys(cpu, "cpu.stat", func(key []byte, v int64) {
			switch string(key) {
			case "nr_periods":
				x.periods = told(v)
			case "nr_throttled":
				x.throttled = told(v)
			case "throttled_time":
				x.heldFor = told(v)
			}
		})
	}
}

func (r *reader) ioV1(f string, x *readings) {
	r.blkio(f, "blkio.throttle.io_service_bytes_recursive", &x.readBytes, &x.writeBytes)
	r.blkio(f, "blkio.throttle.io_serviced_recursive", &x.reads, &x.writes)
}

func (r *reader) blkio(f, name string, read, write *amount) {
	b, ok := r.file(f, name)
	if !ok {
		return
	}
	rd, wr, any, err := parseBlkio(b)
	if err != nil {
		r.fail(f, name, err)
	} else if any {
		*read, *write = told(rd), told(wr)
	}
}
