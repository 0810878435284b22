//go:build ignore

// performance.bpf.c: what tasks wait for: a CPU, memory that has to be reclaimed first, disks.
#include "tapio.h"

// Indices of a cgroup's counts.
enum count {
	RUN_WAIT_US, // for a CPU
	RUN_BUCKETS,
	UNINTERRUPTIBLE_US = RUN_BUCKETS + TAPIO_BUCKETS, // in state D, as seen by sampling
	RECLAIMS,
	RECLAIM_US,
	PERFORMANCE_COUNTS,
};
TAPIO_COUNTS(PERFORMANCE_COUNTS)

// How a task was when it was last seen.
struct seen {
	u64 began;
	u64 waited; // ns
	u64 ran; // times
	u64 anon; // pages, of a process
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct seen);
} tasks SEC(".maps");

// The process of a cgroup whose anonymous memory grew most between two looks.
struct growth {
	u64 look;
	u64 grown; // pages
	u64 anon; // pages
	u32 pid;
	u32 pad;
	u8 comm[TASK_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TAPIO_CGROUPS);
	__type(key, u64);
	__type(value, struct growth);
} growths SEC(".maps");

// The latest look: its number, when the one before was (CLOCK_MONOTONIC, ns), and how long before it (µs).
struct look {
	u64 number;
	u64 previous;
	u64 since_us;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct look);
} looks SEC(".maps");

static __always_inline u64 anon_pages(struct mm_struct *mm)
{
	s64 n;

	if (!mm)
		return 0;
	if (bpf_core_field_exists(((struct mm_struct___old *)0)->rss_stat.count))
		n = BPF_CORE_READ((struct mm_struct___old *)mm, rss_stat.count[1].counter);
	else
		n = BPF_CORE_READ(mm, rss_stat[1].count);
	return n > 0 ? n : 0;
}

// count_waits counts what a task has waited for a CPU since it was last seen. The kernel keeps that sum for each task anyway
// (kernel/sched/stats.h), so that nothing has to run at each switch.
static __always_inline void count_waits(struct counts *c, struct seen *before, struct seen *now, u64 previous)
{
	u64 waited = now->waited, ran = now->ran;

	if (before && before->began == now->began) {
		waited -= before->waited;
		ran -= before->ran;
	} else if (now->began < previous) {
		return; // forgotten, or of before the first look: what it has waited is no news
	}
	if (!ran || (s64)waited < 0)
		return;
	tapio_add(&c->n_[RUN_WAIT_US], waited / 1000);
	tapio_add(&c->n_[RUN_BUCKETS + tapio_bucket(waited / ran / 1000)], ran);
}

static __always_inline void see(struct task_struct *task, struct seen *now)
{
	now->began = BPF_CORE_READ(task, start_time);
	now->waited = now->ran = now->anon = 0;
	if (!bpf_core_field_exists(task->sched_info.pcount))
		return; // CONFIG_SCHED_INFO
	now->waited = BPF_CORE_READ(task, sched_info.run_delay);
	now->ran = BPF_CORE_READ(task, sched_info.pcount);
}

// tapio_look looks at each task; user space runs it once an interval.
SEC("iter/task")
int tapio_look(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct growth g = {}, *most;
	struct seen now, *before;
	struct look *look;
	struct counts *c;
	u32 pid, zero = 0;
	u64 cgroup, state;

	if (!task)
		return 0;
	look = bpf_map_lookup_elem(&looks, &zero);
	cgroup = tapio_cgroup_id(task);
	c = tapio_counts(cgroup);
	if (!c || !look)
		return 0;
	pid = BPF_CORE_READ(task, pid);
	see(task, &now);
	before = bpf_map_lookup_elem(&tasks, &pid);
	count_waits(c, before, &now, look->previous);

	state = bpf_core_field_exists(task->__state) ? BPF_CORE_READ(task, __state)
						     : BPF_CORE_READ((struct task_struct___old *)task, state);
	if ((state & 2) && !(state & 0x400)) // TASK_UNINTERRUPTIBLE, and not TASK_NOLOAD
		tapio_add(&c->n_[UNINTERRUPTIBLE_US], look->since_us);

	if (pid == BPF_CORE_READ(task, tgid)) {
		now.anon = anon_pages(BPF_CORE_READ(task, mm));
		if (before && before->began == now.began && now.anon > before->anon) {
			g.look = look->number;
			g.grown = now.anon - before->anon;
			g.anon = now.anon;
			g.pid = pid;
			most = bpf_map_lookup_elem(&growths, &cgroup);
			if (!most || most->look != g.look || most->grown < g.grown) {
				BPF_CORE_READ_INTO(&g.comm, task, comm);
				bpf_map_update_elem(&growths, &cgroup, &g, BPF_ANY);
			}
		}
	}
	bpf_map_update_elem(&tasks, &pid, &now, BPF_ANY);
	return 0;
}

