//go:build ignore

// malloc.bpf.c: what a program allocates with malloc and its like, sampled by size, and what becomes of it.
//
// It is attached in short bursts. What a burst samples is remembered by address, in this burst and later ones, until the
// address is given back (seen in a burst), or given out again (then it was given back in between).
#include "tapio.h"
#include "registers.h"

#define FRAMES 32
#define STACK 4096
#define BPF_F_USER_STACK (1ULL << 8)

#define MALLOC_SAMPLE 1
#define MALLOC_DEATH 2

#define DIED_FREED 1
#define DIED_REUSED 2

struct asked {
	u64 size, old, into, caller;
};

struct address {
	u64 address;
	u64 pid;
};

// Which function is called.
enum {
	CALL_MALLOC,
	CALL_CALLOC,
	CALL_REALLOC,
	CALL_MEMALIGN,
	CALL_POSIX_MEMALIGN,
	CALL_FREE,
	CALLS,
};

struct counters {
	u64 calls, bytes;
};

struct sample {
	u32 kind;
	u32 pid;
	u64 time; // CLOCK_MONOTONIC, ns
	u64 address, size;
	u64 caller; // where the allocation returns to
	u64 sp, bp;
#if defined(__TARGET_ARCH_x86)
	u64 saved[5]; // rbx, r12 to r15
#else
	u64 saved[10]; // x19 to x28
#endif
	s32 frames_bytes; // of frames, by frame pointers; or a negative errno
	u32 stack_bytes;
	u64 frames[FRAMES];
	u8 stack[STACK]; // from sp upwards
};

struct death {
	u32 kind;
	u32 pid;
	u64 time;
	u64 address;
	u64 how;
};

const struct sample *unused_sample __attribute__((unused));
const struct death *unused_death __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} events SEC(".maps");

// What each thread is asking for.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct asked);
} asked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct address);
	__type(value, u64); // time
} live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CALLS);
	__type(key, u32);
	__type(value, struct counters);
} counts SEC(".maps");

// A byte is sampled with the chance 1 in sample_bytes.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} sample_bytes SEC(".maps");

static __always_inline void ended(struct address *key, u64 how)
{
	struct death *e;

	if (!key->address || bpf_map_delete_elem(&live, key))
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return;
	}
	e->kind = MALLOC_DEATH;
	e->pid = key->pid;
	e->time = bpf_ktime_get_ns();
	e->address = key->address;
	e->how = how;
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void count(u32 which, u64 bytes)
{
	struct counters *n = bpf_map_lookup_elem(&counts, &which);

	if (n) {
		__sync_fetch_and_add(&n->calls, 1);
		__sync_fetch_and_add(&n->bytes, bytes);
	}
}

static __always_inline int ask(struct pt_regs *ctx, u32 which, u64 size, u64 old, u64 into)
{
	u64 id = bpf_get_current_pid_tgid();
	struct asked a = { .size = size, .old = old, .into = into };

#if defined(__TARGET_ARCH_x86)
	bpf_probe_read_user(&a.caller, sizeof(a.caller), (void *)STACK_POINTER(ctx));
#else
	a.caller = ctx->regs[30];
#endif
	count(which, size);
	bpf_map_update_elem(&asked, &id, &a, BPF_ANY);
	return 0;
}

static __always_inline int sampled(u64 size)
{
	u32 zero = 0;
	u64 *every = bpf_map_lookup_elem(&sample_bytes, &zero);

	if (!every || !*every)
		return 0;
	return size >= *every || ((u64)bpf_get_prandom_u32() * *every >> 32) < size;
}

SEC("uprobe/malloc")
int tapio_malloc(struct pt_regs *ctx) { return ask(ctx, CALL_MALLOC, C_ARG1(ctx), 0, 0); }

SEC("uprobe/calloc")
int tapio_calloc(struct pt_regs *ctx) { return ask(ctx, CALL_CALLOC, C_ARG1(ctx) * C_ARG2(ctx), 0, 0); }

SEC("uprobe/realloc")
int tapio_realloc(struct pt_regs *ctx) { return ask(ctx, CALL_REALLOC, C_ARG2(ctx), C_ARG1(ctx), 0); }

SEC("uprobe/memalign") // and aligned_alloc
int tapio_memalign(struct pt_regs *ctx) { return ask(ctx, CALL_MEMALIGN, C_ARG2(ctx), 0, 0); }

