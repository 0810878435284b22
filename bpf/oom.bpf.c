//go:build ignore

// oom.bpf.c: kills for want of memory (mm/oom_kill.c).
//
// __oom_kill_process sends SIGKILL as the kernel itself does, then marks the victim. oom:mark_victim alone is no proof of a
// kill: out_of_memory and oom_kill_process also mark a task that is already ending, to let it end. The signal just before, from
// the same task, makes the difference.
#include "tapio.h"

#define SIGKILL 9
#define SEND_SIG_PRIV 1 // include/linux/sched/signal.h: the kernel's own signals carry this instead of an address

enum event { KILLED = 1, ENDED };

// Page counts are in the kernel's pages.
struct kill {
	enum event kind;
	u32 pid;
	u64 time; // CLOCK_MONOTONIC, ns
	u8 comm[TASK_COMM_LEN];
	u64 anon_pages;
	u64 file_pages;
	u64 shmem_pages;
	s16 score_adj;
	u8 limited; // a limit was reached
	u8 levels; // above the victim's own cgroup is the one whose limit it was
	u32 trigger_pid; // who asked for memory that was not there
	u8 trigger_comm[TASK_COMM_LEN];
	u64 limit_pages;
	u64 used_pages;
	struct tapio_cgroup victim;
	struct tapio_cgroup trigger;
};

struct end {
	enum event kind;
	u32 pid;
	u64 time;
	u32 code; // as wait(2) has it
	u32 pad;
};

// For bpf2go, which makes Go types of these.
const struct kill *unused_kill __attribute__((unused));
const struct end *unused_end __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 * 1024);
} events SEC(".maps");

// Whom the current task has just sent SIGKILL.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, u64);
	__type(value, u64);
} sent SEC(".maps");

// Victims that have not ended yet.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u8);
} victims SEC(".maps");

// kernel/signal.c: signal_generate(sig, info, task, group, result)
SEC("raw_tp/signal_generate")
int tapio_oom_signal(struct bpf_raw_tracepoint_args *ctx)
{
	u64 current, task;

	if ((int)ctx->args[0] != SIGKILL || ctx->args[1] != SEND_SIG_PRIV)
		return 0;
	current = bpf_get_current_pid_tgid();
	task = ctx->args[2];
	bpf_map_update_elem(&sent, &current, &task, BPF_ANY);
	return 0;
}

static __always_inline void read_memory(struct kill *e, struct mm_struct *mm)
{
	// MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES of include/linux/mm_types_task.h. Since 6.2 each CPU keeps a
	// part to itself, at most a few dozen pages, that is not in the sum read here.
	s64 file, anon, shmem;

	if (bpf_core_field_exists(((struct mm_struct___old *)0)->rss_stat.count)) {
		struct mm_struct___old *old = (void *)mm;

		file = BPF_CORE_READ(old, rss_stat.count[0].counter);
		anon = BPF_CORE_READ(old, rss_stat.count[1].counter);
		shmem = BPF_CORE_READ(old, rss_stat.count[3].counter);
	} else {
		file = BPF_CORE_READ(mm, rss_stat[0].count);
		anon = BPF_CORE_READ(mm, rss_stat[1].count);
		shmem = BPF_CORE_READ(mm, rss_stat[3].count);
	}
	e->file_pages = file > 0 ? file : 0;
	e->anon_pages = anon > 0 ? anon : 0;
	e->shmem_pages = shmem > 0 ? shmem : 0;
}

// find_limit looks for the cgroup whose limit was reached, from the victim's own upwards. Reclaim has been tried, and other
// tasks give memory back meanwhile, so that its usage is near the limit rather than at it.
static __always_inline void find_limit(struct kill *e, struct cgroup_subsys_state *css)
{
	for (int i = 0; i < TAPIO_LEVELS; i++) {
		struct mem_cgroup *memcg;
		u64 max, used;

		if (!css)
			return;
		memcg = (void *)css - bpf_core_field_offset(((struct mem_cgroup *)0)->css);
		max = BPF_CORE_READ(memcg, memory.max);
		used = BPF_CORE_READ(memcg, memory.usage.counter);
		if (max < 1ULL << 50 && used + max / 32 + 64 >= max) {
			e->limited = 1;
			e->levels = i;
			e->limit_pages = max;
			e->used_pages = used;
			return;
		}
		css = BPF_CORE_READ(css, parent);
	}
}

SEC("raw_tp/mark_victim")
int tapio_oom_victim(struct bpf_raw_tracepoint_args *ctx)
{
	u64 current = bpf_get_current_pid_tgid(), *to = bpf_map_lookup_elem(&sent, &current);
	struct task_struct *task, *trigger;
	struct cgroup_subsys_state *css;
	struct kill *e;
	u8 one = 1;
	u32 tgid;
	int pid;

	if (!to)
		return 0; // it was ending anyway
	task = (struct task_struct *)*to;
	bpf_map_delete_elem(&sent, &current);
	if (bpf_core_field_exists(((struct trace_event_raw_mark_victim *)0)->uid))
		pid = BPF_CORE_READ((struct task_struct *)ctx->args[0], pid);
	else
		pid = ctx->args[0];
	if (pid != BPF_CORE_READ(task, pid))
		return 0;

	tgid = BPF_CORE_READ(task, tgid);
	bpf_map_update_elem(&victims, &tgid, &one, BPF_ANY);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	e->kind = KILLED;
	e->pid = tgid;
	e->time = bpf_ktime_get_ns();
	BPF_CORE_READ_INTO(&e->comm, task, comm);
	e->score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	e->limited = 0;
	e->levels = 0;
	e->limit_pages = 0;
	e->used_pages = 0;
	read_memory(e, BPF_CORE_READ(task, mm));
	css = tapio_memory_css(task);
	find_limit(e, css);
	tapio_read_cgroup(&e->victim, BPF_CORE_READ(css, cgroup));
	trigger = (struct task_struct *)bpf_get_current_task();
	e->trigger_pid = current >> 32;
	bpf_get_current_comm(&e->trigger_comm, sizeof(e->trigger_comm));
	tapio_read_cgroup(&e->trigger, BPF_CORE_READ(tapio_memory_css(trigger), cgroup));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

// kernel/exit.c: sched_process_exit(task, ...)
SEC("raw_tp/sched_process_exit")
int tapio_oom_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct end *e;
	struct task_struct *task;

	if (!bpf_map_lookup_elem(&victims, &pid))
		return 0;
	task = (struct task_struct *)ctx->args[0];
	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0; // not its last thread
	bpf_map_delete_elem(&victims, &pid);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	e->kind = ENDED;
	e->pid = pid;
	e->time = bpf_ktime_get_ns();
	e->code = BPF_CORE_READ(task, exit_code);
	e->pad = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

TAPIO_LICENSE;
