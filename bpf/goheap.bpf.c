//go:build ignore

// goheap.bpf.c: which stacks of a Go program fetch new spans for its heap, and when its collector has marked what is live.
//
// The first object in a new span is the one for which the runtime fetched it, so that each span is a sample of what is
// allocated, together with its stack. Whether that object lives on is read from the span's mark bits, in user space.
#include "tapio.h"
#include "registers.h"

#define FRAMES 64
#define SPAN_IN_USE 1 // runtime.mSpanInUse
#define BPF_F_USER_STACK (1ULL << 8)

#define GOHEAP_SPAN 1
#define GOHEAP_MARKED 2
#define GOHEAP_MARKING 3

// What is told of the programs that are watched, by process: offsets of fields in runtime.mspan, and how many spans to pass
// over for each that is sampled.
struct target {
	u32 sweepgen, class, state;
	u32 one_in;
};

struct state {
	u64 spans; // in use, sampled or not
	u64 bytes;
	u64 marking; // the collector is marking: what is allocated now counts as marked
};

struct span {
	u32 kind;
	u32 pid;
	u64 time; // CLOCK_MONOTONIC, ns
	u64 heap, span, base, pages;
	u32 sweepgen;
	u8 class;
	u8 marking;
	u8 pad[2];
	u32 one_in;
	s32 stack_bytes; // or a negative errno
	u64 stack[FRAMES];
};

struct marked {
	u32 kind; // or marking, with nothing live yet
	u32 pid;
	u64 time;
	u64 live; // bytes
};

const struct span *unused_span __attribute__((unused));
const struct marked *unused_marked __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, struct target);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, struct state);
} states SEC(".maps");

// runtime.(*mheap).setSpans(base, npages uintptr, s *mspan): the last thing done to a new span, in all versions since 1.18.
SEC("uprobe/setSpans")
int tapio_goheap_span(struct pt_regs *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct target *target = bpf_map_lookup_elem(&targets, &pid);
	struct state *state = bpf_map_lookup_elem(&states, &pid);
	const u8 *span = (const u8 *)GO_ARG4(ctx);
	struct span *e;
	u8 in_use = 0;

	if (!target || !state)
		return 0;
	bpf_probe_read_user(&in_use, sizeof(in_use), span + target->state);
	if (in_use != SPAN_IN_USE)
		return 0; // a stack
	__sync_fetch_and_add(&state->spans, 1);
	__sync_fetch_and_add(&state->bytes, GO_ARG3(ctx) * 8192);
	if (target->one_in > 1 && bpf_get_prandom_u32() % target->one_in)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	e->kind = GOHEAP_SPAN;
	e->pid = pid;
	e->time = bpf_ktime_get_ns();
	e->heap = GO_ARG1(ctx);
	e->span = (u64)span;
	e->base = GO_ARG2(ctx);
	e->pages = GO_ARG3(ctx);
	e->marking = state->marking;
	e->one_in = target->one_in;
	bpf_probe_read_user(&e->sweepgen, sizeof(e->sweepgen), span + target->sweepgen);
	bpf_probe_read_user(&e->class, sizeof(e->class), span + target->class);
	e->stack_bytes = bpf_get_stack(ctx, e->stack, sizeof(e->stack), BPF_F_USER_STACK);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __always_inline void tell(u32 kind, u32 pid, u64 live)
{
	struct marked *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		tapio_count_lost();
		return;
	}
	e->kind = kind;
	e->pid = pid;
	e->time = bpf_ktime_get_ns();
	e->live = live;
	bpf_ringbuf_submit(e, 0);
}

// runtime.(*gcControllerState).startCycle: a collection begins; the world is stopped, and all that is left of the one before is swept.
SEC("uprobe/startCycle")
int tapio_goheap_mark(struct pt_regs *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct state *state = bpf_map_lookup_elem(&states, &pid);

	if (!state)
		return 0;
	state->marking = 1;
	tell(GOHEAP_MARKING, pid, 0);
	return 0;
}

// runtime.(*gcControllerState).resetLive(bytesMarked uint64): all that lives is marked; the world is stopped.
SEC("uprobe/resetLive")
int tapio_goheap_marked(struct pt_regs *ctx)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct state *state = bpf_map_lookup_elem(&states, &pid);

	if (!state)
		return 0;
	state->marking = 0;
	tell(GOHEAP_MARKED, pid, GO_ARG2(ctx));
	return 0;
}

TAPIO_LICENSE;
