// native is a program that holds more and more memory, or only seems to: how, its first argument says. Meanwhile churn allocates thirty
// times as much of the same size and gives it back. The second argument are microseconds between rounds.
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

struct node {
	struct node *next;
	char data[];
};

static useconds_t pause_us = 1000;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *kept;

// keep holds what has room for a pointer for good.
static void keep(void *p, size_t size)
{
	struct node *n = p;

	if (!p)
		abort();
	memset(p, 1, size);
	pthread_mutex_lock(&lock);
	n->next = kept;
	kept = n;
	pthread_mutex_unlock(&lock);
}

NOINLINE void churn(size_t size)
{
	void *batch[30];

	for (int i = 0; i < 30; i++) {
		batch[i] = malloc(size);
		memset(batch[i], rand(), size);
	}
	for (int i = 0; i < 30; i++)
		free(batch[i]);
}

NOINLINE void malloc_keep(size_t size)
{
	keep(malloc(size), size);
	__asm__ volatile("");
}

NOINLINE void calloc_keep(size_t size)
{
	keep(calloc(1, size), size);
	__asm__ volatile("");
}

NOINLINE void posix_memalign_keep(size_t size)
{
	void *p = NULL;

	if (posix_memalign(&p, 64, size))
		abort();
	keep(p, size);
}

NOINLINE void aligned_alloc_keep(size_t size)
{
	keep(aligned_alloc(64, (size + 63) / 64 * 64), size);
	__asm__ volatile("");
}

NOINLINE void strdup_keep(size_t size)
{
	static __thread char text[1 << 16];

	memset(text, 'x', size - 1);
	text[size] = 0;
	keep(strdup(text), 8);
	__asm__ volatile("");
}

NOINLINE void asprintf_keep(size_t size)
{
	char *text = NULL;

	if (asprintf(&text, "%*d", (int)size, 7) < 0)
		abort();
	keep(text, 8);
}

NOINLINE void getline_keep(size_t size)
{
	static char text[1 << 16];
	char *line = NULL;
	size_t room = 0;
	FILE *f;

	memset(text, 'x', size);
	text[size] = '\n';
	f = fmemopen(text, size + 1, "r");
	if (getline(&line, &room, f) < 0)
		abort();
	fclose(f);
	keep(line, 8);
}

// Logs that only grow: each line makes one of them longer.
NOINLINE void realloc_keep(size_t size)
{
	static char *logs[64];
	static size_t used[64];
	static unsigned at;
	unsigned i = at++ % 64;

	logs[i] = realloc(logs[i], used[i] + size);
	if (!logs[i])
		abort();
	memset(logs[i] + used[i], 3, size);
	used[i] += size;
}

// A block of before the look is filled, while a name is kept now and then: they are not what grows.
NOINLINE void fill(size_t size)
{
	static const size_t room = 1 << 30;
	static char *block;
	static size_t used;

	if (!block)
		block = malloc(room);
	memset(block + used, 3, size);
	used += size;
	if (used / size % 50 == 0) {
		keep(strdup("name name name name name name name name name name name name name name name name name name name name"), 8);
		__asm__ volatile("");
	}
}

// One log whose room is doubled, as containers do.
NOINLINE void doubling_keep(size_t size)
{
	static char *log;
	static size_t used, room;

	if (used + size > room) {
		room = room ? room * 2 : 4096;
		log = realloc(log, room);
		if (!log)
			abort();
	}
	memset(log + used, 3, size);
	used += size;
}

NOINLINE void mmap_keep(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	memset(p, 4, size);
}

NOINLINE void sbrk_keep(size_t size)
{
	void *p = sbrk(size);

	if (p == (void *)-1)
		abort();
	memset(p, 5, size);
}

// Of a function that is called from two places, and keeps what either gives it.
NOINLINE void store_append(size_t size)
{
	keep(malloc(size), size);
	__asm__ volatile("");
}

