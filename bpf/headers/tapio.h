// tapio.h: what Tapio's programs have in common: whose a task is, and how events go to user space.
#ifndef TAPIO_H
#define TAPIO_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

// GPL helpers (bpf_probe_read_kernel and others) want a licence that the kernel takes for one.
#define TAPIO_LICENSE char _license[] SEC("license") = "Dual MIT/GPL"

#define TASK_COMM_LEN 16

// Of include/uapi/linux/bpf.h. To wake a reader costs the task at work some microseconds: who tells often does not, and is read in turns.
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_RB_AVAIL_DATA 0

// Levels of the cgroup tree that are walked. Kubernetes needs 5, and what runs inside a container a few more.
#define TAPIO_LEVELS 16
#define TAPIO_NAME_MAX 256
#define TAPIO_PATH_MAX 1024

// A program that counts keeps its counts in one map, by cgroup. User space reads it, and deletes what cgroups have left that are gone.
// (An LRU map would do so by itself, but each CPU may keep 128 of its entries free for what it adds, of 64 CPUs all that there are.)
#define TAPIO_CGROUPS 2048

#define TAPIO_COUNTS(n)                              \
	struct counts {                              \
		u64 n_[n];                           \
	};                                           \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_HASH);     \
		__uint(max_entries, TAPIO_CGROUPS);  \
		__type(key, u64);                    \
		__type(value, struct counts);        \
	} counts SEC(".maps");                       \
	static const struct counts none;             \
	static __always_inline struct counts *tapio_counts(u64 cgroup) \
	{                                            \
		struct counts *c = bpf_map_lookup_elem(&counts, &cgroup); \
		if (c)                               \
			return c;                    \
		bpf_map_update_elem(&counts, &cgroup, &none, BPF_NOEXIST); \
		c = bpf_map_lookup_elem(&counts, &cgroup); \
		if (!c)                              \
			tapio_count_lost();          \
		return c;                            \
	}

static __always_inline void tapio_add(u64 *n, u64 by)
{
	__sync_fetch_and_add(n, by);
}

// Buckets of powers of two, from 1 µs to 8.4 s and what is above.
#define TAPIO_BUCKETS 24

// tapio_bucket is the one in which a value lies, in µs.
static __always_inline u32 tapio_bucket(u64 v)
{
	u32 b = 0;

#pragma unroll
	for (int shift = 32; shift > 0; shift >>= 1) {
		if (v >> shift) {
			v >>= shift;
			b += shift;
		}
	}
	return b < TAPIO_BUCKETS ? b : TAPIO_BUCKETS - 1;
}

// tapio_cgroup names a task's memory cgroup. On cgroup v1 the memory hierarchy is one of several, and the cgroup that
// bpf_get_current_cgroup_id tells of is that of v2, where there is nobody; therefore the memory controller's is read.
struct tapio_cgroup {
	u64 id; // the inode of its folder
	u32 used; // bytes of names
	u8 version; // of the hierarchy
	u8 pad[3];
	// Names from the leaf to the root, each ended by a zero.
	u8 names[TAPIO_PATH_MAX + TAPIO_NAME_MAX];
};

// TAPIO_COUNTER makes a map with one number for each CPU, and tapio_count_NAME, which adds one.
#define TAPIO_COUNTER(name)                          \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, 1);              \
		__type(key, u32);                    \
		__type(value, u64);                  \
	} name SEC(".maps");                         \
	static __always_inline void tapio_count_##name(void) \
	{                                            \
		u32 zero = 0;                        \
		u64 *n = bpf_map_lookup_elem(&name, &zero); \
		if (n)                               \
			*n += 1;                     \
	}

// lost counts the events for which the ring buffer had no room.
TAPIO_COUNTER(lost)

// tapio_memory_css is what the memory controller has of a task; 0 where the kernel has no such controller (CONFIG_MEMCG).
static __always_inline struct cgroup_subsys_state *tapio_memory_css(struct task_struct *task)
{
	struct cgroup_subsys_state *css = 0;
	struct css_set *set;
	const char *subsys;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return 0;
	set = BPF_CORE_READ(task, cgroups);
	// The index is only known when the program is loaded, which a CO-RE access to an array cannot take.
	subsys = (const char *)set + bpf_core_field_offset(set->subsys);
	bpf_probe_read_kernel(&css, sizeof(css), subsys + bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) * sizeof(css));
	return css;
}

static __always_inline struct kernfs_node *tapio_parent(struct kernfs_node *kn)
{
	if (bpf_core_field_exists(kn->__parent))
		return BPF_CORE_READ(kn, __parent);
	return BPF_CORE_READ((struct kernfs_node___old *)kn, parent);
}

// tapio_cgroup_id returns the id of a task's memory cgroup.
static __always_inline u64 tapio_cgroup_id(struct task_struct *task)
{
	return BPF_CORE_READ(tapio_memory_css(task), cgroup, kn, id);
}

// tapio_pid_at is the number of a task in the pid namespace so many levels inside the machine's, in which it must be.
static __always_inline int tapio_pid_at(struct pid *pid, u32 level)
{
	int nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (char *)pid + bpf_core_field_offset(pid->numbers) + level * bpf_core_type_size(struct upid));
	return nr;
}

// TAPIO_HAS_NETNS says whether the kernel tells network namespaces apart (CONFIG_NET_NS).
#define TAPIO_HAS_NETNS bpf_core_field_exists(((possible_net_t *)0)->net)

#define AF_INET 2
#define AF_INET6 10

// tapio_peer copies the address that a socket is connected to, of IPv4 into the first four bytes, and returns its family.
static __always_inline u16 tapio_peer(struct sock *sk, void *address)
{
	u16 family = sk->__sk_common.skc_family;

	if (family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) // CONFIG_IPV6
		BPF_CORE_READ_INTO((u8(*)[16])address, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	else
		bpf_core_read(address, 4, &sk->__sk_common.skc_daddr);
	return family;
}

// tapio_socket_cgroup_id returns the cgroup of v2 that a socket was made in, or 0 where the memory controller is not there.
static __always_inline u64 tapio_socket_cgroup_id(struct sock *sk)
{
	struct cgroup *cgroup;

	if (!bpf_core_field_exists(sk->sk_cgrp_data.cgroup) || !bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return 0;
	// By helpers, since the compiler would make one load of this and of others, which the kernel does not allow.
	cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	if (!(BPF_CORE_READ(cgroup, root, subsys_mask) >> bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) & 1))
		return 0;
	return BPF_CORE_READ(cgroup, kn, id);
}

// tapio_read_cgroup reads a cgroup with its path: by the time that user space looks, its folder may be gone.
static __always_inline void tapio_read_cgroup(struct tapio_cgroup *out, struct cgroup *cgroup)
{
	struct kernfs_node *kn = BPF_CORE_READ(cgroup, kn);
	u32 used = 0;

	out->id = BPF_CORE_READ(kn, id);
	// The unified hierarchy is made first (cgroup_init in kernel/cgroup/cgroup.c).
	out->version = BPF_CORE_READ(cgroup, root, hierarchy_id) == 0 ? 2 : 1;
	for (int i = 0; i < TAPIO_LEVELS; i++) {
		struct kernfs_node *parent = tapio_parent(kn);
		long n;

		if (!parent)
			break; // the root has no name
		if (used >= TAPIO_PATH_MAX)
			break;
		n = bpf_probe_read_kernel_str(&out->names[used & (TAPIO_PATH_MAX - 1)], TAPIO_NAME_MAX, BPF_CORE_READ(kn, name));
		if (n <= 0)
			break;
		used += n;
		kn = parent;
	}
	out->used = used;
}

#endif
