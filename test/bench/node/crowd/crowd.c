// crowd.c is what lives in a container of the measured node: crowd PROCESSES I OF EVERY [wander]
//
// Its first process listens on the address of container I. Of the others one in five talks: it asks DNS for a name that nobody asked
// for before, and holds a connection to a container of the OF, for about EVERY seconds each; "wander" has one of eight go
// somewhere else each time, where nobody listens. One runs a program as often. The rest sleep. They end with the first process.
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int of, every, wander;

static struct sockaddr_in at(unsigned address, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	return a;
}

static struct sockaddr_in container(int i) { return at(0x7f010001 + i, 8080); }

static void rest(void) { usleep(every * 500000u + rand() % (every * 1000000u)); }

// ask sends a query for a new name, and waits for the answer.
static void ask(void)
{
	unsigned char q[64] = {rand(), rand(), 1, 0, 0, 1, [12] = 8}, answer[512];
	struct sockaddr_in to = at(0x7f000035, 53);
	struct timeval patience = {.tv_sec = 2};
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf((char *)q + 13, 9, "%08x", rand());
	memcpy(q + 21, "\004test\000\000\001\000\001", 10);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!connect(s, (void *)&to, sizeof(to)) && send(s, q, 31, 0) == 31)
		(void)!recv(s, answer, sizeof(answer), 0);
	close(s);
}

static void talk(void)
{
	for (rest();; close(3)) {
		struct sockaddr_in to = container(rand() % of);

		ask();
		if (wander && rand() % 8 == 0)
			to = at(0x7f800000 + rand() % 0x7f0000, 1024 + rand() % 60000);
		if (socket(AF_INET, SOCK_STREAM, 0) != 3)
			abort();
		connect(3, (void *)&to, sizeof(to));
		rest();
	}
}

static void run(void)
{
	for (;; rest()) {
		if (!fork()) {
			execl("/bin/true", "true", (char *)0);
			_exit(127);
		}
		wait(0);
	}
}

// serve takes connections in, and holds them until the other side ends them.
static void serve(int i)
{
	struct sockaddr_in here = container(i);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), poll = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = l};

	if (bind(l, (void *)&here, sizeof(here)) || listen(l, 128) || epoll_ctl(poll, EPOLL_CTL_ADD, l, &e)) {
		perror("crowd: listen");
		exit(1);
	}
	for (;;) {
		if (epoll_wait(poll, &e, 1, -1) != 1)
			continue;
		if (e.data.fd != l) {
			close(e.data.fd);
			continue;
		}
		e.data.fd = accept(l, 0, 0);
		if (e.data.fd >= 0)
			epoll_ctl(poll, EPOLL_CTL_ADD, e.data.fd, &e);
	}
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: crowd PROCESSES I OF EVERY [wander]\n");
		return 2;
	}
	int processes = atoi(argv[1]), i = atoi(argv[2]);
	of = atoi(argv[3]), every = atoi(argv[4]), wander = argc > 5;
	for (int n = 1; n < processes; n++) {
		pid_t first = getpid(), pid = fork();

		if (pid < 0) {
			perror("crowd: fork");
			return 1;
		}
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != first)
			return 0;
		srand(i * 1000 + n);
		if (n % 5 == 1)
			talk();
		if (n == 2)
			run();
		for (;;)
			pause();
	}
	serve(i);
}
