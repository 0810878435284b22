//go:build linux && cgo

// Calls libsystemd, which is loaded when it is first needed, so that a machine without it can run the rest of the program.
// Entries are read many at a time: a call from Go to C costs as much as libsystemd needs for a field.
#define _GNU_SOURCE
#include "sdjournal.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct sd_journal sd_journal;

// The functions of libsystemd that are called (sd-journal.h).
static struct {
	int (*open_files)(sd_journal **, const char **, int);
	void (*close)(sd_journal *);
	int (*set_data_threshold)(sd_journal *, size_t);
	int (*seek_head)(sd_journal *);
	int (*seek_tail)(sd_journal *);
	int (*seek_cursor)(sd_journal *, const char *);
	int (*seek_realtime_usec)(sd_journal *, uint64_t);
	int (*next)(sd_journal *);
	int (*previous)(sd_journal *);
	int (*get_cursor)(sd_journal *, char **);
	int (*get_realtime_usec)(sd_journal *, uint64_t *);
	int (*get_monotonic_usec)(sd_journal *, uint64_t *, uint8_t *);
	void (*restart_data)(sd_journal *);
	int (*enumerate_data)(sd_journal *, const void **, size_t *);
} lib;

static const char *failure;

// A journal file that is truncated while it is mapped raises SIGBUS on the next access. As in systemd's own programs
// (src/basic/sigbus.c), a page of zeros takes the place of the missing one, and the call in progress fails.
static __thread volatile sig_atomic_t inside, hit;
static struct sigaction before;

static void on_sigbus(int sig, siginfo_t *info, void *context) {
	if (inside && info->si_code == BUS_ADRERR) {
		uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
		void *page = (void *)((uintptr_t)info->si_addr & ~(size - 1));
		int saved = errno;
		void *zeros = mmap(page, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		errno = saved;
		if (zeros == page) {
			hit = 1;
			return;
		}
	}
	// None of ours: Go's.
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	} else {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

static void load(void) {
	void *handle = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		const char *why = dlerror();
		failure = strdup(why ? why : "dlopen failed");
		return;
	}
#define FIND(name)                                                                   \
	do {                                                                         \
		lib.name = dlsym(handle, "sd_journal_" #name);                       \
		if (!lib.name) {                                                     \
			failure = "libsystemd.so.0 has no sd_journal_" #name;        \
			return;                                                      \
		}                                                                    \
	} while (0)
	FIND(open_files);
	FIND(close);
	FIND(set_data_threshold);
	FIND(seek_head);
	FIND(seek_tail);
	FIND(seek_cursor);
	FIND(seek_realtime_usec);
	FIND(next);
	FIND(previous);
	FIND(get_cursor);
	FIND(get_realtime_usec);
	FIND(get_monotonic_usec);
	FIND(restart_data);
	// Since systemd 246 there is a variant that passes over what this library cannot decompress.
	lib.enumerate_data = dlsym(handle, "sd_journal_enumerate_available_data");
	if (!lib.enumerate_data)
		FIND(enumerate_data);
#undef FIND
	struct sigaction ours = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
	sigemptyset(&ours.sa_mask);
	if (sigaction(SIGBUS, &ours, &before) < 0)
		failure = "sigaction failed for SIGBUS";
}

const char *tapio_load(void) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, load);
	return failure;
}

// Does a call of libsystemd with the guard against SIGBUS on.
#define GUARDED(r, call)                 \
	do {                             \
		hit = 0, inside = 1;     \
		(r) = (call);            \
		inside = 0;              \
		if (hit)                 \
			(r) = -EFAULT;   \
	} while (0)

int tapio_open(int fd, size_t max_entry, sd_journal **ret) {
	int r;
	// By this name libsystemd opens the same file whatever it is called now, or if it is deleted. It would also take the
	// descriptor itself, but whether it closes it is not the same in all versions.
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	const char *paths[] = {path, NULL};
	GUARDED(r, lib.open_files(ret, paths, 0));
	if (r < 0) {
		if (*ret)
			tapio_close(*ret);
		*ret = NULL;
		return r;
	}
	// One more, so that what was cut can be told from what just fits.
	lib.set_data_threshold(*ret, max_entry + 1);
	return 0;
}

void tapio_close(sd_journal *j) {
	inside = 1;
	lib.close(j);
	inside = 0;
}

