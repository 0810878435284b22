//go:build ignore

// malloc.bpf.c: what a program allocates with malloc and its like, sampled by size, and what becomes of it.
//
// The probes at what allocates are there in short bursts, those at what gives back longer, and those at what maps memory all the time.
// What is sampled is remembered by address until the address is given back, or given out again (then it was given back unseen).
#include "tapio.h"
#include "registers.h"

#define STACK 16384
#define PART 1024
#define PIECE 64

enum event { SAMPLE = 1, DEATH };

// How memory ends.
enum end {
	FREED,
	REUSED,
	MOVED, // realloc: the sample that follows goes on with it
};

// mmap(2)
#define MAP_ANONYMOUS 0x20
#define MAP_STACK 0x20000
#define PROT_WRITE 2

// Which function is called.
enum call {
	MALLOC,
	CALLOC,
	MEMALIGN,
	POSIX_MEMALIGN,
	REALLOC,
	FREE,
	MMAP,
	MREMAP,
	SBRK,
	STACK_OF_THREAD, // mmap, for that
	CALLS,
};

struct asked {
	u64 size, old, into, caller, sp;
	u64 outer; // where the call returns to that this one is part of
	u32 call, depth, burst, unused;
};

struct counters {
	u64 calls, bytes;
};

struct sample {
	enum event kind;
	enum call call;
	u64 time; // CLOCK_MONOTONIC, ns
	u64 address, size, old;
	u64 caller; // where the allocation returns to
	u64 outer; // where that returns to which called it, if its return is watched as well
	u64 sp, bp;
#if defined(__TARGET_ARCH_x86)
	u64 saved[5]; // rbx, r12 to r15
#else
	u64 saved[10]; // x19 to x28
#endif
	u64 stack_bytes;
	u8 stack[STACK]; // from sp upwards
};

struct death {
	enum event kind;
	enum end how;
	u64 time;
	u64 address;
};

// A byte is sampled with the chance 1 in every. Who asked in an earlier burst may have been answered unseen. What allocators map while they are
// called counts in place of the call, where they map blocks one by one.
struct how {
	u64 every;
	u32 burst, maps;
};

const struct sample *unused_sample __attribute__((unused));
const struct death *unused_death __attribute__((unused));
const struct how *unused_how __attribute__((unused));

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
	__type(key, u64); // address
	__type(value, u64); // time
} live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CALLS);
	__type(key, u32);
	__type(value, struct counters);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct how);
} sampling SEC(".maps");

static __always_inline int ended(u64 address, enum end how)
{
	struct death *e;

	if (!address || bpf_map_delete_elem(&live, &address))
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 1;
	}
	e->kind = DEATH;
	e->how = how;
	e->time = bpf_ktime_get_ns();
	e->address = address;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 1;
}

static __always_inline void count(u32 which, u64 bytes)
{
	struct counters *n = bpf_map_lookup_elem(&counts, &which);

	if (!n)
		return;
	__sync_fetch_and_add(&n->calls, 1);
	if (bytes) // nothing added is made into an instruction that kernels before 5.12 lack
		__sync_fetch_and_add(&n->bytes, bytes);
}

static __always_inline struct how *configured(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&sampling, &zero);
}

// Allocators call each other, and themselves: the outermost call counts, but for blocks that are mapped, which are known all the time.
static __always_inline int ask(struct pt_regs *ctx, enum call which, u64 size, u64 old, u64 into)
{
	u64 id = bpf_get_current_pid_tgid();
	struct asked a = { .size = size, .old = old, .into = into, .call = which, .sp = STACK_POINTER(ctx) };
	struct asked *outer = bpf_map_lookup_elem(&asked, &id);
	struct how *c = configured();

	count(which, size);
	if (!c)
		return 0;
	a.burst = c->burst;
	if (outer && outer->burst == a.burst && outer->sp > a.sp) {
		if (!size || !c->maps || (which != MMAP && which != MREMAP)) {
			outer->depth++;
			return 0;
		}
		a.outer = outer->caller;
	}
#if defined(__TARGET_ARCH_x86)
	bpf_probe_read_user(&a.caller, sizeof(a.caller), (void *)a.sp);
#else
	a.caller = ctx->regs[30];
#endif
	bpf_map_update_elem(&asked, &id, &a, BPF_ANY);
	return 0;
}

static __always_inline int ask_mmap(struct pt_regs *ctx)
{
	int memory = C_ARG4(ctx) & MAP_ANONYMOUS && C_ARG3(ctx) & PROT_WRITE;

	if (C_ARG4(ctx) & MAP_STACK) // it is made accessible later, but for its end
		return ask(ctx, STACK_OF_THREAD, C_ARG2(ctx), 0, 0);
	return ask(ctx, MMAP, memory ? C_ARG2(ctx) : 0, 0, 0);
}

static __always_inline int ask_sbrk(struct pt_regs *ctx)
{
	s64 by = C_ARG1(ctx);

	return ask(ctx, SBRK, by > 0 ? by : 0, 0, 0);
}

SEC("uprobe/malloc")
int tapio_malloc(struct pt_regs *ctx) { return ask(ctx, MALLOC, C_ARG1(ctx), 0, 0); }

