//go:build ignore

// errno.bpf.c: system calls that fail because something is exhausted, attached for seconds and on demand only: a tracepoint of
// system calls slows down those of every task (kernel/entry/common.c).
#include "tapio.h"

#define EAGAIN 11
#define ENOMEM 12
#define ENFILE 23
#define EMFILE 24
#define ENOSPC 28
#define EROFS 30
#define EADDRNOTAVAIL 99
#define EDQUOT 122

#define AT_FDCWD -100

// arch/x86/include/asm/thread_info.h, arch/x86/include/uapi/asm/unistd.h, arch/arm64/include/asm/thread_info.h
#define TS_COMPAT 0x0002
#define X32_SYSCALL_BIT 0x40000000
#define TIF_32BIT 22

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs___x86 {
	unsigned long si, di, orig_ax;
};

struct pt_regs___arm64 {
	u64 regs[31];
	u64 orig_x0;
	s32 syscallno;
};

struct thread_info___x86 {
	u32 status;
};

struct thread_info___arm64 {
	unsigned long flags;
};

struct task_struct___x86 {
	struct thread_info___x86 thread_info;
};

struct task_struct___arm64 {
	struct thread_info___arm64 thread_info;
};

// include/linux/fs.h, include/linux/fdtable.h
struct super_block {
	u32 s_dev;
};

struct inode {
	struct super_block *i_sb;
};

struct file {
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct___files {
	struct files_struct *files;
};

#pragma clang attribute pop

#define PATH 64

struct failure {
	u64 cgroup;
	u32 error;
	u32 syscall;
	u32 device; // of the file that the first argument is the descriptor of, if it is one
	u8 comm[TASK_COMM_LEN]; // of the process
	u32 pad;
	u8 path[PATH]; // the beginning of it, where no descriptor tells the device
};

struct failures {
	u64 count;
	u32 pid; // of the process that it happened to first
	u32 pad;
};

// For bpf2go, which makes Go types of these.
const struct failure *unused_failure __attribute__((unused));
const struct failures *unused_failures __attribute__((unused));

// What failed. What it has no room for is counted in lost.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct failure);
	__type(value, struct failures);
} failed SEC(".maps");

// The cgroups that are looked at, with all below them: several, for one that is made anew meanwhile has another id.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u64);
	__type(value, u8);
} looked_at SEC(".maps");

// All cgroups are looked at.
volatile const bool everywhere;

// compat says whether a task made a call by the numbers of another architecture: those are passed over.
static __always_inline bool compat(void *task, u32 syscall)
{
	struct task_struct___x86 *x86 = task;
	struct task_struct___arm64 *arm64 = task;

	if (bpf_core_field_exists(x86->thread_info.status))
		return BPF_CORE_READ(x86, thread_info.status) & TS_COMPAT || syscall & X32_SYSCALL_BIT;
	return BPF_CORE_READ(arm64, thread_info.flags) >> TIF_32BIT & 1;
}

// forks says whether a call makes a task.
static __always_inline bool forks(u32 syscall, bool x86)
{
	return syscall == 435 || (x86 ? syscall >= 56 && syscall <= 58 : syscall == 220);
}

// within says whether a task is in a cgroup that is looked at.
static __always_inline bool within(struct task_struct *task)
{
	struct kernfs_node *kn = BPF_CORE_READ(tapio_memory_css(task), cgroup, kn);

	for (int i = 0; i < TAPIO_LEVELS && kn; i++) {
		u64 id = BPF_CORE_READ(kn, id);

		if (bpf_map_lookup_elem(&looked_at, &id))
			return true;
		kn = tapio_parent(kn);
	}
	return false;
}

// device_of returns the device of what a descriptor stands for, or 0.
static __always_inline u32 device_of(void *task, u64 fd)
{
	struct task_struct___files *t = task;
	struct fdtable *fdt = BPF_CORE_READ(t, files, fdt);
	struct file **files = BPF_CORE_READ(fdt, fd), *file = 0;

	if (fd >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file ? BPF_CORE_READ(file, f_inode, i_sb, s_dev) : 0;
}

// path_of reads the path that a call was given: as its first argument, or as its second beside "below the working directory".
static __always_inline void path_of(u8 *out, u64 first, u64 second)
{
	const void *path = (const void *)((s32)first == AT_FDCWD ? second : first);

	if (path >= (const void *)4096) // else it is a number
		bpf_probe_read_user_str(out, PATH, path);
}

// sys_exit(regs, ret)
SEC("raw_tp/sys_exit")
int tapio_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs___x86 *x86 = (void *)ctx->args[0];
	struct pt_regs___arm64 *arm64 = (void *)ctx->args[0];
	bool is_x86 = bpf_core_field_exists(x86->orig_ax);
	long ret = ctx->args[1];
	struct failure f = {.error = -ret};
	struct failures *known, first = {};
	struct task_struct *task;
	u64 first_arg, second_arg;

	switch (-ret) {
	case EAGAIN: // else it only says "later"
	case ENOMEM:
	case ENFILE:
	case EMFILE:
	case ENOSPC:
	case EROFS:
	case EADDRNOTAVAIL:
	case EDQUOT:
		break;
	default:
		return 0;
	}
	f.syscall = is_x86 ? BPF_CORE_READ(x86, orig_ax) : BPF_CORE_READ(arm64, syscallno);
	if (f.error == EAGAIN && !forks(f.syscall, is_x86))
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	if (compat(task, f.syscall) || !(everywhere || within(task)))
		return 0;
	if (f.error == ENOSPC || f.error == EROFS || f.error == EDQUOT) {
		first_arg = is_x86 ? BPF_CORE_READ(x86, di) : BPF_CORE_READ(arm64, orig_x0);
		second_arg = is_x86 ? BPF_CORE_READ(x86, si) : BPF_CORE_READ(arm64, regs[1]);
		f.device = device_of(task, first_arg);
		if (!f.device)
			path_of(f.path, first_arg, second_arg);
	}
	f.cgroup = tapio_cgroup_id(task);
	BPF_CORE_READ_STR_INTO(&f.comm, task, group_leader, comm);
	known = bpf_map_lookup_elem(&failed, &f);
	if (!known) {
		first.pid = BPF_CORE_READ(task, tgid);
		bpf_map_update_elem(&failed, &f, &first, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&failed, &f);
	}
	if (known)
		tapio_add(&known->count, 1);
	else
		tapio_count_lost();
	return 0;
}

TAPIO_LICENSE;