// sched_process_exit(task, ...): what a task waited since the last look would be lost with it.
SEC("raw_tp/sched_process_exit")
int tapio_gone(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	u32 pid = BPF_CORE_READ(task, pid);
	struct seen now, *before;
	struct look *look;
	struct counts *c;
	u32 zero = 0;

	look = bpf_map_lookup_elem(&looks, &zero);
	if (!look || !look->number)
		return 0; // nobody has looked yet
	c = tapio_counts(tapio_cgroup_id(task));
	if (!c)
		return 0;
	see(task, &now);
	before = bpf_map_lookup_elem(&tasks, &pid);
	// The next look is still to come: what began since the one before the latest is new, or was seen then.
	count_waits(c, before, &now, look->previous);
	if (before)
		bpf_map_delete_elem(&tasks, &pid);
	return 0;
}

// When a task began to reclaim memory, by its id.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} reclaiming SEC(".maps");

static __always_inline int reclaim_begins(void)
{
	u32 pid = bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&reclaiming, &pid, &now, BPF_ANY);
	return 0;
}

static __always_inline int reclaim_ends(void)
{
	u32 pid = bpf_get_current_pid_tgid();
	u64 *began = bpf_map_lookup_elem(&reclaiming, &pid);
	struct counts *c;

	if (!began)
		return 0;
	c = tapio_counts(tapio_cgroup_id((struct task_struct *)bpf_get_current_task()));
	if (c) {
		tapio_add(&c->n_[RECLAIMS], 1);
		tapio_add(&c->n_[RECLAIM_US], (bpf_ktime_get_ns() - *began) / 1000);
	}
	bpf_map_delete_elem(&reclaiming, &pid);
	return 0;
}

// mm/vmscan.c: try_to_free_pages, for want of memory of the machine, and try_to_free_mem_cgroup_pages, at a limit.
SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int tapio_reclaim(void *ctx)
{
	return reclaim_begins();
}

SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int tapio_reclaimed(void *ctx)
{
	return reclaim_ends();
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int tapio_cg_reclaim(void *ctx)
{
	return reclaim_begins();
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int tapio_cg_reclaimed(void *ctx)
{
	return reclaim_ends();
}

struct disk {
	u8 name[32];
	u32 write;
	u32 pad;
};

struct disk_counts {
	u64 us;
	u64 errors;
	u64 buckets[TAPIO_BUCKETS];
};

// For bpf2go, which makes Go types of these.
const enum count *unused_count __attribute__((unused));
const struct look *unused_look __attribute__((unused));
const struct growth *unused_growth __attribute__((unused));
const struct disk *unused_disk __attribute__((unused));
const struct disk_counts *unused_disk_counts __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, struct disk);
	__type(value, struct disk_counts);
} disks SEC(".maps");

// block_rq_complete(request, error, bytes) of block/blk-mq.c. The request knows when it was made, where the disk keeps iostats.
SEC("raw_tp/block_rq_complete")
int tapio_block(struct bpf_raw_tracepoint_args *ctx)
{
	struct request *rq = (struct request *)ctx->args[0];
	u32 error = ctx->args[1], bytes = ctx->args[2], op = BPF_CORE_READ(rq, cmd_flags) & 0xff;
	static const struct disk_counts zero;
	struct disk disk = {};
	struct disk_counts *c;
	struct gendisk *of;
	u64 began, us;

	if (op > 1) // REQ_OP_READ, REQ_OP_WRITE
		return 0;
	if (!error && BPF_CORE_READ(rq, __data_len) > bytes)
		return 0; // a part of it
	if (bpf_core_field_exists(((struct request___old *)0)->rq_disk))
		of = BPF_CORE_READ((struct request___old *)rq, rq_disk);
	else
		of = BPF_CORE_READ(rq, q, disk);
	if (!of)
		return 0;
	BPF_CORE_READ_STR_INTO(&disk.name, of, disk_name);
	disk.write = op;
	c = bpf_map_lookup_elem(&disks, &disk);
	if (!c) { // an update takes locks even where it changes nothing
		bpf_map_update_elem(&disks, &disk, &zero, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&disks, &disk);
	}
	if (!c)
		return 0;
	if (error)
		tapio_add(&c->errors, 1);
	began = BPF_CORE_READ(rq, start_time_ns);
	if (!began)
		return 0;
	us = (bpf_ktime_get_ns() - began) / 1000;
	tapio_add(&c->us, us);
	tapio_add(&c->buckets[tapio_bucket(us)], 1);
	return 0;
}

TAPIO_LICENSE;
