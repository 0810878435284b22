//go:build ignore

// network.bpf.c: TCP connections: to whom, how long it took, why not, and what was lost on the way (net/ipv4/tcp*.c,
// net/core/sock.c).
#include "tapio.h"
#include <bpf/bpf_tracing.h>

// How an attempt to connect ended.
enum outcome {
	CONNECTED,
	REFUSED,
	TIMED_OUT,
	UNREACHABLE,
	NO_PORTS, // none was left on this side
	ABANDONED, // by the program, after a second or more: a time limit of its own
	CANCELLED, // by the program, sooner
	FAILED,
	OUTCOMES,
};

// Indices of a cgroup's counts; the first are those above.
enum count {
	RETRANSMITS = OUTCOMES,
	RETRANSMITS_HEAVY, // on connections that sent 2 % again, or more
	RESETS_SENT,
	RESETS_RECEIVED,
	LISTEN_DROPS,
	CONNECT_US,
	CONNECT_BUCKETS,
	RTT_US = CONNECT_BUCKETS + TAPIO_BUCKETS,
	RTT_BUCKETS,
	NETWORK_COUNTS = RTT_BUCKETS + TAPIO_BUCKETS,
};
TAPIO_COUNTS(NETWORK_COUNTS)

#define IPPROTO_TCP 6

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12

#define ENETUNREACH 101
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTDOWN 112
#define EHOSTUNREACH 113

#define SECOND 1000000000ULL

struct peer {
	u64 cgroup;
	u8 address[16]; // of IPv4 the first four
	u16 port; // in the machine's order
	u16 family;
	u32 pad;
};

struct peer_counts {
	u64 n[OUTCOMES];
};

// For bpf2go, which makes Go types of these.
const enum outcome *unused_outcome __attribute__((unused));
const enum count *unused_count __attribute__((unused));
const struct peer *unused_peer __attribute__((unused));
const struct peer_counts *unused_peer_counts __attribute__((unused));
const struct listener *unused_listener __attribute__((unused));
const struct member *unused_member __attribute__((unused));

// Who talks to whom.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct peer);
	__type(value, struct peer_counts);
} peers SEC(".maps");

struct socket {
	u64 began;
	u64 cgroup;
};

// Sockets that have begun to connect, until they close: whose they are is known while their owner is at work, but not when an
// answer or a timer comes.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct socket);
} sockets SEC(".maps");

// The number of the network namespace where the kernel has but one.
#define ONLY_NETNS 1

struct port {
	u32 netns;
	u32 number;
};

// Who listens where, or did so last: whose the connections are that come in there. They may outlive the socket that listened.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct port);
	__type(value, u64);
} listening SEC(".maps");

// A socket that listens. It counts the segments that it discards (sk_drops): which of them were connections that its queue had no
// room for, user space finds out.
struct listener {
	u64 began;
	u64 cgroup;
	u32 netns;
	u32 judged; // of what it discarded
	u32 discarded; // until it was closed
	u32 closed;
};

// Each by its socket, for several may listen on one port. Of those that are closed, the ones that are not judged yet.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, u64);
	__type(value, struct listener);
} listeners SEC(".maps");

// By helpers, for sockets that are given as numbers.
static __always_inline struct port port_of(struct sock *sk)
{
	struct port p = {.netns = ONLY_NETNS, .number = BPF_CORE_READ(sk, __sk_common.skc_num)};

	if (TAPIO_HAS_NETNS)
		p.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);

	if (!p.number) // it is closed, and may send a reset yet
		p.number = __builtin_bswap16(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	return p;
}

// owner_of returns whose a socket is, or 0.
static __always_inline u64 owner_of(struct sock *sk)
{
	u64 key = (u64)sk, *listener;
	struct socket *known = bpf_map_lookup_elem(&sockets, &key);
	struct port port;

	if (known)
		return known->cgroup;
	port = port_of(sk);
	listener = bpf_map_lookup_elem(&listening, &port);
	if (listener)
		return *listener;
	return tapio_socket_cgroup_id(sk); // of who listened before
}

static __always_inline struct counts *counts_of(struct sock *sk)
{
	u64 cgroup = owner_of(sk);

	return cgroup ? tapio_counts(cgroup) : 0;
}

static __always_inline void begin(struct sock *sk)
{
	struct socket s = {.began = bpf_ktime_get_ns()};
	u64 key = (u64)sk;

	s.cgroup = tapio_cgroup_id((struct task_struct *)bpf_get_current_task());
	if (bpf_map_update_elem(&sockets, &key, &s, BPF_ANY))
		tapio_count_lost();
}

// peer_of is whom a socket of a cgroup connects to.
static __always_inline struct peer peer_of(struct sock *sk, u64 cgroup)
{
	struct peer p = {.cgroup = cgroup, .port = __builtin_bswap16(sk->__sk_common.skc_dport)};

	p.family = tapio_peer(sk, p.address);
	return p;
}