int tapio_seek_head(sd_journal *j) {
	int r;
	GUARDED(r, lib.seek_head(j));
	return r;
}

// Stands at the last entry: the next read returns what comes after it. The cursor's owner reads it with tapio_read.
int tapio_seek_tail(sd_journal *j) {
	int r;
	GUARDED(r, lib.seek_tail(j));
	if (r < 0)
		return r;
	GUARDED(r, lib.previous(j)); // to the last entry
	if (r <= 0)
		return r;
	GUARDED(r, lib.previous(j)); // and before it, so that it is read next
	if (r == 0)
		GUARDED(r, lib.seek_head(j));
	return r;
}

int tapio_seek_cursor(sd_journal *j, const char *cursor) {
	int r;
	GUARDED(r, lib.seek_cursor(j, cursor));
	return r;
}

int tapio_seek_realtime(sd_journal *j, uint64_t usec) {
	int r;
	GUARDED(r, lib.seek_realtime_usec(j, usec));
	return r;
}

static int grow(struct tapio_buffer *b, size_t n) {
	if (b->cap - b->len >= n)
		return 0;
	size_t cap = b->cap ? b->cap : 64 << 10;
	while (cap - b->len < n)
		cap *= 2;
	uint8_t *data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data, b->cap = cap;
	return 0;
}

// As decode.go has it.
struct header {
	uint32_t size, fields, flags, unused;
	uint64_t realtime, monotonic;
	uint8_t boot[16];
};
enum { TRUNCATED = 1, DAMAGED = 2, MAX_FIELDS = 4096, KEPT = 8 << 20 };

static const char message[] = "MESSAGE=";
enum { MESSAGE = sizeof(message) - 1 };

// Appends the entry that the journal stands at. What is larger than max_entry is cut; the message has a bound of its own, so
// that it is there however much else the entry has.
static int read_entry(sd_journal *j, struct tapio_buffer *b, size_t max_entry) {
	struct header h = {0};
	size_t start = b->len, left = max_entry, left_message = max_entry;
	int r = lib.get_realtime_usec(j, &h.realtime);
	if (r < 0)
		return r;
	r = lib.get_monotonic_usec(j, &h.monotonic, h.boot);
	if (r < 0)
		return r;
	r = grow(b, sizeof(h));
	if (r < 0)
		return r;
	b->len += sizeof(h);
	lib.restart_data(j);
	for (;;) {
		const void *data;
		size_t l;
		r = lib.enumerate_data(j, &data, &l);
		if (r == 0)
			break;
		if (r < 0) {
			h.flags |= DAMAGED; // what was read so far is told
			break;
		}
		if (h.fields == MAX_FIELDS) {
			h.flags |= TRUNCATED;
			break;
		}
		size_t *of = l >= MESSAGE && memcmp(data, message, MESSAGE) == 0 ? &left_message : &left;
		if (l > *of) {
			h.flags |= TRUNCATED;
			l = *of;
		}
		*of -= l;
		if (l == 0)
			continue;
		r = grow(b, sizeof(uint32_t) + l);
		if (r < 0)
			return r;
		uint32_t l32 = (uint32_t)l;
		memcpy(b->data + b->len, &l32, sizeof(l32));
		memcpy(b->data + b->len + sizeof(l32), data, l);
		b->len += sizeof(l32) + l;
		h.fields++;
	}
	h.size = (uint32_t)(b->len - start);
	memcpy(b->data + start, &h, sizeof(h));
	return 0;
}

int tapio_read(sd_journal *j, struct tapio_buffer *b, int max_entries, size_t max_bytes, size_t max_entry, char **cursor) {
	int n = 0, r = 0;
	b->len = 0;
	if (b->cap > KEPT) { // after huge entries
		free(b->data);
		b->data = NULL, b->cap = 0;
	}
	*cursor = NULL;
	hit = 0, inside = 1;
	while (n < max_entries && b->len < max_bytes) {
		r = lib.next(j);
		if (r <= 0)
			break;
		r = read_entry(j, b, max_entry);
		if (r < 0 || hit)
			break;
		n++;
	}
	if (r >= 0 && n > 0 && !hit)
		r = lib.get_cursor(j, cursor);
	inside = 0;
	if (hit)
		r = -EFAULT;
	if (r < 0) {
		free(*cursor);
		*cursor = NULL;
		return r;
	}
	return n;
}
