//go:build linux

package attribution

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/golang"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

func stack(functions ...string) (all []symbols.Frame) {
	for _, f := range functions {
		all = append(all, symbols.Frame{Function: f})
	}
	return all
}

func TestSiteOf(t *testing.T) {
	own := ownGo("shop", []string{"example.org/log"})
	for name, c := range map[string]struct {
		stack         []symbols.Frame
		text, handler string
	}{
		"a handler": {
			stack("runtime.mallocgc", "runtime.makeslice", "main.(*SessionCache).Put", "main.users", "net/http.HandlerFunc.ServeHTTP",
				"net/http.(*ServeMux).ServeHTTP", "net/http.serverHandler.ServeHTTP", "net/http.(*conn).serve", "runtime.goexit"),
			"main.(*SessionCache).Put ← main.users", "main.users",
		},
		"a handler that is a type, behind middleware": {
			stack("runtime.newobject", "shop/cart.Add", "shop/api.(*Cart).ServeHTTP", "shop/log.Middleware.func1", "net/http.HandlerFunc.ServeHTTP"),
			"shop/cart.Add ← shop/api.(*Cart).ServeHTTP", "shop/api.(*Cart).ServeHTTP",
		},
		"the standard library in between": {
			stack("runtime.growslice", "bytes.(*Buffer).grow", "bytes.(*Buffer).Write", "example.org/log.(*Log).Add", "sort.Slice", "main.main", "runtime.main"),
			"example.org/log.(*Log).Add ← main.main", "",
		},
		"nothing but the standard library": {stack("runtime.mallocgc", "net/http.(*conn).serve", "runtime.goexit"), "net/http.(*conn).serve", ""},
		"a generic function":               {stack("runtime.mallocgc", "shop/set.(*Set[go.shape.string]).Add", "main.run"), "shop/set.(*Set[go.shape.string]).Add ← main.run", ""},
		"a pool, of which others have not given back": {
			stack("runtime.newobject", "shop/log.init.func1", "sync.(*Pool).Get", "shop/log.Line", "main.users"), "shop/log.init.func1", "",
		},
		"a goroutine of the standard library, for the program": {
			stack("runtime.newproc", "net/http.(*Server).Serve", "main.main.gowrap1", "runtime.goexit"), "net/http.(*Server).Serve ← main.main", "",
		},
		"a library of many functions, and who calls it": {
			stack("runtime.newobject", "example.org/log.alloc", "example.org/log.(*Log).grow", "example.org/log.(*Log).add", "example.org/log.(*Log).Add", "shop/cart.Add",
				"shop/api.put", "shop/api.(*API).handle", "main.users", "net/http.HandlerFunc.ServeHTTP"),
			"example.org/log.alloc ← example.org/log.(*Log).Add ← shop/cart.Add ← main.users", "main.users",
		},
		"a library that calls back": {
			stack("runtime.newobject", "main.keep", "example.org/log.each", "example.org/log.Each", "main.main", "runtime.main"), "main.keep ← example.org/log.Each ← main.main", "",
		},
		"a library alone": {
			stack("runtime.newobject", "example.org/log.a", "example.org/log.b", "example.org/log.c", "example.org/log.d", "example.org/log.e"),
			"example.org/log.a ← example.org/log.b ← example.org/log.c ← example.org/log.d", "",
		},
		"a framework that calls the program": {
			stack("runtime.newobject", "main.(*Store).Save", "main.(*server).Check", "example.org/rpc.handle.func1", "example.org/rpc.(*Server).serve", "runtime.goexit"),
			"main.(*Store).Save ← main.(*server).Check", "",
		},
		"a framework that calls the program, by way of more of it": {
			stack("runtime.newobject", "main.(*Store).Save", "main.(*server).put", "main.(*server).Check", "example.org/rpc.handle.func1", "main.intercept", "example.org/rpc.(*Server).serve"),
			"main.(*Store).Save ← main.(*server).put ← main.(*server).Check", "",
		},
		"a router beside net/http's": {
			stack("runtime.newobject", "main.(*Store).Save", "main.user", "github.com/labstack/echo/v4.(*Echo).add.func1", "main.logged.func1",
				"github.com/labstack/echo/v4.(*Echo).ServeHTTP", "net/http.serverHandler.ServeHTTP"),
			"main.(*Store).Save ← main.user", "main.user",
		},
		"a router that is not known": {
			stack("runtime.newobject", "main.(*Store).Save", "main.user", "example.org/web.(*Mux).ServeHTTP", "net/http.serverHandler.ServeHTTP"),
			"main.(*Store).Save ← main.user", "main.user",
		},
		"a handler that is a method": {
			stack("runtime.newobject", "main.(*Server).User", "main.(*Server).User-fm", "net/http.HandlerFunc.ServeHTTP"), "main.(*Server).User", "main.(*Server).User",
		},
		"one that was put into its value":      {stack("runtime.newobject", "main.(*Server).User-fm", "net/http.HandlerFunc.ServeHTTP"), "main.(*Server).User", "main.(*Server).User"},
		"a method of what a pointer points to": {stack("runtime.newobject", "main.Pool.Open", "main.(*Pool).Open", "main.main"), "main.Pool.Open ← main.main", ""},
		"statements with arguments": {
			stack("runtime.newobject", "main.clean", "main.run.deferwrap1", "main.run", "main.main·dwrap·2", "runtime.goexit"), "main.clean ← main.run ← main.main", "",
		},
		"recursion": {stack("main.walk", "main.walk", "main.walk", "main.main"), "main.walk ← main.main", ""},
		"nothing":   {nil, "?", ""},
	} {
		s := siteOf(c.stack, nil, own)
		assert.Equal(t, c.text, s.Text(), name)
		assert.Equal(t, c.handler, s.Handler, name)
	}
}