#define SO_EE_ORIGIN_ICMP 2

// told_by_icmp is the error that a router or firewall told of by ICMP while the program was still at work in connect, as where both are on this
// machine (tcp_v4_err, tcp_v6_err): the socket stays as it is. Of IPv4 the program is told at once, asks for the error, which is forgotten so, and
// closes the socket. 0: there was none.
static __always_inline u32 told_by_icmp(struct sock *sk)
{
	struct sk_buff *skb = BPF_CORE_READ(sk, sk_error_queue.next);
	struct sock_exterr_skb *told = (void *)skb + bpf_core_field_offset(skb->cb);

	if (sk->sk_err_soft)
		return sk->sk_err_soft;
	if (!BPF_CORE_READ(sk, sk_error_queue.qlen) || BPF_CORE_READ(told, ee.ee_origin) != SO_EE_ORIGIN_ICMP)
		return 0;
	return BPF_CORE_READ(told, ee.ee_errno);
}

static __always_inline u32 failure(struct sock *sk, u64 took)
{
	u32 err = sk->sk_err;

	switch (err ? err : told_by_icmp(sk)) {
	case ECONNREFUSED:
		return REFUSED;
	case ETIMEDOUT:
		return TIMED_OUT;
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
		return UNREACHABLE;
	case 0:
		// tcp_v4_connect and tcp_v6_connect enter SYN_SENT before they look for a port, and leave it without a SYN when
		// there is none.
		if (!BPF_CORE_READ((struct tcp_sock *)sk, segs_out))
			return NO_PORTS;
		return took >= SECOND ? ABANDONED : CANCELLED;
	}
	return FAILED;
}

static __always_inline void finish(struct sock *sk, bool connected)
{
	u64 key = (u64)sk, took;
	struct socket *s = bpf_map_lookup_elem(&sockets, &key);
	static const struct peer_counts zero;
	struct peer_counts *p;
	struct peer peer;
	struct counts *c;
	u32 outcome;

	if (!s) { // it has begun before there was this program, or there were too many
		tapio_count_lost();
		return;
	}
	took = bpf_ktime_get_ns() - s->began;
	outcome = connected ? CONNECTED : failure(sk, took);
	if (outcome >= OUTCOMES)
		return;
	c = tapio_counts(s->cgroup);
	if (c) {
		tapio_add(&c->n_[outcome], 1);
		if (connected) {
			tapio_add(&c->n_[CONNECT_US], took / 1000);
			tapio_add(&c->n_[CONNECT_BUCKETS + tapio_bucket(took / 1000)], 1);
		}
	}
	peer = peer_of(sk, s->cgroup);
	p = bpf_map_lookup_elem(&peers, &peer);
	if (!p) { // an update takes locks even where it changes nothing
		bpf_map_update_elem(&peers, &peer, &zero, BPF_NOEXIST);
		p = bpf_map_lookup_elem(&peers, &peer);
	}
	if (p)
		tapio_add(&p->n[outcome], 1);
}

// Connections of fewer segments than this are most there are where each request makes one, and one in SAMPLED of them tells as much as all.
#define FEW 8
#define SAMPLED 8

static __always_inline void round_trip(struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk; // of which more is read than of a struct sock, as which it is given: by helpers
	u64 us, weight = 1;
	struct counts *c;

	if (BPF_CORE_READ(tp, segs_out) < FEW) {
		if (bpf_get_prandom_u32() % SAMPLED)
			return;
		weight = SAMPLED;
	}
	us = BPF_CORE_READ(tp, srtt_us) >> 3;
	if (!us)
		return;
	c = counts_of(sk);
	if (!c)
		return;
	tapio_add(&c->n_[RTT_US], us * weight);
	tapio_add(&c->n_[RTT_BUCKETS + tapio_bucket(us)], weight);
}

static __always_inline u32 discarded(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_drops.counter);
}

static __always_inline void listen(struct sock *sk)
{
	struct listener l = {.began = bpf_ktime_get_ns(), .judged = discarded(sk)};
	struct port port = port_of(sk);
	u64 key = (u64)sk;

	l.cgroup = tapio_cgroup_id((struct task_struct *)bpf_get_current_task());
	l.netns = port.netns;
	bpf_map_update_elem(&listening, &port, &l.cgroup, BPF_ANY);
	bpf_map_update_elem(&listeners, &key, &l, BPF_ANY);
}

static __always_inline void listen_no_more(struct sock *sk)
{
	u64 key = (u64)sk;
	struct listener *l = bpf_map_lookup_elem(&listeners, &key);

	if (!l)
		return;
	l->discarded = discarded(sk);
	l->closed = 1;
	if (l->discarded == l->judged)
		bpf_map_delete_elem(&listeners, &key);
}

