// Command cgoleak is a Go program that keeps what a C library has allocated for it, beside thirty times as much garbage in both languages.
package main

/*
#include <stdlib.h>
#include <string.h>

struct session { struct session *next; char pad[2000]; };
static struct session *sessions;

__attribute__((noinline)) int session_keep(int n)
{
	while (n--) {
		struct session *s = malloc(sizeof(*s));
		memset(s, n, sizeof(*s));
		s->next = sessions;
		sessions = s;
	}
	return n;
}

__attribute__((noinline)) void parse(int n)
{
	while (n--) {
		char *volatile b = malloc(2008);
		memset(b, n, 2008);
		free(b);
	}
}
*/
import "C"

import "time"

var sink [16][]byte

func main() {
	for range time.NewTicker(10 * time.Millisecond).C {
		C.session_keep(5)
		C.parse(150)
		for i := 0; i < 150; i++ {
			sink[i%len(sink)] = make([]byte, 2000)
		}
	}
}
