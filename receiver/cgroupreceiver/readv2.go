package cgroupreceiver

// memoryV2 reads the memory controller of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files").
func (r *reader) memoryV2(f string, below bool, x *readings) {
	r.one(f, "memory.current", &x.usage)
	r.one(f, "memory.max", &x.limit)
	var anon, file, shmem, inactive, kernel, faults, major int64
	if r.keys(f, "memory.stat", func(key []byte, v int64) {
		switch string(key) {
		case "anon":
			anon = v
		case "file":
			file = v
		case "shmem":
			shmem = v
		case "inactive_file":
			inactive = v
		case "slab_unreclaimable", "kernel_stack", "pagetables", "sec_pagetables", "percpu", "sock":
			kernel = plus(kernel, v)
		case "pgfault":
			faults = v
		case "pgmajfault":
			major = v
		}
	}) {
		x.anon, x.file, x.shmem, x.inactiveFile, x.kernel = told(anon), told(file), told(shmem), told(inactive), told(kernel)
		x.minorFaults, x.majorFaults = told(max(faults-major, 0)), told(major)
	}
	r.memoryEventsV2(f, below, x)
}

// memoryEventsV2 reads what happened to a cgroup: to itself, or to those below it as well. (Kernels before 5.2 count both
// together.)
func (r *reader) memoryEventsV2(f string, below bool, x *readings) {
	events := func(key []byte, v int64) {
		switch string(key) {
		case "high":
			x.high = told(v)
		case "max":
			x.max = told(v)
		case "oom":
			x.oom = told(v)
		case "oom_kill":
			x.oomKill = told(v)
		case "oom_group_kill":
			x.group = told(v)
		}
	}
	if below || !r.keys(f, "memory.events.local", events) {
		r.keys(f, "memory.events", events)
	}
}

func (r *reader) cpuV2(f string, x *readings) {
	r.keys(f, "cpu.stat", func(key []byte, v int64) {
		switch string(key) {
		case "user_usec":
			x.cpuUser = told(times1000(v))
		case "system_usec":
			x.cpuSystem = told(times1000(v))
		case "nr_periods":
			x.periods = told(v)
		case "nr_throttled":
			x.throttled = told(v)
		case "throttled_usec":
			x.heldFor = told(times1000(v))
		}
	})
	if b, ok := r.file(f, "cpu.max"); ok {
		quota, period, limited, err := parseCPUMax(b)
		if err != nil {
			r.fail(f, "cpu.max", err)
		} else if limited {
			x.cpuQuota, x.cpuPeriod = told(quota), told(period)
		}
	}
}

func (r *reader) ioV2(f string, x *readings) {
	b, ok := r.file(f, "io.stat")
	if !ok {
		return
	}
	sum, err := parseIOStat(b)
	if err != nil {
		r.fail(f, "io.stat", err)
		return
	}
	x.readBytes, x.writeBytes, x.reads, x.writes = told(sum.readBytes), told(sum.writeBytes), told(sum.reads), told(sum.writes)
}
