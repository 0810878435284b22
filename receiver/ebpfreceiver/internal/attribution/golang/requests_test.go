//go:build linux

package golang

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/your-org/tapio/bpf"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/", "/", true},
		{"/", "/anything/below", true},
		{"/users", "/users", true},
		{"/users", "/users/", false},
		{"/users", "/api/users", false}, // what was stripped of /api
		{"/users/", "/users/", true},
		{"/users/", "/users/7/orders", true},
		{"/users/", "/users", false},
		{"/users/{id}", "/users/7", true},
		{"/users/{id}", "/users/", false},
		{"/users/{id}", "/users/7/orders", false},
		{"/users/{id}/orders", "/users/7/orders", true},
		{"/files/{path...}", "/files/a/b", true},
		{"/files/{path...}", "/files", false},
		{"/{$}", "/", true},
		{"/{$}", "/x", false},
		{"/a b", "/a%20b", true},
		{"/a", "/%zz", false},
	} {
		assert.Equal(t, c.want, matches(c.pattern, c.path), "%s for %s", c.pattern, c.path)
	}
}

func TestRouteOf(t *testing.T) {
	for name, c := range map[string]struct {
		method, uri, pattern string
		want                 Route
		ok                   bool
	}{
		"nothing":                    {"", "", "", Route{}, false},
		"a pattern":                  {"GET", "/users/7?a=b", "/users/{id}", Route{"GET", "/users/{id}", false}, true},
		"with its method":            {"GET", "/users/7", "GET /users/{id}", Route{"GET", "/users/{id}", false}, true},
		"with a host":                {"POST", "/users", "POST shop.example/users", Route{"POST", "/users", false}, true},
		"HEAD is served by GET":      {"HEAD", "/users", "GET /users", Route{"HEAD", "/users", false}, true},
		"of another method":          {"POST", "/users", "GET /users", Route{"POST", "/users", true}, true},
		"of another path":            {"GET", "/api/users", "/users", Route{"GET", "/api/users", true}, true},
		"none, as before 1.22":       {"GET", "/users?x", "", Route{"GET", "/users", true}, true},
		"no method":                  {"\x01\x02", "/users", "", Route{}, false},
		"a path that is not one":     {"GET", "/us\x00ers", "", Route{}, false},
		"what is asked of a proxy":   {"CONNECT", "shop.example:443", "", Route{}, false},
		"an asterisk, as in RFC9110": {"OPTIONS", "*", "", Route{}, false},
	} {
		var e bpf.GoHeapSpan
		e.Asked.MethodLen = uint8(copy(e.Asked.Method[:], c.method))
		e.Asked.UriLen = uint8(copy(e.Asked.Text[:], c.uri))
		e.Asked.PatternLen = uint8(copy(e.Asked.Pattern[:], c.pattern))
		r, ok := routeOf(&e.Asked)
		assert.Equal(t, c.ok, ok, name)
		assert.Equal(t, c.want, r, name)
	}
}

func FuzzRouteOf(f *testing.F) {
	f.Add(uint8(3), "GET", "/users/7?x", "GET /users/{id}")
	f.Add(uint8(255), "GET", "//", "{}/{...}")
	f.Fuzz(func(_ *testing.T, n uint8, method, uri, pattern string) {
		var e bpf.GoHeapSpan
		copy(e.Asked.Method[:], method)
		copy(e.Asked.Text[:], uri)
		copy(e.Asked.Pattern[:], pattern)
		e.Asked.MethodLen, e.Asked.UriLen, e.Asked.PatternLen = n, n, n
		routeOf(&e.Asked)
	})
}

// What is read of a process is hostile at its worst.
func FuzzCensus(f *testing.F) {
	l := span122
	f.Add(make([]byte, 4*l.size))
	f.Fuzz(func(_ *testing.T, b []byte) {
		m := bytesMemory(b)
		c, err := l.count(m, 0)
		if err == nil && c.seen > c.total {
			panic("more than all")
		}
		s := newSamples(&l, 4)
		for i := range uint64(8) {
			s.add(&sample{span: i * 8, weight: 1})
		}
		_ = s.check(m, 1)
	})
}

// bytesMemory is memory that repeats what it consists of.
type bytesMemory []byte

func (m bytesMemory) ReadAt(b []byte, at int64) (int, error) {
	for i := range b {
		if b[i] = 0; len(m) > 0 {
			b[i] = m[(uint64(at)+uint64(i))%uint64(len(m))]
		}
	}
	if n := binary.LittleEndian.Uint64(append(b, 0, 0, 0, 0, 0, 0, 0, 0)); n%16 == 7 {
		return 0, errLayout
	}
	return len(b), nil
}

func (m bytesMemory) ReadEach(addrs []uint64, size int, b []byte, each func(int, []byte)) error {
	for i, at := range addrs {
		of := b[i*size : (i+1)*size]
		if _, err := m.ReadAt(of, int64(at)); err == nil {
			each(i, of)
		}
	}
	return nil
}
