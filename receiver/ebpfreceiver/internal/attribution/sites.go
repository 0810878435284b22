//go:build linux

package attribution

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/golang"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/symbols"
)

// maxCallers is how many callers tell one site from another. Where these are all in the same library, so does who has called that.
const maxCallers = 3

// whose says whose a function is.
type whose int

const (
	ofLanguage whose = iota
	ofLibrary
	ofProgram
)

// handlers are the functions of net/http, and of routers beside it, that call a handler; the function before one of them on the stack serves
// requests.
var handlers = []string{
	"net/http.HandlerFunc.ServeHTTP", "net/http.(*ServeMux).ServeHTTP", "net/http.serverHandler.ServeHTTP",
	"github.com/gin-gonic/gin.(*Context).Next", "github.com/labstack/echo/v4.(*Echo).add.func1", "github.com/julienschmidt/httprouter.(*Router).ServeHTTP",
	"github.com/gofiber/fiber/v2.(*App).next",
}

// funcPool hands out objects that others have given back. Who finds none there, so that a new one is made, is not who keeps the others:
// callers from here on prove nothing.
const funcPool = "sync.(*Pool).Get"

// held is what a stack holds.
type held struct {
	stack          []symbols.Frame
	bytes, objects float64
	samples        int
	// started is where the goroutine was started, and who started the one that did; for stacks that are only the language's.
	started []symbols.Frame
	// table says that it is room for more in a table.
	table bool
	// routes are of the HTTP requests that were served, and how many there were of each.
	routes map[golang.Route]int
}

// sitesOf joins stacks that differ in nothing people care about.
func sitesOf(all []held, grade Grade, kind Kind, of func(symbols.Frame) whose) []Site {
	byKey, routes := map[string]*Site{}, map[string]map[golang.Route]int{}
	for _, h := range all {
		s := siteOf(h.stack, h.started, of)
		s.Grade, s.Kind = grade, kind
		key := s.Function.Function
		for _, c := range s.Callers {
			key += "\x00" + c.Function
		}
		joined := byKey[key]
		if joined == nil {
			joined = &s
			byKey[key], routes[key] = joined, map[golang.Route]int{}
		}
		for r, n := range h.routes {
			routes[key][r] += n
		}
		joined.Bytes += h.bytes
		if h.table {
			joined.tables += h.bytes
		}
		joined.Objects += h.objects
		joined.Samples += h.samples
	}
	sites := make([]Site, 0, len(byKey))
	for key, s := range byKey {
		s.Route = routeOf(routes[key])
		sites = append(sites, *s)
	}
	sortSites(sites)
	return sites
}

const (
	// leastRoute is which part of the requests must be of a route, maxRoutes how many of these are told.
	leastRoute, maxRoutes = 0.1, 2
	// leastLiteral is how many requests for the same path tell that it is no accident, leastValues how many values there must be in the same place of
	// several paths for it to be a parameter.
	leastLiteral, leastValues = 3, 4
)

