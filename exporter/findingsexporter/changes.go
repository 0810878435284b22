package findingsexporter

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

const (
	// replay is how many changes are kept at most, and replayBytes how much JSON of theirs, for clients that are behind or come back.
	// A finding of a node that went away names hundreds of pods, and is told anew all the time.
	replay      = 1024
	replayBytes = 8 << 20
	// batch is how many changes a client is given at a time: it may hold them for long.
	batch = 16
)

// change is one change of a finding, numbered.
type change struct {
	number uint64
	event  string // of the stream
	data   []byte // JSON
	// finding is what changed, and before what was known of it until then, or nil.
	finding, before *finding.Finding
}

// changes are the latest changes in order. Nobody who reads them can hold up who writes them: who is too far behind has lost
// some, and is told so. It is safe for concurrent use.
type changes struct {
	most  int    // watchers
	epoch string // of this process: numbers of another one mean nothing here

	mu      sync.Mutex
	last    uint64 // the number of the latest change, from 1 on
	lost    uint64 // that of the latest one that is not kept
	ring    [replay]*change
	size    int           // of the data that is kept, in bytes
	news    chan struct{} // closed at the next change, or at the end
	present int           // watchers
	closed  bool
}

func newChanges(most int, started time.Time) *changes {
	return &changes{most: most, epoch: strconv.FormatInt(started.UnixNano(), 36), news: make(chan struct{})}
}

// changed notes that a finding is new or different.
func (c *changes) changed(before *finding.Finding, f finding.Finding, body []byte) {
	c.add(&change{event: "finding", data: body, finding: &f, before: before})
}

// forgotten notes that a finding is no longer kept.
func (c *changes) forgotten(f *finding.Finding) {
	data, err := finding.Encode(struct {
		ID string `json:"id"`
	}{f.ID})
	if err != nil {
		return // a string has always a form in JSON
	}
	c.add(&change{event: "forgotten", data: data, finding: f})
}

func (c *changes) add(ch *change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last-c.lost == replay {
		c.lose()
	}
	c.last++
	ch.number = c.last
	c.ring[c.last%replay] = ch
	for c.size += len(ch.data); c.size > replayBytes; {
		c.lose()
	}
	if !c.closed {
		close(c.news)
		c.news = make(chan struct{})
	}
}

// lose gives up the oldest change.
func (c *changes) lose() {
	c.lost++
	oldest := &c.ring[c.lost%replay]
	c.size -= len((*oldest).data)
	*oldest = nil
}

// since returns the next few changes after the one with a number, and, if there are none, what is closed when there are. It
// returns false when some are lost, or the number was never given.
func (c *changes) since(number uint64) (missed []*change, news <-chan struct{}, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number > c.last || number < c.lost {
		return nil, nil, false
	}
	for n := number + 1; n <= min(c.last, number+batch); n++ {
		missed = append(missed, c.ring[n%replay])
	}
	return missed, c.news, true
}

// id names a change across connections.
func (c *changes) id(number uint64) string { return fmt.Sprintf("%s-%d", c.epoch, number) }

// parse reads what id returned. It returns false for what this process never gave.
func (c *changes) parse(id string) (number uint64, ok bool) {
	epoch, text, _ := strings.Cut(id, "-")
	number, err := strconv.ParseUint(text, 10, 64)
	return number, epoch == c.epoch && err == nil
}

// latest returns the number of the latest change.
func (c *changes) latest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// enter lets a watcher in, unless there are too many or the end has come.
func (c *changes) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.present >= c.most {
		return false
	}
	c.present++
	return true
}

func (c *changes) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.present--
}

func (c *changes) watchers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.present
}

// close ends all streams.
func (c *changes) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.news)
	}
}

// over says whether all streams must end.
func (c *changes) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
