// Command goforms holds on to memory in one of many forms, while a churning function makes thirty times as much garbage of the
// same size.
package main

import (
	"bytes"
	"container/list"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/goforms/lru"
	"example.com/goforms/pump"
)

// form is a way to hold on to memory.
type form struct {
	// keep keeps about as many bytes as it returns; churn makes garbage of that size, in as small pieces.
	keep  func() int
	churn func(bytes int)
}

type flags struct {
	next *flags
	set  [1000]*int64
}

type node struct {
	next *node
	pad  [6]int
}

var (
	kept     [][]byte
	texts    []string
	tiny     *flags
	nodes    *node
	numbers  []int
	visits   = map[int]int{}
	queue    = make(chan []byte, 1<<17)
	timers   []*time.Timer
	closures []func() int
	never    = make(chan int)
	other    = make(chan int)
	lock     sync.Mutex
	group    sync.WaitGroup
	base     context.Context
	pool     = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	items    = lru.New()
	recent   = list.New()
	byKey    = map[int]*list.Element{}
	server   net.Listener

	sink      [16][]byte
	sinkText  string
	sinkTiny  *int64
	sinkNode  *node
	sinkInts  []int
	sinkMap   map[int]int
	sinkFunc  func() int
	sinkTimer *time.Timer
)

func churnBytes(piece int) func(int) {
	return func(n int) {
		for ; n > 0; n -= piece {
			healthy(piece)
		}
	}
}

//go:noinline
func healthy(piece int) { sink[piece%len(sink)] = make([]byte, piece) }

//go:noinline
func keepSmall() int { kept = append(kept, make([]byte, 64)); return 64 + 24 }

//go:noinline
func keepMany() int { kept = append(kept, bytes.Repeat([]byte{1}, 20_000)); return 20_000 }

//go:noinline
func keepLarge() int { kept = append(kept, make([]byte, 100_000)); return 100_000 }

//go:noinline
func keepSubslice() int {
	read := make([]byte, 20_000)
	kept = append(kept, read[:10])
	return len(read)
}

//go:noinline
func keepSubstring() int {
	line := strings.Repeat("x", 3000)
	texts = append(texts, line[10:20])
	return len(line)
}

//go:noinline
func keepTiny() int {
	tiny = &flags{next: tiny}
	for i := range tiny.set {
		tiny.set[i] = new(int64)
	}
	return 12_000
}

func churnTiny(n int) {
	for ; n > 0; n -= 12 {
		sinkTiny = new(int64)
	}
}

//go:noinline
func keepNodes() int {
	for i := 0; i < 100; i++ {
		nodes = &node{next: nodes}
	}
	return 5600
}

func churnNodes(n int) {
	for ; n > 0; n -= 56 {
		sinkNode = &node{}
	}
}

//go:noinline
func keepNumbers() int {
	for i := 0; i < 2000; i++ {
		numbers = append(numbers, i)
	}
	return 16_000
}

func churnNumbers(n int) {
	for ; n > 0; n -= 128_000 {
		sinkInts = nil
		for i := 0; i < 8000; i++ {
			sinkInts = append(sinkInts, i)
		}
	}
}

//go:noinline
func keepVisits() int {
	for i := 0; i < 400; i++ {
		visits[len(visits)] = i
	}
	return 400 * 40
}

func churnMaps(n int) {
	for ; n > 0; n -= 40_000 {
		sinkMap = map[int]int{}
		for i := 0; i < 400; i++ {
			sinkMap[i] = i
		}
	}
}

//go:noinline
func keepQueued() int { queue <- make([]byte, 2000); return 2000 }

//go:noinline
func keepChannel() int {
	c := make(chan [100]int, 10)
	go func() { c <- [100]int{}; <-never; <-c }()
	return 8000
}

//go:noinline
func keepTimers() int {
	for i := 0; i < 20; i++ {
		b := make([]byte, 100)
		timers = append(timers, time.AfterFunc(time.Hour, func() { fmt.Println(len(b)) }))
	}
	return 20 * 300
}

//go:noinline
func keepTickers() int {
	for i := 0; i < 20; i++ {
		t := time.NewTicker(time.Hour)
		closures = append(closures, func() int { <-t.C; return 0 })
	}
	return 20 * 300
}

func churnTimers(n int) {
	for ; n > 0; n -= 200 {
		sinkTimer = time.NewTimer(time.Hour)
		sinkTimer.Stop()
	}
}

//go:noinline
func keepClosures() int {
	for i := 0; i < 100; i++ {
		var state [12]int
		closures = append(closures, func() int { return state[0] })
	}
	return 100 * 112
}

func churnClosures(n int) {
	for ; n > 0; n -= 112 {
		var state [12]int
		sinkFunc = func() int { return state[0] }
	}
}

//go:noinline
func keepContexts() int {
	for i := 0; i < 20; i++ {
		_, cancel := context.WithCancel(base)
		_ = cancel
	}
	return 20 * 150
}

func churnContexts(n int) {
	for ; n > 0; n -= 300 {
		_, cancel := context.WithCancel(base)
		cancel()
	}
}

