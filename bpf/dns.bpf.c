//go:build ignore

// dns.bpf.c: what is asked of DNS servers over UDP, how it is answered and how long that takes (RFC 1035; net/core/dev.c).
//
// There is no tracepoint of UDP. Therefore two see each packet that is sent and received, and have to let go of those that
// are none of theirs at once.
#include "tapio.h"

// How a lookup ended: by the response code, or without a response.
enum outcome {
	NOERROR,
	NXDOMAIN,
	SERVFAIL,
	REFUSED,
	OTHER,
	TIMED_OUT,
	OUTCOMES,
};

// Indices of a cgroup's counts; the first are those above.
enum count {
	RETRIES = OUTCOMES,
	ANSWERED_US,
	ANSWERED_BUCKETS,
	DNS_COUNTS = ANSWERED_BUCKETS + TAPIO_BUCKETS,
};
TAPIO_COUNTS(DNS_COUNTS)

#define IPPROTO_UDP 17
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define VLAN_HLEN 4
#define PORT 53

#define UDP_LEN 8
#define DNS_LEN 12
// The flags of a message: whether it is a response, of which kind, whether the server shall ask others, and the code.
#define DNS_QR 0x8000
#define DNS_OPCODE 0x7800
#define DNS_RD 0x0100
#define DNS_RCODE 0x000f

#define MS 1000000ULL
// A packet may pass several devices on its way out, such as a bond and the card behind it. Nobody asks again so soon.
#define SAME_PACKET (50 * MS)
// An answer that took as long as this is a slow one.
#define SLOW_AFTER (1000 * MS)

// Bytes of a name that are kept. Those of services in a cluster take some 60.
#define NAME_LEN 96
// The same byte eight times.
#define BYTES(b) ((b)*0x0101010101010101ULL)

// What somebody asks of a server.
struct question {
	u64 cgroup;
	u8 server[16]; // of IPv4 the first four
	u16 family;
	u16 pad[3];
	u8 name[NAME_LEN]; // as in the message, in lower case: each label with its length before it
};

struct question_counts {
	u64 n[OUTCOMES];
	u64 slow; // of those that were answered
};

// For bpf2go, which makes Go types of these.
const enum outcome *unused_outcome __attribute__((unused));
const enum count *unused_count __attribute__((unused));
const struct question *unused_question __attribute__((unused));
const struct question_counts *unused_question_counts __attribute__((unused));

// Who asks for what.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct question);
	__type(value, struct question_counts);
} questions SEC(".maps");

struct query {
	u64 began;
	u64 sent; // the last time
	struct question question;
	u32 hash; // of the name
	u32 pad;
};

const struct query *unused_query __attribute__((unused));

// Queries that have no answer yet, by the port of who asks and the id of the message. It is no LRU map, so that it is known how
// many there are.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, u32);
	__type(value, struct query);
} queries SEC(".maps");

// The same by the id and the name: on its way back a packet may be seen before its port is translated only.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, u64);
	__type(value, u32);
} translated SEC(".maps");

// How many queries have no answer: while it is 0, nobody needs to look at what is received.
int outstanding;
// When a packet came last that may have been an answer but could not be read (CLOCK_MONOTONIC, ns). What is asked at that time may
// have been answered.
u64 unread;

struct message {
	__be16 source, destination, length, checksum;
	__be16 id, flags, questions, answers, authorities, more;
};

// read_name copies the name of a message's question in lower case, and returns its hash. A name ends with a label of length 0, and
// no length is a letter. Eight letters at a time: a byte is between A and Z where one of the two sums has reached 0x80 and the other
// has not, and none of 0x80 and above.
static __always_inline u32 read_name(u64 *name, const void *from, u64 size)
{
	u64 hash = 0;

	asm volatile("" : "+r"(size)); // has the compiler compare what the verifier sees
	if (size > NAME_LEN)
		size = NAME_LEN;
	bpf_probe_read_kernel_str(name, size, from);
#pragma unroll
	for (int i = 0; i < NAME_LEN / 8; i++) {
		u64 low = name[i] & ~BYTES(0x80);
		u64 upper = ((low + BYTES(0x80 - 'A')) ^ (low + BYTES(0x7f - 'Z'))) & ~name[i] & BYTES(0x80);

		name[i] |= upper >> 2; // 0x20
		hash = (hash ^ name[i]) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
	}
	return hash;
}

static __always_inline u32 key_of(__be16 port, __be16 id) { return (u32)port << 16 | id; }
static __always_inline u64 translated_key(__be16 id, u32 hash) { return (u64)id << 32 | hash; }

