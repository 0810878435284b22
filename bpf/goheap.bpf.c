//go:build ignore

// goheap.bpf.c: which stacks of a Go program fetch new spans for its heap, and when its collector has marked what is live.
//
// The first object in a new span is the one for which the runtime fetched it, so that each span is a sample of what is
// allocated, together with its stack. Whether that object lives on is read from the span's mark bits, in user space.
#include "tapio.h"
#include "registers.h"

#define FRAMES 64
#define EVENTS (4 * 1024 * 1024) // bytes
#define SPAN_IN_USE 1 // runtime.mSpanInUse

enum event { SPAN = 1, MARKED, MARKING, STARTED };

// What is told of the program that is watched: offsets of fields in runtime.mspan, and in how many pages of spans one
// is sampled: of what leaks in a few large pieces, none shall be overlooked.
struct target {
	u32 sweepgen, class, state;
	u32 one_in;
	// Where the code of net/http.(*ServeMux).ServeHTTP and (*conn).serve begins and ends, as addresses of the process; 0 where a
	// program has none. Offsets in net/http.Request: of the pattern, and of the pointer to it (1.22); of conn.curReq.
	u64 mux, mux_end, conn, conn_end;
	u32 pattern, pattern_at, current;
	u32 goid, m; // in runtime.g
	u32 curg; // in runtime.m
	u32 pad;
};

// What was asked for, of the HTTP server, when it allocated.
struct asked {
	u64 uri; // its address: no two requests that live have the same
	u8 method_len, uri_len, pattern_len; // 0: not known, or too long
	u8 pad[5];
	u8 method[16];
	u8 text[128]; // of the URI
	u8 pattern[128];
};

struct state {
	u64 spans; // in use, sampled or not
	u64 bytes;
	u64 marking; // the collector is marking: what is allocated now counts as marked
	u64 started; // goroutines
	u64 marks; // beginnings and ends of collections
	u64 woken[2]; // when the reader was woken last: for a collection that begins, and for one that has marked what lives
};

struct span {
	enum event kind;
	u32 depth; // of the stack
	u64 time; // CLOCK_MONOTONIC, ns
	u64 heap, span, base, pages;
	u64 goroutine; // its number
	u32 sweepgen;
	u8 class;
	u8 marking;
	u8 pad[2];
	u32 one_in;
	u32 pad2;
	u64 stack[FRAMES];
	struct asked asked;
};

struct marked {
	enum event kind; // or marking, with nothing live yet
	u32 pad;
	u64 time;
	u64 live; // bytes
};

struct started {
	enum event kind;
	u32 depth; // of the stack
	u64 goroutine, parent; // its number, and that of the one which started it
	u64 stack[FRAMES];
	struct asked asked;
};

const struct started *unused_started __attribute__((unused));
const struct span *unused_span __attribute__((unused));
const struct marked *unused_marked __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS);
} events SEC(".maps");

// One of each: a program is run for one process only, as its probes are attached.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct target);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct state);
} states SEC(".maps");

static __always_inline struct target *the_target(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&targets, &zero);
}

static __always_inline struct state *the_state(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&states, &zero);
}

// net/http.Request, whose fields have been at these places since 1.18.
struct go_string {
	const char *at;
	u64 len;
};

struct go_request {
	struct go_string method;
	void *url;
	struct go_string proto;
	u64 major, minor;
	u64 unused[17];
	struct go_string uri;
};

static __always_inline u64 user_word(u64 at)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)at);
	return v;
}

// On a system stack, on which both probes are, the thread knows for which goroutine it runs.
static __always_inline u64 goroutine(struct pt_regs *ctx, struct target *target)
{
	u64 m = user_word(GO_G(ctx) + target->m);

	return user_word(user_word(m + target->curg) + target->goid);
}

static __always_inline u8 copy(u8 *to, u32 room, const struct go_string *s)
{
	u64 n = s->len;

	if (!n || n >= room)
		return 0;
	// The compiler must not take this for known: old kernels' verifiers forget the comparison.
	asm volatile("" : "+r"(n));
	n &= room - 1;
	return bpf_probe_read_user(to, n, s->at) ? 0 : n;
}

// A request that a server has got is told by its protocol, and by its URI, which those that a client makes don't have.
static __always_inline void describe(struct asked *to, u64 at, struct target *target)
{
	struct go_request r;
	struct go_string pattern = {};
	u64 proto;

	if (bpf_probe_read_user(&r, sizeof(r), (void *)at))
		return;
	proto = user_word((u64)r.proto.at) & 0xffffffffff;
	if (r.proto.len != 8 || proto != 0x2f50545448 /* HTTP/ */ || !r.major || r.major > 3 || r.minor > 9 || !r.uri.len)
		return;
	to->method_len = copy(to->method, sizeof(to->method), &r.method);
	to->uri_len = copy(to->text, sizeof(to->text), &r.uri);
	to->uri = (u64)r.uri.at;
	if (target->pattern)
		at += target->pattern;
	else if (target->pattern_at)
		at = user_word(at + target->pattern_at);
	else
		return;
	if (at && !bpf_probe_read_user(&pattern, sizeof(pattern), (void *)at))
		to->pattern_len = copy(to->pattern, sizeof(to->pattern), &pattern);
}

// follow reads the stack by the frame pointers, which Go keeps, across the change from a goroutine's to a system stack: the kernel's own
// bpf_get_stack ends there on arm64, where the next frame must be a higher one.
static __always_inline u32 follow(struct pt_regs *ctx, u64 *stack)
{
	u64 frame[2] = { FRAME_POINTER(ctx) };
	u32 depth = 1;

	stack[0] = PROGRAM_COUNTER(ctx);
	for (int i = 1; i < FRAMES; i++) {
		if (bpf_probe_read_user(frame, sizeof(frame), (void *)frame[0]))
			break;
		stack[i] = frame[1];
		depth++;
	}
	return depth;
}