//go:noinline
func keepPooled() int {
	b := pool.Get().(*bytes.Buffer)
	b.Reset()
	b.Write(make([]byte, 10_000))
	pool.Put(b)
	return 10_000
}

//go:noinline
func keepItems() int {
	for i := 0; i < 50; i++ {
		items.Add(i)
	}
	return 50 * 128
}

// keepRecent is a cache with a bound, the least recently used goes first.
//
//go:noinline
func keepRecent() int {
	for i := 0; i < 10; i++ {
		key := recent.Len() + i
		byKey[key] = recent.PushFront(make([]byte, 2000))
		if recent.Len() > 500 {
			recent.Remove(recent.Back())
		}
	}
	return 20_000
}

//go:noinline
func keepFinalized() int {
	type resource struct {
		other *resource
		b     [2000]byte
	}
	r := &resource{}
	r.other = &resource{other: r}
	runtime.SetFinalizer(r, func(*resource) {}) // a cycle with a finalizer is never freed
	return 4096
}

// Goroutines, which hold what is on their stacks.

//go:noinline
func keepSenders() int { go send(make([]byte, 4000)); return 2500 }

func send(b []byte) { never <- len(b) }

//go:noinline
func keepSelects() int { go choose(make([]byte, 4000)); return 2500 }

func choose(b []byte) {
	select {
	case <-never:
	case other <- len(b):
	}
}

//go:noinline
func keepLockers() int { go acquire(make([]byte, 4000)); return 6000 }

func acquire(b []byte) {
	lock.Lock()
	defer lock.Unlock()
	fmt.Println(len(b))
}

//go:noinline
func keepWaiters() int { go wait(make([]byte, 4000)); return 6000 }

func wait(b []byte) {
	group.Wait()
	fmt.Println(len(b))
}

//go:noinline
func keepPumpA() int { pump.Start(make(chan int), never); return 3000 }

//go:noinline
func keepPumpB() int { pump.Start(make(chan int), never); return 3000 }

func keepPumps() int { return keepPumpA() + keepPumpB() }

func churnGoroutines(n int) {
	for ; n > 0; n -= 8000 {
		done := make(chan int)
		go func() { healthy(4000); done <- 1 }()
		<-done
	}
}

// keepBodies never closes what it has asked for.
//
//go:noinline
func keepBodies() int {
	for i := 0; i < 3; i++ {
		if _, err := http.Get("http://" + server.Addr().String() + "/endless"); err != nil {
			fatal(err)
		}
	}
	return 100_000
}

func endless(w http.ResponseWriter, r *http.Request) {
	w.Write(make([]byte, 10_000))
	w.(http.Flusher).Flush()
	<-never
}

// keepConns reads from connections on which nothing comes.
//
//go:noinline
func keepConns() int {
	a, b := net.Pipe()
	go read(a)
	kept = append(kept, nil)
	_ = b
	return 10_000
}

func read(c net.Conn) {
	b := make([]byte, 8000)
	c.Read(b)
	fmt.Println(len(b))
}

type owner struct{ name [200]byte }

var (
	owners  lru.Table[int, owner]
	journal struct{ lru.Log }
	synced  sync.Map
	text    strings.Builder
	expires []expiring
	flushed [][]byte
)

type expiring struct {
	until time.Time
	b     []byte
}

//go:noinline
func keepGeneric() int {
	for i := 0; i < 3; i++ {
		owners.Put(owners.Len(), owner{})
	}
	return 3 * 250
}

//go:noinline
func keepEmbedded() int { journal.Store(make([]byte, 3000)); return 3000 }

var syncedKeys int

//go:noinline
func keepSynced() int { syncedKeys++; synced.Store(syncedKeys, &owner{}); return 400 }

//go:noinline
func keepText() int { text.WriteString(sinkLine); return len(sinkLine) }

var sinkLine = strings.Repeat("x", 1000)

// keepExpiring is a cache in which everything stays for two seconds.
//
//go:noinline
func keepExpiring() int {
	expires = append(expires, expiring{time.Now().Add(2 * time.Second), make([]byte, 2000)})
	for time.Now().After(expires[0].until) {
		expires = expires[1:]
	}
	return 2000
}

// keepBeside keeps for good what another function keeps in a cache that is full, in which everything stays for six seconds.
//
//go:noinline
func keepBeside() int { kept = append(kept, make([]byte, 2000)); return 2000 }

func churnCached(n int) {
	for ; n > 0; n -= 2000 {
		cached(time.Now())
	}
}

//go:noinline
func cached(now time.Time) {
	expires = append(expires, expiring{now.Add(6 * time.Second), make([]byte, 2000)})
	for now.After(expires[0].until) {
		expires = expires[1:]
	}
}

// keepFlushed is a buffer that is emptied when it is full.
//
//go:noinline
func keepFlushed() int {
	if flushed = append(flushed, make([]byte, 2000)); len(flushed) >= 1000 {
		flushed = nil
	}
	return 2000
}

var deferring sync.Once