// asker is the memory cgroup of who sends a packet. It is the task at work, unless the packet had to wait for a neighbour's
// address: then anybody may be.
static __always_inline u64 asker(struct sock *sk)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if (!TAPIO_HAS_NETNS || BPF_CORE_READ(task, nsproxy, net_ns) == sk->__sk_common.skc_net.net)
		return tapio_cgroup_id(task);
	return tapio_socket_cgroup_id(sk);
}

// serve fills in whom a packet is for: as the program asked for it where the socket is connected, since the packet's own address
// may have been translated.
static __always_inline void serve(struct question *q, struct sk_buff *skb, struct sock *sk)
{
	unsigned char *ip = skb->head + skb->network_header;

	if (sk->__sk_common.skc_dport) {
		q->family = tapio_peer(sk, q->server);
	} else if (skb->protocol == __builtin_bswap16(ETH_P_IPV6)) {
		q->family = AF_INET6;
		bpf_probe_read_kernel(&q->server, 16, ip + 24);
	} else {
		q->family = AF_INET;
		bpf_probe_read_kernel(&q->server, 4, ip + 16);
	}
}

static __always_inline int ask(struct sk_buff *skb, struct sock *sk)
{
	unsigned char *udp = skb->head + skb->transport_header;
	u32 size = skb->len - skb->data_len - (udp - skb->data) - UDP_LEN - DNS_LEN;
	struct query q = {}, *known;
	struct message m;
	struct counts *c;
	u64 by_name;
	u32 key;

	if ((int)size <= 0 || bpf_probe_read_kernel(&m, sizeof(m), udp))
		return 0;
	if (!sk->__sk_common.skc_dport && m.destination != __builtin_bswap16(PORT))
		return 0;
	// Who wants no recursion is a resolver at work, which asks its way through the servers of zones: one that is silent is no failure.
	if ((m.flags & __builtin_bswap16(DNS_QR | DNS_OPCODE | DNS_RD)) != __builtin_bswap16(DNS_RD) || m.questions != __builtin_bswap16(1))
		return 0;
	q.hash = read_name((u64 *)q.question.name, udp + UDP_LEN + DNS_LEN, size);
	q.began = q.sent = bpf_ktime_get_ns();
	key = key_of(m.source, m.id);
	known = bpf_map_lookup_elem(&queries, &key);
	if (known && known->hash == q.hash) {
		if (q.sent - known->sent < SAME_PACKET)
			return 0;
		known->sent = q.sent;
		c = tapio_counts(known->question.cgroup);
		if (c)
			tapio_add(&c->n_[RETRIES], 1);
		return 0;
	}
	q.question.cgroup = asker(sk);
	if (!q.question.cgroup)
		return 0;
	serve(&q.question, skb, sk);
	if (bpf_map_update_elem(&queries, &key, &q, BPF_NOEXIST)) {
		tapio_count_lost();
		return 0;
	}
	__sync_fetch_and_add(&outstanding, 1);
	by_name = translated_key(m.id, q.hash);
	bpf_map_update_elem(&translated, &by_name, &key, BPF_ANY);
	return 0;
}

// settle counts how a query ended, once.
static __always_inline void settle(u32 key, struct query *q, u32 outcome, u64 took)
{
	static const struct question_counts zero;
	struct question question = q->question;
	struct question_counts *of;
	struct counts *c;

	if (outcome >= OUTCOMES || bpf_map_delete_elem(&queries, &key))
		return;
	__sync_fetch_and_add(&outstanding, -1);
	c = tapio_counts(question.cgroup);
	if (c) {
		tapio_add(&c->n_[outcome], 1);
		if (outcome != TIMED_OUT) {
			tapio_add(&c->n_[ANSWERED_US], took / 1000);
			tapio_add(&c->n_[ANSWERED_BUCKETS + tapio_bucket(took / 1000)], 1);
		}
	}
	of = bpf_map_lookup_elem(&questions, &question);
	if (!of) { // an update takes locks even where it changes nothing
		bpf_map_update_elem(&questions, &question, &zero, BPF_NOEXIST);
		of = bpf_map_lookup_elem(&questions, &question);
	}
	if (!of)
		return;
	tapio_add(&of->n[outcome], 1);
	if (outcome != TIMED_OUT && took >= SLOW_AFTER)
		tapio_add(&of->slow, 1);
}

static __always_inline u32 outcome_of(__be16 flags)
{
	switch (__builtin_bswap16(flags) & DNS_RCODE) {
	case 0:
		return NOERROR;
	case 2:
		return SERVFAIL;
	case 3:
		return NXDOMAIN;
	case 5:
		return REFUSED;
	}
	return OTHER;
}