// routeOf is which requests these are: "GET /users/{id}". Where the program does not keep by which pattern it has found the handler, it
// is what was asked for, without what differs: "GET /users/*".
func routeOf(routes map[golang.Route]int) string {
	var total int
	for r, n := range routes {
		if !r.Literal {
			total += n
		}
	}
	if total == 0 {
		return shapeOf(routes)
	}
	var all []golang.Route
	for r, n := range routes {
		if !r.Literal && float64(n) >= leastRoute*float64(total) {
			all = append(all, r)
		}
	}
	if len(all) > maxRoutes {
		return ""
	}
	slices.SortFunc(all, func(a, b golang.Route) int {
		return cmp.Or(cmp.Compare(routes[b], routes[a]), strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
	})
	var texts []string
	for _, r := range all {
		texts = append(texts, r.Method+" "+r.Path)
	}
	return strings.Join(texts, ", ")
}

// shapeOf is what paths that were asked for have in common; empty where they are of several routes, as far as can be seen.
func shapeOf(routes map[golang.Route]int) string {
	var method string
	var values []map[string]bool // of each segment of the paths
	var requests int
	for r, n := range routes {
		segments := strings.Split(r.Path, "/")
		if values == nil {
			method, values = r.Method, make([]map[string]bool, len(segments))
			for i := range values {
				values[i] = map[string]bool{}
			}
		}
		if r.Method != method || len(segments) != len(values) {
			return ""
		}
		for i, segment := range segments {
			values[i][segment] = true
		}
		requests += n
	}
	if requests < leastLiteral {
		return ""
	}
	shape, known := make([]string, len(values)), false
	for i, of := range values {
		switch {
		case len(of) == 1:
			for shape[i] = range of {
				known = known || shape[i] != "" || len(routes) == 1
			}
		case len(of) >= leastValues:
			shape[i] = "*"
		default:
			return ""
		}
	}
	if !known {
		return ""
	}
	return method + " " + strings.Join(shape, "/")
}

// proven leaves out who has done nothing but make room in tables, where others hold something else, and returns the bytes of these.
func proven(sites []Site) (_ []Site, left float64) {
	only := func(s Site) bool { return s.tables >= s.Bytes }
	if !slices.ContainsFunc(sites, func(s Site) bool { return !only(s) }) {
		return sites, 0
	}
	return slices.DeleteFunc(sites, func(s Site) bool {
		if only(s) {
			left += s.Bytes
		}
		return only(s)
	}), left
}

// siteOf finds who holds it on a stack, and where its goroutine was started.
func siteOf(stack, started []symbols.Frame, of func(symbols.Frame) whose) Site {
	s := Site{Stack: append(slices.Clip(stack), started...)}
	if len(stack) == 0 {
		s.Function.Function = "?"
		return s
	}
	if i := slices.IndexFunc(stack, func(f symbols.Frame) bool { return f.Function == funcPool }); i > 0 {
		stack, started = stack[:i], nil
	}
	stack = entered(stack)
	first := slices.IndexFunc(stack, func(f symbols.Frame) bool { return of(f) != ofLanguage && !isStart(f) })
	if first < 0 {
		// All of it is the language's: what Go's runtime does not do itself, or as far as a stack of others was followed.
		first = max(slices.IndexFunc(stack, func(f symbols.Frame) bool { return !strings.HasPrefix(f.Function, "runtime.") }), 0)
		if stack[first].Module != "" {
			first = len(stack) - 1
		}
	}
	calls := written(append(slices.Clip(stack[first:]), started...))
	at, serves := handler(calls, of)
	if serves {
		calls = calls[:at+1]
	}
	// What calls the program, such as a framework, is told only where it comes to more of it.
	if i := lastIndex(calls, func(f symbols.Frame) bool { return of(f) == ofProgram }); i >= 0 {
		calls = calls[:i+1]
	}
	s.Function = calls[0]
	s.Callers = callers(calls, of)
	if all := s.Callers; len(all) > maxCallers {
		s.Callers = slices.Clip(all[:maxCallers])
		switch {
		case serves:
			s.Callers[maxCallers-1] = all[len(all)-1]
		case isWithin(&s):
			if i := slices.IndexFunc(all, func(f symbols.Frame) bool { return f.Module != s.Function.Module }); i >= 0 {
				s.Callers = append(s.Callers, all[i])
			}
		case of(s.Callers[0]) == ofProgram && of(last(&s)) == ofLibrary:
			s.Callers = s.Callers[:maxCallers-1]
		}
	}
	if serves {
		s.Handler = calls[len(calls)-1].Function
	}
	return s
}

// handler finds who serves HTTP requests, the nearest: a method of the program's by which a type does, or whom one that calls handlers has called.
func handler(calls []symbols.Frame, of func(symbols.Frame) whose) (at int, ok bool) {
	for i, f := range calls {
		if strings.HasSuffix(f.Function, ".ServeHTTP") && of(f) == ofProgram {
			return i, true
		}
		if i > 0 && slices.Contains(handlers, f.Function) {
			return i - 1, !slices.Contains(handlers, calls[i-1].Function)
		}
	}
	return 0, false
}

// callers are the functions that have called the first. Of a library's, which call each other, it is the one that the program calls.
func callers(calls []symbols.Frame, of func(symbols.Frame) whose) (all []symbols.Frame) {
	inProgram := slices.ContainsFunc(calls, func(f symbols.Frame) bool { return of(f) == ofProgram })
	calls = slices.Concat(calls[:1], slices.DeleteFunc(slices.Clone(calls[1:]), func(f symbols.Frame) bool { return of(f) == ofLanguage }))
	before := calls[0].Function
	for i, f := range calls[1:] {
		inner := inProgram && of(f) == ofLibrary && of(calls[min(i+2, len(calls)-1)]) == ofLibrary
		if !inner && f.Function != before {
			all = append(all, f)
			before = f.Function
		}
	}
	return all
}

func lastIndex(stack []symbols.Frame, is func(symbols.Frame) bool) int {
	for i := len(stack) - 1; i >= 0; i-- {
		if is(stack[i]) {
			return i
		}
	}
	return -1
}

// entered leaves away functions of a library that have no name, where one is known by which the library was entered: of glib, that is
// g_list_prepend.
func entered(stack []symbols.Frame) []symbols.Frame {
	var all []symbols.Frame
	for i, f := range stack {
		if strings.Contains(base(f.Module), ".so") && unnamed(f) && slices.ContainsFunc(stack[i:], func(g symbols.Frame) bool { return g.Module == f.Module && !unnamed(g) }) {
			continue
		}
		all = append(all, f)
	}
	return all
}

// unnamed says that a function has the name of its module, and an address.
func unnamed(f symbols.Frame) bool {
	return f.Module != "" && strings.HasPrefix(f.Function, base(f.Module)+"+0x")
}

// isWithin says that all that is told by now is in the same library.
func isWithin(s *Site) bool {
	return strings.Contains(base(s.Function.Module), ".so") && !slices.ContainsFunc(s.Callers, func(f symbols.Frame) bool { return f.Module != s.Function.Module })
}

// isStart says that the compiler made a function for a go statement with arguments; its name is of the function where that stands.
func isStart(f symbols.Frame) bool { return wrapped.MatchString(f.Function) }

// wrapped is how names end of functions that the compiler of Go makes for go and defer statements with arguments.
var wrapped = regexp.MustCompile(`(\.gowrap|\.deferwrap|·dwrap·)[0-9]+$`)

// written are the functions that stand in the source, without what the compiler makes for go and defer statements, for methods that are values,
// and for methods of what a pointer points to.
func written(stack []symbols.Frame) (all []symbols.Frame) {
	for _, f := range stack {
		f.Function = strings.TrimSuffix(wrapped.ReplaceAllString(f.Function, ""), "-fm")
		if n := len(all); n > 0 {
			if called := all[n-1].Function; called == f.Function || called == strings.NewReplacer("(*", "", ")", "").Replace(f.Function) {
				continue
			}
		}
		all = append(all, f)
	}
	return all
}

func last(s *Site) symbols.Frame {
	if n := len(s.Callers); n > 0 {
		return s.Callers[n-1]
	}
	return s.Function
}

func sortSites(sites []Site) {
	slices.SortStableFunc(sites, func(a, b Site) int {
		if a.Grade != b.Grade {
			return cmp.Compare(b.Grade, a.Grade) // "retained" before "growth"
		}
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Function.Function, b.Function.Function))
	})
}

