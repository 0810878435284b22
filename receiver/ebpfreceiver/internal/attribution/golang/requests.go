//go:build linux

package golang

import (
	"net/url"
	"strings"

	"github.com/your-org/tapio/bpf"
)

// Route is which HTTP requests a stack has served.
type Route struct {
	// Method is the request's; Path is of the pattern by which the program's multiplexer has found its handler, as
	// "/users/{id}", or, where Literal, what was asked for.
	Method, Path string
	Literal      bool
}

// Functions of net/http that have the request at hand.
const (
	funcMux  = "net/http.(*ServeMux).ServeHTTP"
	funcConn = "net/http.(*conn).serve"
)

// requestLayout is where fields are in structures of net/http; 0 where there are none.
type requestLayout struct {
	pattern   uint32 // Request.Pattern
	patternAt uint32 // Request.pat, which points to a structure that begins with it
	current   uint32 // conn.curReq
}

// serving tells the kernel where the code is that has the request at hand. Programs without a server have none.
func (g *Program) serving(t *bpf.GoHeapTarget) error {
	entries, err := g.Object.Go.Entries(funcMux, funcConn)
	if err != nil {
		return err
	}
	bounds := func(name string) (from, to uint64) {
		at, ok := entries[name]
		if !ok {
			return 0, 0
		}
		from, to, err := g.Object.Go.Bounds(at)
		if err != nil {
			return 0, 0
		}
		return from + g.bias, to + g.bias
	}
	t.Mux, t.MuxEnd = bounds(funcMux)
	t.Conn, t.ConnEnd = bounds(funcConn)
	t.Pattern, t.PatternAt, t.Current = g.layout.request.pattern, g.layout.request.patternAt, g.layout.request.current
	return nil
}

// routeOf reads a request as the kernel has seen it; false when there was none, or what there was makes no sense.
func routeOf(a *bpf.GoHeapAsked) (r Route, ok bool) {
	method, uri, pattern := text(a.Method[:], a.MethodLen), text(a.Text[:], a.UriLen), text(a.Pattern[:], a.PatternLen)
	if method == "" || strings.ContainsFunc(method, func(c rune) bool { return c < 'A' || c > 'Z' }) {
		return r, false
	}
	path, _, _ := strings.Cut(uri, "?")
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(uri, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return r, false
	}
	r = Route{Method: method, Path: path, Literal: true}
	if of, rest, ok := strings.Cut(pattern, " "); ok {
		if of != method && (of != "GET" || method != "HEAD") {
			return r, true
		}
		pattern = strings.TrimLeft(rest, " \t")
	}
	if slash := strings.IndexByte(pattern, '/'); slash >= 0 && matches(pattern[slash:], path) {
		r.Path, r.Literal = pattern[slash:], false // without the host
	}
	return r, true
}

func text(b []byte, n uint8) string { return string(b[:min(int(n), len(b))]) }

// matches says whether a path is one of those that a pattern of net/http.ServeMux stands for. One that was stripped of its beginning
// before is not: the pattern tells no more than a part of the route, then.
func matches(pattern, path string) bool {
	want, got := strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/")
	for i, w := range want {
		switch last := i == len(want)-1; {
		case last && w == "", last && strings.HasPrefix(w, "{") && strings.HasSuffix(w, "...}"):
			return len(got) > i
		case last && w == "{$}":
			return len(got) == i+1 && got[i] == ""
		case i >= len(got):
			return false
		case strings.HasPrefix(w, "{") && strings.HasSuffix(w, "}"):
			if got[i] == "" {
				return false
			}
		default:
			if s, err := url.PathUnescape(got[i]); err != nil || s != w && got[i] != w {
				return false
			}
		}
	}
	return len(got) == len(want)
}