// answer looks whether a datagram is the answer to a query: wherever it is seen first, since not all ways into a container lead
// past a device of its own. udp is where it begins, size how much of it can be read there, and rest says that there is more.
static __always_inline int answer(const unsigned char *udp, u32 size, bool rest)
{
	u64 name[NAME_LEN / 8] = {};
	struct query *q;
	struct message m;
	u32 key, hash, *port;
	u64 by_name;

	if ((int)size < UDP_LEN + DNS_LEN) {
		if (rest)
			unread = bpf_ktime_get_ns();
		return 0;
	}
	if (bpf_probe_read_kernel(&m, sizeof(m), udp))
		return 0;
	if ((m.flags & __builtin_bswap16(DNS_QR | DNS_OPCODE)) != __builtin_bswap16(DNS_QR))
		return 0;
	key = key_of(m.destination, m.id);
	q = bpf_map_lookup_elem(&queries, &key);
	// Some servers do not repeat a question that they do not answer.
	if (m.questions) {
		hash = read_name(name, udp + UDP_LEN + DNS_LEN, size - UDP_LEN - DNS_LEN);
		if (!q || q->hash != hash) {
			by_name = translated_key(m.id, hash);
			port = bpf_map_lookup_elem(&translated, &by_name);
			if (port) {
				key = *port;
				q = bpf_map_lookup_elem(&queries, &key);
			}
		}
		if (!q || q->hash != hash) {
			if (rest)
				unread = bpf_ktime_get_ns(); // the name may be there
			return 0;
		}
	}
	if (q)
		settle(key, q, outcome_of(m.flags), bpf_ktime_get_ns() - q->began);
	return 0;
}

// net_dev_queue(skb): a packet goes out
SEC("tp_btf/net_dev_queue")
int tapio_send(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct sock *sk = skb->sk;
	u16 port;

	if (!sk || sk->sk_protocol != IPPROTO_UDP)
		return 0;
	port = sk->__sk_common.skc_dport;
	if (port && port != __builtin_bswap16(PORT))
		return 0;
	// Only where it is sent, not where else it comes by.
	if (TAPIO_HAS_NETNS && skb->dev->nd_net.net != sk->__sk_common.skc_net.net)
		return 0;
	return ask(skb, sk);
}

// netif_receive_skb(skb): a packet comes in. Its data begins with the network's header, which nobody has looked at yet.
SEC("tp_btf/netif_receive_skb")
int tapio_receive(u64 *ctx)
{
	struct sk_buff *skb;
	unsigned char *ip;
	u8 header[10];
	u32 size, rest, length = 40; // of IPv6's header
	u16 protocol;

	if (!outstanding)
		return 0;
	skb = (struct sk_buff *)ctx[0];
	ip = skb->data;
	protocol = skb->protocol;
	rest = skb->data_len;
	size = skb->len - rest;
	if (protocol == __builtin_bswap16(ETH_P_8021Q)) {
		bpf_probe_read_kernel(&protocol, sizeof(protocol), ip + 2);
		ip += VLAN_HLEN;
		size -= VLAN_HLEN;
	}
	if ((int)size < (int)sizeof(header)) {
		if (rest)
			unread = bpf_ktime_get_ns();
		return 0;
	}
	if (bpf_probe_read_kernel(header, sizeof(header), ip))
		return 0;
	if (protocol == __builtin_bswap16(ETH_P_IP)) {
		if (header[9] != IPPROTO_UDP || (header[6] & 0x1f) || header[7])
			return 0; // of a fragment, only the first tells
		length = (header[0] & 0xf) * 4;
	} else if (protocol != __builtin_bswap16(ETH_P_IPV6) || header[6] != IPPROTO_UDP) {
		return 0;
	}
	return answer(ip + length, size - length, rest);
}

// tapio_expire is run by user space for a key of queries: there was no answer in time. Where packets came that could not be read,
// one may have been the answer: then nothing is known.
SEC("raw_tp/tapio_expire")
int tapio_expire(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0];
	u64 before = ctx->args[1];
	struct query *q = bpf_map_lookup_elem(&queries, &key);

	if (!q || q->sent > before)
		return 0;
	if (unread > q->began) {
		if (!bpf_map_delete_elem(&queries, &key)) {
			__sync_fetch_and_add(&outstanding, -1);
			tapio_count_lost();
		}
		return 0;
	}
	settle(key, q, TIMED_OUT, 0);
	return 0;
}

TAPIO_LICENSE;
