//go:build ignore

// process.bpf.c: how processes begin and end, and who ended them (kernel/fork.c, fs/exec.c, kernel/exit.c, kernel/signal.c).
#include "tapio.h"

// Indices of a cgroup's counts.
enum count {
	FORKS,
	EXECS,
	EXITS_OK,
	EXITS_FAILED, // with a code other than 0
	EXITS_SIGNALED,
	PROCESS_COUNTS,
};
TAPIO_COUNTS(PROCESS_COUNTS)

#define SIGKILL 9
#define SIGPIPE 13
#define SIGALRM 14
#define SIGCHLD 17
#define SIGCONT 18
#define SIGURG 23
#define SIGPROF 27
#define SIGWINCH 28
#define SIGIO 29
#define SIGRTMIN 32

// A cgroup may tell of so many ends in so much time (ns).
#define TOLD_MAX 16
#define TOLD_IN 10000000000ULL

// Why a signal was sent; si_code of the others is in siginfo.
enum sender {
	USER,
	KERNEL,
	FAULT, // of the process itself
};

struct sent {
	u64 address; // of a fault
	u32 pid; // who sent it
	s32 signal;
	s32 code; // si_code
	enum sender by;
	u8 comm[TASK_COMM_LEN];
	u64 cgroup;
	u64 began; // when the process did that it was sent to: its pid is another's later
};

struct exit {
	u64 time; // CLOCK_MONOTONIC, ns
	u64 lived; // ns
	u32 pid;
	u32 parent;
	u32 code; // as wait(2) has it
	u8 is_main; // the first process of its pid namespace, or whose parent is in another cgroup
	u8 has_sender;
	u8 pad[2];
	u8 comm[TASK_COMM_LEN];
	u8 parent_comm[TASK_COMM_LEN];
	struct sent sent;
	struct tapio_cgroup cgroup;
};

// For bpf2go, which makes Go types of it.
const enum count *unused_count __attribute__((unused));
const struct exit *unused_exit __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

// The last fatal signal to each process, by pid.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct sent);
} last_sent SEC(".maps");

// untold counts the ends that were not told, of cgroups with too many.
TAPIO_COUNTER(untold)

struct told {
	u64 since;
	u64 n;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TAPIO_CGROUPS);
	__type(key, u64);
	__type(value, struct told);
} told_of SEC(".maps");

// sched_process_fork(parent, child)
SEC("raw_tp/sched_process_fork")
int tapio_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	struct counts *c;

	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return 0; // a thread
	c = tapio_counts(tapio_cgroup_id((struct task_struct *)ctx->args[0]));
	if (c)
		tapio_add(&c->n_[FORKS], 1);
	return 0;
}

// sched_process_exec(task, old_pid, bprm)
SEC("raw_tp/sched_process_exec")
int tapio_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct counts *c = tapio_counts(tapio_cgroup_id((struct task_struct *)ctx->args[0]));

	if (c)
		tapio_add(&c->n_[EXECS], 1);
	return 0;
}

// Signals that end a process by default, but for those that are sent all the time to processes which handle them.
static __always_inline bool fatal(int signal)
{
	switch (signal) {
	case SIGPIPE:
	case SIGALRM:
	case SIGCHLD:
	case SIGCONT:
	case SIGURG: // Go's scheduler sends these by the thousand
	case SIGPROF:
	case SIGWINCH:
	case SIGIO:
		return false;
	}
	return signal < SIGRTMIN;
}

// The beginning of siginfo_t on 64-bit machines, which is ABI.
struct siginfo_head {
	s32 signo;
	s32 err;
	s32 code;
	s32 pad;
	u64 address;
};

// signal_generate(sig, info, task, group, result)
SEC("raw_tp/signal_generate")
int tapio_signal(struct bpf_raw_tracepoint_args *ctx)
{
	int signal = ctx->args[0];
	u64 info = ctx->args[1];
	struct task_struct *task;
	struct sent s = {};
	u32 tgid;

	if (!fatal(signal) || ctx->args[4] != 0)
		return 0; // not one of interest, or it was not delivered: ignored, or pending already
	task = (struct task_struct *)ctx->args[2];
	tgid = BPF_CORE_READ(task, tgid);
	s.signal = signal;
	s.pid = bpf_get_current_pid_tgid() >> 32;
	if (info == 1) { // SEND_SIG_PRIV
		s.by = KERNEL;
	} else if (info > 1) {
		struct siginfo_head head = {};

		bpf_probe_read_kernel(&head, sizeof(head), (void *)info);
		s.code = head.code;
		if (head.code > 0) { // SI_FROMKERNEL
			s.by = FAULT;
			s.address = head.address;
		}
	}
	bpf_get_current_comm(&s.comm, sizeof(s.comm));
	s.cgroup = tapio_cgroup_id((struct task_struct *)bpf_get_current_task());
	s.began = BPF_CORE_READ(task, group_leader, start_time);
	bpf_map_update_elem(&last_sent, &tgid, &s, BPF_ANY);
	return 0;
}