SEC("uprobe/posix_memalign")
int tapio_posix_memalign(struct pt_regs *ctx) { return ask(ctx, CALL_POSIX_MEMALIGN, C_ARG3(ctx), 0, C_ARG1(ctx)); }

static __always_inline int leave(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), now;
	struct asked *a = bpf_map_lookup_elem(&asked, &id);
	struct address key = { .pid = id >> 32 };
	struct asked what;
	struct sample *e;

	if (!a)
		return 0;
	what = *a;
	bpf_map_delete_elem(&asked, &id);
	key.address = C_RESULT(ctx);
	if (what.into) {
		key.address = 0;
		bpf_probe_read_user(&key.address, sizeof(key.address), (void *)what.into);
	}
	if (!key.address)
		return 0;
	if (what.old) {
		struct address old = { .pid = id >> 32, .address = what.old };

		ended(&old, DIED_FREED);
	}
	ended(&key, DIED_REUSED);
	if (!sampled(what.size))
		return 0;
	now = bpf_ktime_get_ns();
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	if (bpf_map_update_elem(&live, &key, &now, BPF_ANY)) {
		bpf_ringbuf_discard(e, 0);
		tapio_count_lost();
		return 0;
	}
	e->kind = MALLOC_SAMPLE;
	e->pid = id >> 32;
	e->time = now;
	e->address = key.address;
	e->size = what.size;
	e->caller = what.caller;
	e->sp = STACK_POINTER(ctx);
	e->bp = FRAME_POINTER(ctx);
#if defined(__TARGET_ARCH_x86)
	e->saved[0] = ctx->bx;
	e->saved[1] = ctx->r12;
	e->saved[2] = ctx->r13;
	e->saved[3] = ctx->r14;
	e->saved[4] = ctx->r15;
#else
	for (int i = 0; i < 10; i++)
		e->saved[i] = ctx->regs[19 + i];
#endif
	e->frames_bytes = bpf_get_stack(ctx, e->frames, sizeof(e->frames), BPF_F_USER_STACK);
	// The top of the stack may be near.
	e->stack_bytes = STACK;
	if (bpf_probe_read_user(e->stack, STACK, (void *)e->sp)) {
		e->stack_bytes = STACK / 4;
		if (bpf_probe_read_user(e->stack, STACK / 4, (void *)e->sp)) {
			e->stack_bytes = STACK / 16;
			if (bpf_probe_read_user(e->stack, STACK / 16, (void *)e->sp))
				e->stack_bytes = 0;
		}
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("uretprobe/malloc")
int tapio_malloc_return(struct pt_regs *ctx) { return leave(ctx); }

static __always_inline int free_called(struct pt_regs *ctx)
{
	struct address key = { .address = C_ARG1(ctx), .pid = bpf_get_current_pid_tgid() >> 32 };

	count(CALL_FREE, 0);
	ended(&key, DIED_FREED);
	return 0;
}

SEC("uprobe/free")
int tapio_free(struct pt_regs *ctx) { return free_called(ctx); }

// All functions at once, where the kernel can (6.6 and later): the cookie says which. To take a probe away costs a tenth of a
// second each, in which the others go on.
SEC("uprobe.multi/malloc")
int tapio_malloc_each(struct pt_regs *ctx)
{
	switch (bpf_get_attach_cookie(ctx)) {
	case CALL_MALLOC:
		return ask(ctx, CALL_MALLOC, C_ARG1(ctx), 0, 0);
	case CALL_CALLOC:
		return ask(ctx, CALL_CALLOC, C_ARG1(ctx) * C_ARG2(ctx), 0, 0);
	case CALL_REALLOC:
		return ask(ctx, CALL_REALLOC, C_ARG2(ctx), C_ARG1(ctx), 0);
	case CALL_MEMALIGN:
		return ask(ctx, CALL_MEMALIGN, C_ARG2(ctx), 0, 0);
	case CALL_POSIX_MEMALIGN:
		return ask(ctx, CALL_POSIX_MEMALIGN, C_ARG3(ctx), 0, C_ARG1(ctx));
	case CALL_FREE:
		return free_called(ctx);
	}
	return 0;
}

SEC("uretprobe.multi/malloc")
int tapio_malloc_each_return(struct pt_regs *ctx) { return leave(ctx); }

TAPIO_LICENSE;