// The request is an argument of the multiplexer nearest on the stack, which keeps it in its place; where there is none, the
// connection's current one.
static __always_inline void find_request(struct pt_regs *ctx, struct asked *to, struct target *target)
{
	u64 own = FRAME_POINTER(ctx), request = 0;

	// Followed once more: in one loop with the above, the verifier of old kernels would take seconds.
	for (int i = 0; i < FRAMES; i++) {
		u64 frame[2], pc;

		if (bpf_probe_read_user(frame, sizeof(frame), (void *)own))
			break;
		own = frame[0];
		pc = frame[1];
		if (pc > target->mux && pc <= target->mux_end) {
			request = user_word(GO_ARGS(own, user_word(own)) + 24);
			break;
		}
		if (pc > target->conn && pc <= target->conn_end) {
			u64 conn = user_word(GO_ARGS(own, user_word(own)));
			u64 response = user_word(conn + target->current);

			if (conn && response && user_word(response) == conn)
				request = user_word(response + 8);
			break;
		}
	}
	if (request)
		describe(to, request, target);
}

// The rest of the room is for what the collector of garbage tells: without that, nothing is known of the others.
static __always_inline int has_room(void)
{
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < EVENTS / 8 * 7)
		return 1;
	tapio_count_lost();
	return 0;
}

// runtime.(*mheap).setSpans(base, npages uintptr, s *mspan): the last thing done to a new span, in all versions since 1.18.
SEC("uprobe/setSpans")
int tapio_goheap_span(struct pt_regs *ctx)
{
	struct target *target = the_target();
	struct state *state = the_state();
	const u8 *span = (const u8 *)GO_ARG4(ctx);
	struct span *e;
	u8 in_use = 0;
	u32 one_in;

	if (!target || !state)
		return 0;
	bpf_probe_read_user(&in_use, sizeof(in_use), span + target->state);
	if (in_use != SPAN_IN_USE)
		return 0; // a stack
	__sync_fetch_and_add(&state->spans, 1);
	__sync_fetch_and_add(&state->bytes, GO_ARG3(ctx) * 8192);
	one_in = target->one_in / (u32)(GO_ARG3(ctx) ?: 1);
	if (one_in > 1 && bpf_get_prandom_u32() % one_in)
		return 0;
	if (!has_room())
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	e->kind = SPAN;
	e->time = bpf_ktime_get_ns();
	e->heap = GO_ARG1(ctx);
	e->span = (u64)span;
	e->base = GO_ARG2(ctx);
	e->pages = GO_ARG3(ctx);
	e->goroutine = goroutine(ctx, target);
	e->marking = state->marking;
	e->one_in = one_in ?: 1;
	bpf_probe_read_user(&e->sweepgen, sizeof(e->sweepgen), span + target->sweepgen);
	bpf_probe_read_user(&e->class, sizeof(e->class), span + target->class);
	e->depth = follow(ctx, e->stack);
	__builtin_memset(&e->asked, 0, sizeof(e->asked));
	if (target->mux || target->conn)
		find_request(ctx, &e->asked, target);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

// A small heap is collected a thousand times a second. To wake the reader each time would cost the program a tenth of its time.
#define WAKE_EVERY 5000000 // ns

static __always_inline void tell(enum event kind, struct state *state, u64 live)
{
	struct marked *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	u64 *woken = &state->woken[kind == MARKED];

	state->marks++; // the world is stopped: there is nobody else
	if (!e) {
		tapio_count_lost();
		return;
	}
	e->kind = kind;
	e->pad = 0;
	e->time = bpf_ktime_get_ns();
	e->live = live;
	if (e->time - *woken < WAKE_EVERY) {
		bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
		return;
	}
	*woken = e->time;
	bpf_ringbuf_submit(e, BPF_RB_FORCE_WAKEUP);
}

// runtime.(*gcControllerState).startCycle: a collection begins; the world is stopped, and all that is left of the one before is swept.
SEC("uprobe/startCycle")
int tapio_goheap_mark(struct pt_regs *ctx)
{
	struct state *state = the_state();

	if (!state)
		return 0;
	state->marking = 1;
	tell(MARKING, state, 0);
	return 0;
}

// runtime.(*gcControllerState).resetLive(bytesMarked uint64): all that lives is marked; the world is stopped.
SEC("uprobe/resetLive")
int tapio_goheap_marked(struct pt_regs *ctx)
{
	struct state *state = the_state();

	if (!state)
		return 0;
	state->marking = 0;
	tell(MARKED, state, GO_ARG2(ctx));
	return 0;
}

// The call of runtime.runqput(pp, newg, true) in runtime.newproc: a goroutine was made, and has its number.
SEC("uprobe/newproc")
int tapio_goheap_started(struct pt_regs *ctx)
{
	struct target *target = the_target();
	struct state *state = the_state();
	struct started *e;

	if (!target || !state)
		return 0;
	__sync_fetch_and_add(&state->started, 1);
	if (!has_room())
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	e->kind = STARTED;
	e->goroutine = user_word(GO_ARG2(ctx) + target->goid);
	e->parent = goroutine(ctx, target);
	e->depth = follow(ctx, e->stack);
	__builtin_memset(&e->asked, 0, sizeof(e->asked));
	if (target->mux || target->conn)
		find_request(ctx, &e->asked, target);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

TAPIO_LICENSE;