SEC("uprobe/calloc")
int tapio_calloc(struct pt_regs *ctx) { return ask(ctx, CALLOC, C_ARG1(ctx) * C_ARG2(ctx), 0, 0); }

SEC("uprobe/realloc")
int tapio_realloc(struct pt_regs *ctx) { return ask(ctx, REALLOC, C_ARG2(ctx), C_ARG1(ctx), 0); }

SEC("uprobe/memalign") // and aligned_alloc
int tapio_memalign(struct pt_regs *ctx) { return ask(ctx, MEMALIGN, C_ARG2(ctx), 0, 0); }

SEC("uprobe/posix_memalign")
int tapio_posix_memalign(struct pt_regs *ctx) { return ask(ctx, POSIX_MEMALIGN, C_ARG3(ctx), 0, C_ARG1(ctx)); }

SEC("uprobe/mmap")
int tapio_mmap(struct pt_regs *ctx) { return ask_mmap(ctx); }

SEC("uprobe/mremap")
int tapio_mremap(struct pt_regs *ctx) { return ask(ctx, MREMAP, C_ARG3(ctx), C_ARG1(ctx), 0); }

SEC("uprobe/sbrk")
int tapio_sbrk(struct pt_regs *ctx) { return ask_sbrk(ctx); }

static __always_inline int sampled(u64 size)
{
	struct how *c = configured();

	if (!c || !c->every || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > 6 * 1024 * 1024)
		return 0; // the rest of the room is for deaths
	return size >= c->every || ((u64)bpf_get_prandom_u32() * c->every >> 32) < size;
}

// The top of the stack may be near: that of the main thread is where a few words of the environment end, at an address that is random.
static __always_inline u64 copy_stack(struct sample *e)
{
	u64 n = 0;

#pragma unroll
	for (int i = 0; i < STACK / PART; i++) {
		if (bpf_probe_read_user(e->stack + i * PART, PART, (void *)(e->sp + i * PART)))
			break;
		n += PART;
	}
	if (n == STACK)
		return n;
#pragma unroll
	for (int i = 0; i < PART / PIECE - 1; i++) {
		if (bpf_probe_read_user(e->stack + n, PIECE, (void *)(e->sp + n)))
			break;
		n += PIECE;
	}
	return n;
}

static __always_inline int leave(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), address, now;
	struct asked *a = bpf_map_lookup_elem(&asked, &id);
	struct asked what;
	struct sample *e;
	int moved = 0;

	if (!a)
		return 0;
	if (a->depth) {
		a->depth--;
		return 0;
	}
	what = *a;
	bpf_map_delete_elem(&asked, &id);
	address = C_RESULT(ctx);
	if (what.into) {
		address = 0;
		bpf_probe_read_user(&address, sizeof(address), (void *)what.into);
	}
	if (!address || address > (u64)-4096)
		return 0;
	if (what.old)
		moved = ended(what.old, MOVED);
	ended(address, REUSED);
	if (!moved && !sampled(what.size))
		return 0;
	now = bpf_ktime_get_ns();
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		tapio_count_lost();
		return 0;
	}
	if (bpf_map_update_elem(&live, &address, &now, BPF_ANY)) {
		bpf_ringbuf_discard(e, 0);
		tapio_count_lost();
		return 0;
	}
	e->kind = SAMPLE;
	e->call = what.call;
	e->time = now;
	e->address = address;
	e->size = what.size;
	e->old = what.old;
	e->caller = what.caller;
	e->outer = what.outer;
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
	e->stack_bytes = copy_stack(e);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("uretprobe/malloc")
int tapio_malloc_return(struct pt_regs *ctx) { return leave(ctx); }

static __always_inline int free_called(struct pt_regs *ctx)
{
	count(FREE, 0);
	ended(C_ARG1(ctx), FREED);
	return 0;
}

SEC("uprobe/free")
int tapio_free(struct pt_regs *ctx) { return free_called(ctx); }

// Several functions at once, where the kernel can: the cookie says which. To take a probe away costs a tenth of a second each, in
// which the others go on.
SEC("uprobe.multi/malloc")
int tapio_malloc_each(struct pt_regs *ctx)
{
	switch (bpf_get_attach_cookie(ctx)) {
	case MALLOC:
		return ask(ctx, MALLOC, C_ARG1(ctx), 0, 0);
	case CALLOC:
		return ask(ctx, CALLOC, C_ARG1(ctx) * C_ARG2(ctx), 0, 0);
	case MEMALIGN:
		return ask(ctx, MEMALIGN, C_ARG2(ctx), 0, 0);
	case POSIX_MEMALIGN:
		return ask(ctx, POSIX_MEMALIGN, C_ARG3(ctx), 0, C_ARG1(ctx));
	case REALLOC:
		return ask(ctx, REALLOC, C_ARG2(ctx), C_ARG1(ctx), 0);
	case FREE:
		return free_called(ctx);
	case MMAP:
		return ask_mmap(ctx);
	case MREMAP:
		return ask(ctx, MREMAP, C_ARG3(ctx), C_ARG1(ctx), 0);
	case SBRK:
		return ask_sbrk(ctx);
	}
	return 0;
}

SEC("uretprobe.multi/malloc")
int tapio_malloc_each_return(struct pt_regs *ctx) { return leave(ctx); }

TAPIO_LICENSE;
