// Command goroutes is an HTTP server that keeps something of each request of one route, and makes thirty times as much garbage in
// those of another, on the same connection. Its requests find their way in one of several forms.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"strings"
	"time"
)

const object = 20_000

var (
	kept [][]byte
	sink [16][]byte
)

func users(w http.ResponseWriter, r *http.Request) {
	kept = append(kept, make([]byte, object))
}

func health(w http.ResponseWriter, r *http.Request) {
	for i := range 30 {
		sink[i%len(sink)] = make([]byte, object)
	}
}

// routes makes a multiplexer of what is below a prefix.
func routes(prefix string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"/users/{id}", users)
	mux.HandleFunc(prefix+"/health/", health)
	return mux
}

type key struct{}

// handlers are the forms.
var handlers = map[string]http.Handler{
	"mux":      routes("/api"),
	"http2":    routes("/api"),
	"stripped": http.StripPrefix("/api", routes("")),
	"nested": func() http.Handler {
		outer := http.NewServeMux()
		outer.Handle("/api/", routes("/api"))
		return outer
	}(),
	"copied": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		routes("/api").ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, 1)))
	}),
	"timeout": http.TimeoutHandler(routes("/api"), time.Minute, "too late"),
	"own": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/users/") {
			users(w, r)
		} else {
			health(w, r)
		}
	}),
}

func main() {
	form := flag.String("form", "mux", "how requests find their way")
	same := flag.Bool("same", false, "ask for the same user each time")
	flag.Parse()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fatal(err)
	}
	server := &http.Server{Handler: handlers[*form]}
	transport := &http.Transport{}
	if *form == "http2" {
		server.Protocols, transport.Protocols = new(http.Protocols), new(http.Protocols)
		server.Protocols.SetUnencryptedHTTP2(true)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	go server.Serve(l)
	client := &http.Client{Transport: transport}
	n := 0
	for range time.NewTicker(10 * time.Millisecond).C {
		if !*same {
			n++
		}
		for _, path := range []string{fmt.Sprintf("/api/users/%d?q=1", n), "/api/health/now"} {
			resp, err := client.Get("http://" + l.Addr().String() + path)
			if err != nil {
				fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