// is_first says whether a process is the first of a pid namespace other than the host's.
static __always_inline bool is_first(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);

	return level > 0 && tapio_pid_at(pid, level) == 1;
}

// Processes that have ended, by their signal_struct and when they began.
struct life {
	u64 shared;
	u64 began;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct life);
	__type(value, u8);
} ended SEC(".maps");

// is_last says whether a process ends with this thread. Of threads that end side by side each may see that none is left: the
// first to come here is taken for the last.
static __always_inline bool is_last(struct task_struct *task)
{
	struct signal_struct *shared = BPF_CORE_READ(task, signal);
	struct life life = {.shared = (u64)shared};
	u8 one = 1;

	if (BPF_CORE_READ(shared, live.counter) > 0)
		return false;
	life.began = BPF_CORE_READ(task, group_leader, start_time);
	return bpf_map_update_elem(&ended, &life, &one, BPF_NOEXIST) == 0;
}

static __always_inline bool may_tell(u64 cgroup, u64 now)
{
	struct told *t = bpf_map_lookup_elem(&told_of, &cgroup);
	struct told first = {.since = now, .n = 1};

	if (!t || now - t->since > TOLD_IN) {
		bpf_map_update_elem(&told_of, &cgroup, &first, BPF_ANY);
		return true;
	}
	tapio_add(&t->n, 1);
	return t->n <= TOLD_MAX;
}

// sched_process_exit(task, ...)
SEC("raw_tp/sched_process_exit")
int tapio_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0], *leader, *parent;
	struct cgroup_subsys_state *css;
	struct counts *c;
	struct sent *sent;
	struct exit *e;
	u32 code, signal, tgid;
	u64 cgroup, began, now;
	bool is_main;

	if (!is_last(task))
		return 0;
	code = BPF_CORE_READ(task, exit_code);
	signal = code & 0x7f;
	css = tapio_memory_css(task);
	cgroup = BPF_CORE_READ(css, cgroup, kn, id);
	c = tapio_counts(cgroup);
	if (c)
		tapio_add(&c->n_[signal ? EXITS_SIGNALED : code ? EXITS_FAILED : EXITS_OK], 1);
	tgid = BPF_CORE_READ(task, tgid);
	leader = BPF_CORE_READ(task, group_leader);
	parent = BPF_CORE_READ(leader, real_parent);
	is_main = false;
	if (code && !signal) {
		is_main = is_first(leader) || tapio_cgroup_id(parent) != cgroup;
		if (!is_main)
			return 0; // that of a command is for who ran it to judge
	}
	if (!code || signal == SIGPIPE)
		return 0;
	if (signal)
		is_main = is_first(leader) || tapio_cgroup_id(parent) != cgroup;
	now = bpf_ktime_get_ns();
	if (!may_tell(cgroup, now)) {
		tapio_count_untold();
		return 0;
	}
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	e->time = now;
	began = BPF_CORE_READ(leader, start_time);
	e->lived = now - began;
	e->pid = tgid;
	e->parent = BPF_CORE_READ(parent, tgid);
	e->code = code;
	e->is_main = is_main;
	BPF_CORE_READ_INTO(&e->comm, leader, comm);
	BPF_CORE_READ_INTO(&e->parent_comm, parent, comm);
	sent = bpf_map_lookup_elem(&last_sent, &tgid);
	e->has_sender = signal && sent && sent->signal == signal && sent->began == began;
	if (e->has_sender)
		e->sent = *sent;
	bpf_map_delete_elem(&last_sent, &tgid);
	tapio_read_cgroup(&e->cgroup, BPF_CORE_READ(css, cgroup));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

TAPIO_LICENSE;