// ownGo tells a Go program's functions, and those of the modules that it uses, from the standard library's: the paths of modules begin with a
// domain, mostly.
func ownGo(program string, modules []string) func(symbols.Frame) whose {
	return func(f symbols.Frame) whose {
		pkg := packageOf(f.Function)
		in := func(module string) bool { return pkg == module || strings.HasPrefix(pkg, module+"/") }
		var used string // the module below which it is, of those that are below each other
		for _, m := range modules {
			if in(m) && len(m) > len(used) {
				used = m
			}
		}
		first, _, _ := strings.Cut(pkg, "/")
		switch {
		case pkg == "main", program != "" && in(program) && len(program) > len(used):
			return ofProgram
		case used != "", strings.Contains(first, "."):
			return ofLibrary
		}
		return ofLanguage
	}
}

// packageOf is the package path of a function's full name: "net/http" of "net/http.(*conn).serve".
func packageOf(function string) string {
	name, _, _ := strings.Cut(function, "[") // type arguments have paths of their own
	slash := strings.LastIndexByte(name, '/') + 1
	dot := strings.IndexByte(name[slash:], '.')
	if dot < 0 {
		return name
	}
	return strings.ReplaceAll(name[:slash+dot], "%2e", ".")
}

// ownNative tells a program's functions from those of the C library, of allocators, and of the languages' own.
func ownNative(f symbols.Frame) whose {
	if isNative(f) {
		return ofProgram
	}
	return ofLanguage
}