// inet_sock_set_state(sk, oldstate, newstate): some ten times a connection, with both of its sides here. Therefore of BTF, whose programs read
// what they are given by themselves: a helper's call for each field takes several times as long.
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tapio_state, struct sock *sk, int old, int new)
{
	u64 key = (u64)sk;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (new == TCP_SYN_SENT) {
		begin(sk);
	} else if (old == TCP_SYN_SENT) {
		finish(sk, new == TCP_ESTABLISHED);
	} else if (old == TCP_ESTABLISHED) {
		round_trip(sk);
	} else if (new == TCP_LISTEN) {
		listen(sk);
	} else if (old == TCP_LISTEN) {
		listen_no_more(sk);
	}
	if (new == TCP_CLOSE && bpf_map_lookup_elem(&sockets, &key)) // to look takes no lock, to delete does
		bpf_map_delete_elem(&sockets, &key);
	return 0;
}

// tcp_retransmit_skb(sk, skb, ...)
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tapio_retransmit, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct counts *c = counts_of(sk);

	if (!c)
		return 0;
	tapio_add(&c->n_[RETRANSMITS], 1);
	if (sk->__sk_common.skc_state == TCP_ESTABLISHED && BPF_CORE_READ(tp, total_retrans) * 50ULL >= BPF_CORE_READ(tp, segs_out))
		tapio_add(&c->n_[RETRANSMITS_HEAVY], 1);
	return 0;
}

// tcp_receive_reset(sk)
SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(tapio_reset_received, struct sock *sk)
{
	struct counts *c;

	if (sk->__sk_common.skc_state == TCP_SYN_SENT)
		return 0; // a connection that is refused
	c = counts_of(sk);
	if (c)
		tapio_add(&c->n_[RESETS_RECEIVED], 1);
	return 0;
}

// tcp_send_reset(sk, skb, ...): since 6.10 sk is 0 where nobody listens. The verifiers of 6.10 to 6.12.1 take what a program of BTF is given
// for never 0, and leave out the look whether it is (CVE-2024-56702). A raw program is given numbers.
SEC("raw_tp/tcp_send_reset")
int tapio_reset_sent(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	struct counts *c;
	u8 state;

	if (!sk)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV)
		return 0; // less than a socket, of which older kernels do not tell
	c = counts_of(sk);
	if (c)
		tapio_add(&c->n_[RESETS_SENT], 1);
	return 0;
}

// tapio_discarded is run by user space for a key of listeners: how many segments were discarded there that nobody has judged yet.
SEC("raw_tp/tapio_discarded")
int tapio_discarded(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = ctx->args[0];
	struct listener *l = bpf_map_lookup_elem(&listeners, &key);
	struct sock *sk = (struct sock *)key;

	if (!l)
		return 0;
	if (l->closed)
		return l->discarded - l->judged;
	return BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN ? discarded(sk) - l->judged : 0;
}

// tapio_judge is run by user space for a key of listeners and when it began: of so many more segments that were discarded there, so many
// were connections that its queue had no room for; or nobody knows.
SEC("raw_tp/tapio_judge")
int tapio_judge(struct bpf_raw_tracepoint_args *ctx)
{
	u64 key = ctx->args[0], began = ctx->args[1], dropped = ctx->args[3];
	struct listener *l = bpf_map_lookup_elem(&listeners, &key);
	struct counts *c;

	if (!l || l->began != began)
		return 0; // another one has its place meanwhile
	l->judged += ctx->args[2];
	if (dropped) {
		c = tapio_counts(l->cgroup);
		if (c)
			tapio_add(&c->n_[LISTEN_DROPS], dropped);
	}
	if (ctx->args[4])
		tapio_count_lost();
	if (l->closed)
		bpf_map_delete_elem(&listeners, &key);
	return 0;
}

// A process, by the network namespace that it is in.
struct member {
	u32 netns;
	u32 pid;
};

// pid_here is the number of a task in the pid namespace of the one at work: not the machine's, on a node that is a container itself.
static __always_inline u32 pid_here(struct task_struct *task)
{
	struct task_struct *current = (struct task_struct *)bpf_get_current_task();

	return tapio_pid_at(BPF_CORE_READ(task, thread_pid), BPF_CORE_READ(current, thread_pid, level));
}

// tapio_members tells of each process in which network namespace it is, of those that the reader sees: through one of them user space reads what a namespace counts.
SEC("iter/task")
int tapio_members(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct member m = {.netns = ONLY_NETNS};

	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	m.pid = pid_here(task);
	if (TAPIO_HAS_NETNS)
		m.netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	if (m.netns)
		bpf_seq_write(ctx->meta->seq, &m, sizeof(m));
	return 0;
}

TAPIO_LICENSE;
