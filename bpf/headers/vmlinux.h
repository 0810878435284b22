// vmlinux.h: the parts of the kernel's types that Tapio's programs read, cut down from `bpftool btf dump file
// /sys/kernel/btf/vmlinux format c`.
//
// Fields are found by their names in the running kernel's BTF when a program is loaded (CO-RE), so that neither their order
// here nor what is left out matters. A type whose name ends in ___old or ___new is that of older or newer kernels: what
// follows the three underscores is not part of the name.
#ifndef TAPIO_VMLINUX_H
#define TAPIO_VMLINUX_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __s8 s8;
typedef __u16 u16;
typedef __s16 s16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;

enum { false, true };

// include/uapi/linux/bpf.h
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_NO_PREALLOC = 1,
};

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct {
	long counter;
} atomic_long_t;

// include/linux/kernfs.h
struct kernfs_node {
	struct kernfs_node *__parent; // since 6.15
	const char *name;
	u64 id;
};

struct kernfs_node___old {
	struct kernfs_node *parent;
};

// include/linux/cgroup-defs.h
enum cgroup_subsys_id {
	memory_cgrp_id = 4, // by its name in the running kernel
};

struct cgroup_root {
	unsigned int subsys_mask;
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct css_set {
	struct cgroup_subsys_state *subsys[12];
};

// include/linux/page_counter.h, include/linux/memcontrol.h
struct page_counter {
	atomic_long_t usage;
	unsigned long max;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
};

// include/linux/mm_types.h
struct percpu_counter {
	s64 count;
};

struct mm_struct {
	unsigned long total_vm;
	struct percpu_counter rss_stat[4]; // since 6.2
};

struct mm_rss_stat {
	atomic_long_t count[4];
};

struct mm_struct___old {
	struct mm_rss_stat rss_stat;
};

// include/linux/sched/signal.h
struct signal_struct {
	atomic_t live;
	short oom_score_adj;
};

// include/linux/sched.h
struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[0];
};

struct sched_info {
	unsigned long pcount; // how often it was put on a CPU
	unsigned long long run_delay; // how long it waited for one, ns
};

struct task_struct___old { // before 5.14
	long state;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	unsigned int __state;
	struct sched_info sched_info;
	int pid;
	int tgid;
	u64 start_time;
	struct pid *thread_pid;
	struct task_struct *real_parent;
	int exit_code;
	char comm[16];
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
};

// include/linux/bpf.h, kernel/bpf/task_iter.c
struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

// include/linux/blkdev.h, include/linux/blk-mq.h
struct gendisk {
	char disk_name[32];
};

struct request_queue {
	struct gendisk *disk; // since 5.15
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
	u64 start_time_ns;
};

struct request___old { // before 5.17
	struct gendisk *rq_disk;
};

// include/net/net_namespace.h, include/linux/nsproxy.h, include/net/sock.h
struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		u8 u6_addr8[16];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
};

struct sock_cgroup_data {
	struct cgroup *cgroup; // since 5.15; before it was in a union with other things
};

struct sk_buff;

struct sk_buff_head {
	struct sk_buff *next;
	u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_error_queue;
	u16 sk_protocol; // since 5.6; that of MPTCP has TCP's for its low byte
	int sk_err;
	int sk_err_soft;
	atomic_t sk_drops;
	struct sock_cgroup_data sk_cgrp_data;
};

// include/net/inet_sock.h
struct inet_sock {
	__be16 inet_sport;
};

// include/linux/netdevice.h, include/linux/skbuff.h
struct net_device {
	possible_net_t nd_net;
};

struct sk_buff {
	struct sock *sk;
	struct net_device *dev;
	unsigned int len;
	unsigned int data_len; // of these, how much is not at data but in pages
	__be16 protocol;
	u16 transport_header;
	u16 network_header;
	char cb[48];
	unsigned char *head;
	unsigned char *data;
};

// include/linux/errqueue.h, include/uapi/linux/errqueue.h: what the cb of a packet in sk_error_queue is.
struct sock_extended_err {
	u32 ee_errno;
	u8 ee_origin;
};

struct sock_exterr_skb {
	struct sock_extended_err ee;
};

// include/linux/tcp.h
struct tcp_sock {
	u32 srtt_us; // of 1/8 µs
	u32 segs_out;
	u32 total_retrans;
};

// include/trace/events/oom.h: before 6.9 there was nothing but pid, and the tracepoint was given that instead of the task.
struct trace_event_raw_mark_victim {
	int pid;
	unsigned int uid;
};

#pragma clang attribute pop

#endif
