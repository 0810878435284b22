package findingsexporter

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

const (
	// replay is how many changes are kept for clients that come back.
	replay = 1024
	// backlog is how many changes a client may be behind before it is disconnected; it comes back with Last-Event-ID.
	backlog = 256
	// heartbeat keeps connections open through proxies.
	heartbeat = 15 * time.Second
)

// change is one change of a finding, numbered.
type change struct {
	number  uint64
	finding finding.Finding
}

// watchers hand changes to the clients that watch. They are safe for concurrent use.
type watchers struct {
	most  int
	epoch string // of this process: numbers of another one mean nothing here

	mu      sync.Mutex
	last    uint64
	ring    []change
	clients map[chan change]bool
	closed  bool
}

func newWatchers(most int, started time.Time) *watchers {
	return &watchers{most: most, epoch: strconv.FormatInt(started.UnixNano(), 36), clients: map[chan change]bool{}}
}

func (w *watchers) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.clients)
}

// publish hands a change to all clients. It returns how many were too slow for it, and are disconnected.
func (w *watchers) publish(f finding.Finding) (slow int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	c := change{w.last, f}
	if w.ring = append(w.ring, c); len(w.ring) > replay {
		w.ring = append(w.ring[:0], w.ring[len(w.ring)-replay/2:]...)
	}
	for client := range w.clients {
		select {
		case client <- c:
		default:
			delete(w.clients, client)
			close(client)
			slow++
		}
	}
	return slow
}

// join adds a client. missed are the changes since the one named by id; resumed is false when they are not known, and the
// client needs everything. The channel is closed when the client must go. It returns nil when there are too many.
func (w *watchers) join(id string) (client chan change, missed []change, resumed bool, number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.clients) >= w.most {
		return nil, nil, false, 0
	}
	client = make(chan change, backlog)
	w.clients[client] = true
	epoch, text, _ := strings.Cut(id, "-")
	since, err := strconv.ParseUint(text, 10, 64)
	if epoch != w.epoch || err != nil || since > w.last || len(w.ring) > 0 && since+1 < w.ring[0].number || len(w.ring) == 0 && since != w.last {
		return client, nil, false, w.last
	}
	for _, c := range w.ring {
		if c.number > since {
			missed = append(missed, c)
		}
	}
	return client, missed, true, w.last
}

func (w *watchers) leave(client chan change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.clients, client)
}

// close ends all streams.
func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for client := range w.clients {
		delete(w.clients, client)
		close(client)
	}
}

// watch serves changes as server-sent events (WHATWG HTML, section 9.2): first a `report`, or, to a client that says which
// event it saw last, what it missed; then a `finding` for each change.
func (e *findingsExporter) watch(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if len(q.state) == 1 && !r.URL.Query().Has("state") {
		q.state = nil // who watches wants to see the end as well
	}
	client, missed, resumed, number := e.watchers.join(r.Header.Get("Last-Event-ID"))
	if client == nil {
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, fmt.Sprintf("there are %d clients watching already", e.cfg.MaxWatchers))
		return
	}
	defer e.watchers.leave(client)

	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	send := func(event string, number uint64, v any) error {
		// The server's write timeout is for whole answers; a stream gets one for each event.
		_ = out.SetWriteDeadline(time.Now().Add(heartbeat))
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: %s\nid: %s-%d\ndata: %s\n\n", event, e.watchers.epoch, number, data); err != nil {
			return err
		}
		return out.Flush()
	}
	if !resumed {
		active := *q
		active.state = []string{string(finding.Active)}
		if send("report", number, e.store.report(e.now(), active.matches)) != nil {
			return
		}
	}
	for _, c := range missed {
		if q.matches(c.finding) && send("finding", c.number, c.finding) != nil {
			return
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case c, ok := <-client:
			if !ok {
				return
			}
			if q.matches(c.finding) && send("finding", c.number, c.finding) != nil {
				return
			}
		case <-beat.C:
			_ = out.SetWriteDeadline(time.Now().Add(heartbeat))
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil || out.Flush() != nil {
				return
			}
		}
	}
}