NOINLINE void orders(size_t size)
{
	store_append(size);
	__asm__ volatile("");
}

NOINLINE void payments(size_t size)
{
	store_append(size);
	__asm__ volatile("");
}

NOINLINE void both_keep(size_t size)
{
	orders(size / 2);
	payments(size / 2);
	__asm__ volatile("");
}

// Callers with large frames.
NOINLINE void request_keep(size_t size)
{
	char path[PATH_MAX];

	memset(path, 1, sizeof(path));
	malloc_keep(size);
	__asm__ volatile("" : : "r"(path) : "memory");
}

NOINLINE void large_frames_keep(size_t size)
{
	char line[8192];

	memset(line, 1, sizeof(line));
	request_keep(size);
	__asm__ volatile("" : : "r"(line) : "memory");
}

// One of thirty is kept, of what is allocated at the same place; the others are given back half a second later.
NOINLINE void one_of_thirty_keep(size_t size)
{
	static void *later[16384];
	static unsigned at;
	unsigned delay = 500000 / pause_us * 29;

	for (int i = 0; i < 30; i++) {
		void *p = malloc(size);

		if (i == 7) {
			keep(p, size);
			continue;
		}
		memset(p, rand(), size);
		free(later[at % delay]);
		later[at++ % delay] = p;
	}
}

// What is in work, for half a second: no leak.
NOINLINE void queue(size_t size)
{
	static void *later[16384];
	static unsigned at;
	unsigned delay = 500000 / pause_us * 10;

	for (int i = 0; i < 10; i++) {
		void *p = malloc(size);

		memset(p, rand(), size);
		free(later[at % delay]);
		later[at++ % delay] = p;
	}
}

NOINLINE void malloc_beside_queue_keep(size_t size)
{
	queue(size);
	malloc_keep(size);
	__asm__ volatile("");
}

// A cache in which everything stays for twelve seconds: no leak.
NOINLINE void expire_put(size_t size)
{
	static struct { void *p; time_t until; } ring[1 << 16];
	static unsigned first, last;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	while (first != last && ring[first % (1 << 16)].until <= now.tv_sec)
		free(ring[first++ % (1 << 16)].p);
	if (last - first == 1 << 16)
		return;
	ring[last % (1 << 16)].p = malloc(size);
	memset(ring[last % (1 << 16)].p, rand(), size);
	ring[last++ % (1 << 16)].until = now.tv_sec + 12;
}

NOINLINE void malloc_beside_cache_keep(size_t size)
{
	expire_put(size);
	malloc_keep(size / 2);
	__asm__ volatile("");
}

// Objects that are counted: what they begin with changes again and again.
NOINLINE void counted_keep(size_t size)
{
	static long *all[1 << 16];
	static unsigned n;
	long *p = malloc(size);

	if (!p)
		abort();
	memset(p, 1, size);
	if (n < sizeof(all) / sizeof(*all))
		all[n++] = p;
	for (int i = 0; i < 1000; i++)
		++*all[(unsigned)rand() % n];
}

static void *forever(void *unused)
{
	char line[20000];

	memset(line, 1, sizeof(line));
	__asm__ volatile("" : : "r"(line) : "memory");
	pause();
	return unused;
}

// Threads that never end.
NOINLINE void subscribe_keep(size_t size)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, size);
	if (pthread_create(&t, &attr, forever, NULL))
		abort();
}

// A cache that is full replaces what it holds.
NOINLINE void cache_put(size_t size)
{
	static void *ring[512];
	static unsigned at;

	free(ring[at % 512]);
	ring[at % 512] = malloc(size);
	memset(ring[at % 512], rand(), size);
	at++;
}

// What is held varies, in sizes that vary, and does not grow.
NOINLINE void varying_put(size_t size)
{
	static void *slots[4000];

	for (int i = 0; i < 20; i++) {
		unsigned at = (unsigned)rand() % 4000;
		size_t n = 16 + (unsigned)rand() % (2 * size);

		free(slots[at]);
		slots[at] = NULL;
		if (rand() % 2) {
			slots[at] = malloc(n);
			memset(slots[at], rand(), n);
		}
	}
}