// The module that a program was built from may be below another one, and others below it.
func TestOwnGo(t *testing.T) {
	of := ownGo("example.org/shop", []string{"example.org", "example.org/shop/log", "old"})
	for function, want := range map[string]whose{
		"main.main": ofProgram, "example.org/shop/cart.(*Cart).Add": ofProgram, "example.org/shop.Run": ofProgram, "example.org/shop/log.Add": ofLibrary,
		"example.org/x.F": ofLibrary, "old.F": ofLibrary, "github.com/a/b.F": ofLibrary, "gopkg.in/yaml%2ev3.F": ofLibrary, "net/http.Get": ofLanguage, "runtime.main": ofLanguage,
	} {
		assert.Equal(t, want, of(symbols.Frame{Function: function}), function)
	}
	assert.Equal(t, ofLibrary, ownGo("", nil)(symbols.Frame{Function: "example.org/shop.Run"}))
}

func TestWaits(t *testing.T) {
	of := ownGo("shop", nil)
	for want, stack := range map[string][]symbols.Frame{
		"main.send on sending to a channel":             stack("runtime.gopark", "runtime.chansend", "runtime.chansend1", "main.send", "main.main.func1"),
		"sync.(*Cond).Wait ← main.wait":                 stack("runtime.gopark", "sync.runtime_notifyListWait", "sync.(*Cond).Wait", "main.wait"),
		"sync.(*Mutex).Lock ← shop/cart.Add":            stack("runtime.semacquire1", "sync.runtime_SemacquireMutex", "sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "shop/cart.Add"),
		"net.(*conn).Read ← main.read on the network":   stack("runtime.netpollblock", "internal/poll.runtime_pollWait", "net.(*netFD).Read", "net.(*conn).Read", "main.read"),
		"net/http.(*persistConn).writeLoop in a select": stack("runtime.gopark", "runtime.selectgo", "net/http.(*persistConn).writeLoop"),
		"": stack("runtime.gopark", "runtime.bgsweep"),
	} {
		assert.Equal(t, want, waits(stack, of))
	}
}

// What the language's goroutines hold is told with who has started them.
func TestSiteOfStarted(t *testing.T) {
	s := siteOf(stack("runtime.makeslice", "bufio.NewReaderSize", "net/http.(*Transport).dialConn", "runtime.goexit"),
		stack("runtime.newproc", "net/http.(*Transport).queueForDial", "net/http.Get", "main.fetch", "main.main"), ownGo("", nil))
	assert.Equal(t, "bufio.NewReaderSize ← main.fetch ← main.main", s.Text())
	assert.Len(t, s.Stack, 9)
}

func TestSiteOfNative(t *testing.T) {
	const libc, glib = "/lib/libc.so.6", "/usr/lib/libglib-2.0.so.0"
	at := func(module string, functions ...string) (all []symbols.Frame) {
		for _, f := range functions {
			all = append(all, symbols.Frame{Function: f, Module: module})
		}
		return all
	}
	for name, c := range map[string]struct {
		stack []symbols.Frame
		text  string
	}{
		"a container of C++": {
			slices.Concat(at("/usr/lib/libstdc++.so.6", "operator new(unsigned long)"), at("/app", "std::vector<int>::push_back", "Cache::put(int)", "main"),
				at(libc, "__libc_start_main"), at("/app", "_start")),
			"Cache::put(int) ← main",
		},
		"the C library linked in":  {at("/app", "malloc", "__vasprintf_internal", "___asprintf", "format_keep", "main"), "format_keep ← main"},
		"another of its functions": {at("/app", "_obstack_newchunk", "tokens_grow", "main"), "tokens_grow ← main"},
		"what the language implements for its types": {
			at("/app", "alloc::raw_vec::finish_grow", "<&mut alloc::string::String as core::fmt::Write>::write_str", "<[svc::Row]>::to_vec", "<str>::repeat",
				"<[u8] as alloc::slice::Concat<u8>>::concat", "<svc::Row as alloc::vec::spec_from_elem::SpecFromElem>::from_elem", "svc::intern", "svc::main"),
			"svc::intern ← svc::main",
		},
		"what a program implements": {
			at("/app", "<svc::Log as core::fmt::Write>::write_str", "<alloc::vec::Vec<u8> as svc::Encode>::encode", "<fn() -> svc::Row as svc::Make>::make", "svc::main"),
			"<svc::Log as core::fmt::Write>::write_str ← <alloc::vec::Vec<u8> as svc::Encode>::encode ← <fn() -> svc::Row as svc::Make>::make ← svc::main",
		},
		"generic types in between": {at("/app", "<svc::Map<<svc::Key as svc::Of>::T> as core::iter::Extend>::extend", "<svc::Store>::put"),
			"<svc::Map<<svc::Key as svc::Of>::T> as core::iter::Extend>::extend ← <svc::Store>::put"},
		"a stack that was not followed to the program": {at("/app", "alloc::alloc::Global::alloc_impl", "alloc::btree::Node::split", "alloc::btree::Node::insert"), "alloc::btree::Node::insert"},
		"functions without a name, in a library that was entered by one that has": {
			slices.Concat(at(libc, "malloc"), at(glib, "libglib-2.0.so.0+0x728c0 (build id aa)", "g_list_prepend"), at("/app", "event_keep", "main")),
			"g_list_prepend ← event_keep ← main",
		},
		"in one that was not": {
			slices.Concat(at(glib, "g_malloc", "libglib-2.0.so.0+0x728c0 (build id aa)"), at("/app", "event_keep", "main")),
			"libglib-2.0.so.0+0x728c0 (build id aa) ← event_keep ← main",
		},
		"a library that goes deep": {
			slices.Concat(at(glib, "g_variant_new_from_bytes", "g_variant_new_string", "g_variant_new_va", "g_variant_new", "g_variant_builder_add"), at("/app", "variant_keep", "serve", "main")),
			"g_variant_new_from_bytes ← g_variant_new_string ← g_variant_new_va ← g_variant_new ← variant_keep",
		},
		"in a program": {at("/app", "app+0x10 (build id bb)", "main"), "app+0x10 (build id bb) ← main"},
	} {
		assert.Equal(t, c.text, siteOf(c.stack, nil, ownNative).Text(), name)
	}
}

// What a thread or a program begins with is not told.
func TestWithoutStart(t *testing.T) {
	for name, c := range map[string]struct{ stack, want []symbols.Frame }{
		"Rust": {stack("svc::main", "std::rt::lang_start::{{closure}}", "std::rt::lang_start", "main"), stack("svc::main")},
		"Rust, what starts it put into the other main": {
			stack("svc::put", "svc::main", "std::sys::backtrace::__rust_begin_short_backtrace", "main"), stack("svc::put", "svc::main"),
		},
		"C++, called from main":            {stack("std::call_once", "main"), stack("std::call_once", "main")},
		"Rust, put into the other main":    {stack("svc::put", "svc::main", "main"), stack("svc::put", "svc::main")},
		"a thread, with musl linked in":    {stack("put", "worker", "start", "__clone"), stack("put", "worker")},
		"a thread, with glibc linked in":   {stack("put", "worker", "start_thread", "__clone3"), stack("put", "worker")},
		"C":                                {stack("put", "main"), stack("put", "main")},
		"a function with one of the names": {stack("clone"), stack("clone")},
	} {
		assert.Equal(t, c.want, withoutStart(c.stack), name)
	}
}

// Stacks that differ in lines only are one site; the largest comes first, and what is retained before what grows.
func TestSitesOf(t *testing.T) {
	a, b := stack("main.put", "main.a"), stack("main.put", "main.a")
	b[0].Line = 7
	sites := sitesOf([]held{
		{stack: a, bytes: 10, objects: 1, samples: 1}, {stack: stack("main.put", "main.b"), bytes: 15, objects: 1, samples: 2},
		{stack: b, bytes: 10, objects: 1, samples: 1},
	}, Retained, KindHeap, ownGo("", nil))
	assert.Len(t, sites, 2)
	assert.Equal(t, "main.put ← main.a", sites[0].Text())
	assert.InDelta(t, 20, sites[0].Bytes, 0)
	assert.Equal(t, 2, sites[0].Samples)
	grow := sitesOf([]held{{stack: stack("main.churn"), bytes: 1000, samples: 9}}, Growing, KindHeap, ownGo("", nil))
	all := append(grow, sites...)
	sortSites(all)
	assert.Equal(t, "main.churn", all[2].Text())
}

func TestRouteOf(t *testing.T) {
	known := func(method, path string) golang.Route { return golang.Route{Method: method, Path: path} }
	asked := func(path string) golang.Route { return golang.Route{Method: "GET", Path: path, Literal: true} }
	for name, c := range map[string]struct {
		routes map[golang.Route]int
		want   string
	}{
		"nothing":                          {nil, ""},
		"a pattern":                        {map[golang.Route]int{known("GET", "/users/{id}"): 1}, "GET /users/{id}"},
		"two methods":                      {map[golang.Route]int{known("GET", "/users"): 5, known("POST", "/users"): 7}, "POST /users, GET /users"},
		"one seldom":                       {map[golang.Route]int{known("GET", "/users"): 50, known("HEAD", "/users"): 1}, "GET /users"},
		"many":                             {map[golang.Route]int{known("GET", "/a"): 1, known("GET", "/b"): 1, known("GET", "/c"): 1}, ""},
		"a pattern, and what matched none": {map[golang.Route]int{known("GET", "/users"): 5, asked("/x"): 1}, "GET /users"},
		"the same path each time":          {map[golang.Route]int{asked("/users"): 3}, "GET /users"},
		"the same path, but not often":     {map[golang.Route]int{asked("/users"): 2}, ""},
		"paths that differ, but not much":  {map[golang.Route]int{asked("/users/1"): 9, asked("/users/2"): 9}, ""},
		"paths that differ in one place":   {map[golang.Route]int{asked("/v1/users/1"): 1, asked("/v1/users/2"): 1, asked("/v1/users/3"): 1, asked("/v1/users/4"): 2}, "GET /v1/users/*"},
		"in two": {
			map[golang.Route]int{asked("/a/1/b/5"): 1, asked("/a/2/b/6"): 1, asked("/a/3/b/7"): 1, asked("/a/4/b/8"): 1}, "GET /a/*/b/*",
		},
		"two routes with a parameter": {
			map[golang.Route]int{asked("/a/1"): 1, asked("/b/2"): 1, asked("/a/3"): 1, asked("/b/4"): 1}, "",
		},
		"of different length":    {map[golang.Route]int{asked("/a/1"): 1, asked("/a/2"): 1, asked("/a/3"): 1, asked("/a/4"): 1, asked("/a"): 1}, ""},
		"by different methods":   {map[golang.Route]int{asked("/a"): 9, {Method: "POST", Path: "/a", Literal: true}: 9}, ""},
		"with nothing in common": {map[golang.Route]int{asked("/1"): 1, asked("/2"): 1, asked("/3"): 1, asked("/4"): 1}, ""},
		"the root":               {map[golang.Route]int{asked("/"): 4}, "GET /"},
	} {
		assert.Equal(t, c.want, routeOf(c.routes), name)
	}
}

// Who has only made room in a table that others fill is not named beside them; where nobody holds anything else, there is none but them.
func TestProven(t *testing.T) {
	table, rest := Site{Bytes: 10, tables: 10}, Site{Bytes: 20, tables: 5}
	sites, left := proven([]Site{table, rest})
	assert.Equal(t, []Site{rest}, sites)
	assert.InDelta(t, 10, left, 0)
	sites, left = proven([]Site{table, table})
	assert.Len(t, sites, 2)
	assert.Zero(t, left)
}

func TestPprof(t *testing.T) {
	r := Report{Began: time.Unix(1, 0), Window: 10 * time.Second, Processes: []Process{{Name: "shop", Sites: []Site{
		{Grade: Retained, Kind: KindHeap, Bytes: 1e6, Objects: 10, Stack: stack("main.put", "main.a")},
		{Grade: Growing, Bytes: 9e6, Stack: stack("main.churn")},
	}}}}
	var b bytes.Buffer
	require.NoError(t, r.Pprof(&b))
	p, err := profile.Parse(&b)
	require.NoError(t, err)
	require.Len(t, p.Sample, 1)
	assert.Equal(t, []int64{10, 1e6}, p.Sample[0].Value)
	assert.Equal(t, "main.put", p.Sample[0].Location[0].Line[0].Function.Name)
}