// keepDeferred defers in a loop that does not end.
func keepDeferred() int {
	deferring.Do(func() { go deferEndlessly() })
	return 8000
}

func deferEndlessly() {
	for n := 0; ; n++ {
		b := make([]byte, 200)
		defer func() { fmt.Println(len(b)) }()
		if n%100 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// keepMapped keeps memory of which Go's heap knows nothing.
//
//go:noinline
func keepMapped() int {
	b, err := syscall.Mmap(-1, 0, 1<<17, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		fatal(err)
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	kept = append(kept, b)
	return len(b)
}

var started = time.Now()

// keepWarmUp keeps in its first second only.
//
//go:noinline
func keepWarmUp() int {
	if time.Since(started) < time.Second {
		kept = append(kept, make([]byte, 20_000))
	}
	return 20_000
}

// slow is a request that takes two seconds; its buffer lives as long.
func slow(n int) {
	for ; n > 0; n -= 20_000 {
		go request()
	}
}

func request() {
	b := bytes.Repeat([]byte{1}, 20_000)
	time.Sleep(2 * time.Second)
	runtime.KeepAlive(b)
}

// keepMixed is one large buffer beside many of the least size that counts as large.
//
//go:noinline
func keepMixed() int {
	kept = append(kept, make([]byte, 1<<18))
	return 1 << 18
}

var forms = map[string]form{
	"visits":     {keepVisits, churnMaps},
	"numbers":    {keepNumbers, churnNumbers},
	"subslice":   {keepSubslice, churnBytes(20_000)},
	"substring":  {keepSubstring, churnBytes(3000)},
	"tiny":       {keepTiny, churnTiny},
	"nodes":      {keepNodes, churnNodes},
	"small":      {keepSmall, churnBytes(64)},
	"large":      {keepLarge, churnBytes(100_000)},
	"mixed":      {keepMixed, churnBytes(40_000)},
	"queued":     {keepQueued, churnBytes(2000)},
	"channel":    {keepChannel, churnBytes(8192)},
	"timers":     {keepTimers, churnTimers},
	"tickers":    {keepTickers, churnTimers},
	"closures":   {keepClosures, churnClosures},
	"contexts":   {keepContexts, churnContexts},
	"pooled":     {keepPooled, churnBytes(10_000)},
	"items":      {keepItems, churnBytes(128)},
	"recent":     {keepRecent, churnBytes(2000)},
	"finalized":  {keepFinalized, churnBytes(2048)},
	"senders":    {keepSenders, churnGoroutines},
	"selects":    {keepSelects, churnGoroutines},
	"lockers":    {keepLockers, churnGoroutines},
	"waiters":    {keepWaiters, churnGoroutines},
	"pumps":      {keepPumps, churnGoroutines},
	"bodies":     {keepBodies, churnBytes(4096)},
	"conns":      {keepConns, churnGoroutines},
	"deferred":   {keepDeferred, churnBytes(208)},
	"generic":    {keepGeneric, churnBytes(208)},
	"embedded":   {keepEmbedded, churnBytes(3000)},
	"synced":     {keepSynced, churnBytes(208)},
	"text":       {keepText, churnBytes(1000)},
	"expiring":   {keepExpiring, churnBytes(2000)},
	"beside":     {keepBeside, churnCached},
	"flushed":    {keepFlushed, churnBytes(2000)},
	"mapped":     {keepMapped, churnBytes(20_000)},
	"warm up":    {keepWarmUp, churnBytes(20_000)},
	"slow":       {keepMany, slow},
	"slow alone": {func() int { return 20_000 }, slow},
	"nothing":    {func() int { return 20_000 }, churnBytes(20_000)},
}

func main() {
	name := flag.String("form", "small", "the form in which memory is held")
	rate := flag.Int("rate", 1<<20, "bytes kept a second")
	times := flag.Int("churn", 30, "how many times as much garbage is made")
	ballast := flag.Int("ballast", 0, "bytes that are held from the beginning on")
	worker := flag.Bool("worker", false, "do it in a child process")
	flag.Parse()
	f, ok := forms[*name]
	if !ok {
		fatal(fmt.Errorf("no form %q", *name))
	}
	if *worker {
		var args []string
		for _, a := range os.Args[1:] {
			if a != "-worker" {
				args = append(args, a)
			}
		}
		cmd := exec.Command(os.Args[0], args...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fatal(err)
		}
		return
	}
	var err error
	if server, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		fatal(err)
	}
	http.HandleFunc("/endless", endless)
	go http.Serve(server, nil)
	lock.Lock()
	group.Add(1)
	base, _ = context.WithCancel(context.Background())
	held := make([][]byte, 0, *ballast/1000+1)
	for n := 0; n < *ballast; n += 1000 {
		held = append(held, make([]byte, 1000))
	}
	due := 0
	for range time.NewTicker(10 * time.Millisecond).C {
		for due += *rate / 100; due > 0; {
			n := f.keep()
			f.churn(n * *times)
			due -= n
		}
	}
	io.Discard.Write(held[0])
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