func isNative(f symbols.Frame) bool {
	module := base(f.Module)
	for _, m := range []string{"libc.so", "libc-2", "libc.musl", "libstdc++", "libgcc_s", "ld-", "libjemalloc", "libtcmalloc", "libmimalloc", "libc++"} {
		if strings.HasPrefix(module, m) {
			return false
		}
	}
	if slices.Contains(allocating, strings.TrimLeft(f.Function, "_")) {
		return false
	}
	if kind, trait, ok := implementation(f.Function); ok {
		// Who implements it has made the type or the trait. What hands out memory is nobody's.
		return !strings.HasPrefix(trait, "alloc::") && !strings.HasPrefix(trait, "core::alloc::") && !strings.HasPrefix(trait, "std::alloc::") &&
			(!isForeign(kind) || trait != "" && !isForeign(trait))
	}
	return !isForeign(f.Function)
}

// isForeign says of a function, a type or a trait that it belongs to a language.
func isForeign(name string) bool {
	return slices.ContainsFunc(foreign, func(p string) bool { return strings.HasPrefix(name, p) })
}

// implementation takes the name of a method in Rust apart: of "<&mut svc::Log as core::fmt::Write>::write_str" the type is "svc::Log", the trait
// "core::fmt::Write>::write_str". Slices, tuples, and what has no path, as u8 or what stands for any type, are the language's ("core::"). The trait
// is empty for a method that is none's: "<svc::Log>::put".
func implementation(function string) (kind, trait string, ok bool) {
	kind, ok = strings.CutPrefix(function, "<")
	if !ok {
		return "", "", false
	}
	for i, depth := 0, 1; i < len(kind) && depth > 0; i++ {
		switch kind[i] {
		case '<':
			depth++
		case '>':
			if i == 0 || kind[i-1] != '-' { // the arrow of a function's result
				depth--
			}
			if depth == 0 {
				kind = kind[:i]
			}
		case ' ':
			if after, found := strings.CutPrefix(kind[i:], " as "); found && depth == 1 {
				kind, trait = kind[:i], after
			}
		}
	}
	for _, p := range []string{"&", "mut ", "*const ", "*mut ", "dyn "} {
		kind = strings.TrimPrefix(kind, p)
	}
	if path, _, _ := strings.Cut(kind+"<", "<"); strings.ContainsAny(path, "[(") || !strings.Contains(path, "::") {
		kind = "core::"
	}
	return kind, trait, true
}

// foreign is what the names of functions begin with that belong to C++, Rust, or the C library where it is linked in.
var foreign = []string{
	"operator new", "std::", "__gnu_cxx::", "alloc::", "core::", "hashbrown::", "__rust_", "__rustc::", "__rdl_", "__rg_",
	"rust_begin_", "_start", "__libc_", "libc_start", "_IO_", "_obstack_", "_dl_", "_rjem_", "je_", "mi_",
}

// allocating are functions of the C library, of allocators, and those by which programs wrap them, without underscores before: where all of it
// is in one file, only their names tell them.
var allocating = []string{
	"malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc", "posix_memalign", "strdup", "strndup", "wcsdup", "asprintf",
	"vasprintf", "vasprintf_internal", "getline", "getdelim", "mmap", "mmap64", "mremap", "sbrk", "open_memstream", "fopen", "fopen64", "fopen_internal",
	"fdopen", "opendir", "realpath", "int_malloc", "int_realloc", "sysmalloc", "allocate_stack", "pthread_create", "pthread_create_2_1",
	"default_malloc", "xmalloc", "xcalloc", "xrealloc", "xstrdup", "g_malloc", "g_malloc0", "g_malloc_n", "g_malloc0_n", "g_realloc", "g_realloc_n",
	"g_strdup", "g_strndup", "g_strdup_printf", "g_strdup_vprintf", "g_vasprintf", "g_memdup", "g_memdup2", "g_slice_alloc", "g_slice_alloc0",
}
