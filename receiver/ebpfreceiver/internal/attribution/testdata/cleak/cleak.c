// cleak leaks 3 kB at a time in session_put, while churn allocates thirty times as much of the same size and gives it back.
// Its arguments: "leak" or "bounded", and microseconds between rounds; or "count", and in how many threads: it does nothing but allocate
// and give back, and says how often.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 3000
#define SLOTS 512

struct session {
	struct session *next;
	char data[SIZE];
};

static struct session *sessions;
static struct session *ring[SLOTS];
static unsigned at;

__attribute__((noinline)) struct session *session_new(int n)
{
	struct session *s = malloc(sizeof(*s));

	if (!s)
		abort();
	memset(s->data, n, sizeof(s->data));
	return s;
}

__attribute__((noinline)) void session_put(int n)
{
	struct session *s = session_new(n);

	s->next = sessions;
	sessions = s;
}

__attribute__((noinline)) void ring_put(int n)
{
	struct session *s = session_new(n);

	free(ring[at % SLOTS]);
	ring[at++ % SLOTS] = s;
}

__attribute__((noinline)) void churn(int n)
{
	struct session *batch[30];

	for (int i = 0; i < 30; i++)
		batch[i] = session_new(n);
	for (int i = 0; i < 30; i++)
		free(batch[i]);
}

static unsigned long counted;

static void *count(void *unused)
{
	(void)unused;
	for (unsigned long n = 1;; n++) {
		char *volatile p = malloc(64);

		free(p);
		if (n % 1000 == 0)
			__sync_fetch_and_add(&counted, 1000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int leak = argc > 1 && !strcmp(argv[1], "leak");
	useconds_t pause = argc > 2 ? atoi(argv[2]) : 1000;

	if (argc > 1 && !strcmp(argv[1], "count")) {
		for (int i = 0; i < (argc > 2 ? atoi(argv[2]) : 1); i++) {
			pthread_t t;

			if (pthread_create(&t, NULL, count, NULL))
				return 1;
		}
		for (;;) {
			usleep(10000);
			printf("%lu\n", counted);
			fflush(stdout);
		}
	}
	for (int n = 0;; n++) {
		if (leak)
			session_put(n);
		else
			ring_put(n);
		churn(n);
		usleep(pause);
	}
}
