// Command goleak is an HTTP server that leaks in one of several ways, and asks itself for more.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"example.com/goleak/store"
)

// SessionCache never forgets a session.
type SessionCache struct {
	mu       sync.Mutex
	sessions map[int][]byte
}

//go:noinline
func (c *SessionCache) Put(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions[len(c.sessions)] = make([]byte, size)
}

// Ring is a cache with a bound.
type Ring struct {
	mu    sync.Mutex
	next  int
	slots [][]byte
}

//go:noinline
func (r *Ring) Put(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots[r.next] = make([]byte, size)
	r.next = (r.next + 1) % len(r.slots)
}

const object = 20_000

var (
	cache = SessionCache{sessions: map[int][]byte{}}
	ring  Ring
	log   store.Log
	never = make(chan struct{})
	sink  [16][]byte
)

// health makes thirty times as much garbage as users keeps, in objects of the same size.
func health(w http.ResponseWriter, r *http.Request) {
	for i := 0; i < 30; i++ {
		sink[i%len(sink)] = make([]byte, object)
	}
	fmt.Fprintln(w, "ok")
}

func users(w http.ResponseWriter, r *http.Request) {
	cache.Put(object)
	fmt.Fprintln(w, "kept")
}

func orders(w http.ResponseWriter, r *http.Request)   { log.Append(object); fmt.Fprintln(w, "kept") }
func payments(w http.ResponseWriter, r *http.Request) { log.Append(object); fmt.Fprintln(w, "kept") }

func subscribe(w http.ResponseWriter, r *http.Request) {
	go deliver(make([]byte, 4000))
	fmt.Fprintln(w, "subscribed")
}

//go:noinline
func deliver(b []byte) {
	<-never
	fmt.Println(len(b))
}

func cached(w http.ResponseWriter, r *http.Request) {
	ring.Put(object)
	fmt.Fprintln(w, "cached")
}

// count allocates objects of several sizes as fast as it can, keeps the last of them, and says how many it has made.
func count() {
	var kept [1000][]byte
	for n := 1; ; n++ {
		kept[n%len(kept)] = make([]byte, 64<<(n%9))
		if n%10_000 == 0 {
			fmt.Println(n)
		}
	}
}

func main() {
	leak := flag.String("leak", "users", "which handlers to ask: users, library, goroutines, cache; or count, which only allocates")
	every := flag.Duration("every", 10*time.Millisecond, "time between requests")
	slots := flag.Int("slots", 1000, "of the bounded cache")
	flag.Parse()
	if *leak == "count" {
		count()
	}
	ring.slots = make([][]byte, *slots)
	for path, h := range map[string]http.HandlerFunc{
		"/health": health, "/api/users": users, "/api/orders": orders, "/api/payments": payments, "/api/subscribe": subscribe, "/api/cached": cached,
	} {
		http.HandleFunc(path, h)
	}
	paths := map[string][]string{
		"users": {"/api/users"}, "library": {"/api/orders", "/api/payments"}, "goroutines": {"/api/subscribe"}, "cache": {"/api/cached"},
	}[*leak]
	if paths == nil {
		fmt.Fprintf(os.Stderr, "no leak %q\n", *leak)
		os.Exit(2)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(l, nil)
	for t := time.NewTicker(*every); ; <-t.C {
		for _, path := range append(paths, "/health") {
			resp, err := http.Get("http://" + l.Addr().String() + path)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}