// What is needed for the work is made in the first seconds, and then no more.
NOINLINE void startup_put(size_t size)
{
	static long rounds;

	if (rounds++ < 5000000 / pause_us)
		malloc_keep(size);
}

static const struct {
	const char *name;
	void (*round)(size_t size);
	size_t size;
	size_t churned; // 0: none
} modes[] = {
	{ "malloc", malloc_keep, 3000, 3000 },
	{ "calloc", calloc_keep, 3000, 3000 },
	{ "posix_memalign", posix_memalign_keep, 3000, 3000 },
	{ "aligned_alloc", aligned_alloc_keep, 3000, 3000 },
	{ "strdup", strdup_keep, 3000, 3000 },
	{ "asprintf", asprintf_keep, 3000, 3000 },
	{ "getline", getline_keep, 3000, 3000 },
	{ "realloc", realloc_keep, 3000, 3000 },
	{ "fill", fill, 2000, 0 },
	{ "doubling", doubling_keep, 3000, 3000 },
	{ "mmap", mmap_keep, 65536, 3000 },
	{ "sbrk", sbrk_keep, 3000, 0 },
	{ "threads", subscribe_keep, 1 << 20, 3000 },
	{ "both", both_keep, 3000, 3000 },
	{ "large frames", large_frames_keep, 3000, 3000 },
	{ "one of thirty", one_of_thirty_keep, 3000, 0 },
	{ "beside a queue", malloc_beside_queue_keep, 3000, 3000 },
	{ "beside a cache", malloc_beside_cache_keep, 3000, 3000 },
	{ "counted", counted_keep, 3000, 3000 },
	{ "big", malloc_keep, 300000, 300000 },
	{ "tiny", malloc_keep, 16, 16 },
	{ "cache", cache_put, 3000, 3000 },
	{ "varying", varying_put, 3000, 3000 },
	{ "startup", startup_put, 3000, 3000 },
};

// A filter, as containers and services have one, that kills for system calls which were added after it was written: those with a number from
// 335 on. (musl has no linux/filter.h.)
static void filter(void)
{
	static struct {
		unsigned short code;
		unsigned char yes, no;
		unsigned int k;
	} instructions[] = {
		{ 0x20, 0, 0, 0 }, // load the number
		{ 0x35, 0, 1, 335 }, // at least that?
		{ 0x06, 0, 0, 0x80000000 }, // kill the process
		{ 0x06, 0, 0, 0x7fff0000 }, // allow it
	};
	struct {
		unsigned short length;
		void *instructions;
	} program = { 4, instructions };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program))
		exit(4);
}

static unsigned mode;

NOINLINE void *work(void *unused)
{
	(void)unused;
	for (;;) {
		modes[mode].round(modes[mode].size);
		if (modes[mode].churned)
			churn(modes[mode].churned);
		usleep(pause_us);
	}
	return NULL;
}

// NAME [MICROSECONDS [THREADS|fork|filter]]
int main(int argc, char **argv)
{
	int threads = argc > 3 ? atoi(argv[3]) : 0;

	if (argc > 2)
		pause_us = atoi(argv[2]);
	for (mode = 0; argc < 2 || strcmp(modes[mode].name, argv[1]); mode++)
		if (mode + 1 == sizeof(modes) / sizeof(*modes))
			return 2;
	if (argc > 3 && !strcmp(argv[3], "filter"))
		filter();
	if (argc > 3 && !strcmp(argv[3], "fork")) {
		for (int i = 0; i < 2; i++)
			if (!fork())
				work(NULL);
		while (wait(NULL) > 0)
			;
		return 0;
	}
	for (int i = 0; i < threads; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, work, NULL))
			return 3;
	}
	if (threads)
		pause();
	work(NULL);
	return 0;
}
