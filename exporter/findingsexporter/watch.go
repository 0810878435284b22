package findingsexporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

// watch serves changes as server-sent events (WHATWG HTML, section 9.2): first a `report`, or, to a client that says which
// event it saw last, what it missed; then each change. A client that falls too far behind gets a `report` again.
func (e *findingsExporter) watch(w http.ResponseWriter, r *http.Request) {
	q, ok := readQuery(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	if !e.changes.enter() {
		e.telemetry.ExporterFindingsWatchersRefused.Add(r.Context(), 1)
		w.Header().Set("Retry-After", "10")
		refuse(w, problem{Status: http.StatusServiceUnavailable,
			Detail: fmt.Sprintf("max_watchers, %d, are watching already, or the collector is stopping", e.cfg.MaxWatchers)})
		return
	}
	defer e.changes.leave()
	s := &stream{w: w, out: http.NewResponseController(w), patience: 2 * e.heartbeat}
	_ = s.out.SetReadDeadline(time.Time{}) // the server's read_timeout is not meant for streams
	if err := e.follow(r.Context(), s, q, r.Header.Get("Last-Event-ID")); errors.Is(err, os.ErrDeadlineExceeded) {
		e.telemetry.ExporterFindingsWatchersDropped.Add(context.WithoutCancel(r.Context()), 1)
	}
}

// follow writes the stream until the client is gone, the exporter stops, or the client does not read for too long.
func (e *findingsExporter) follow(ctx context.Context, s *stream, q *query, lastID string) error {
	if err := s.say(": %s\n\n", finding.APIVersion); err != nil { // so that the client has the headers at once
		return err
	}
	beat := time.NewTicker(e.heartbeat)
	defer beat.Stop()
	at, resumed := e.changes.parse(lastID)
	first := true
	for ctx.Err() == nil && !e.changes.over() {
		missed, news, known := e.changes.since(at)
		if !resumed || !known {
			if !first {
				e.telemetry.ExporterFindingsWatchersBehind.Add(ctx, 1)
			}
			at, resumed = e.changes.latest(), true
			if err := e.reportTo(s, q, at); err != nil {
				return err
			}
			first = false
			continue
		}
		first = false
		for _, c := range missed {
			at = c.number
			if q.matches(c.finding) || c.before != nil && q.matches(c.before) { // also what matches no longer
				if err := s.send(c.event, e.changes.id(at), c.data); err != nil {
					return err
				}
			}
		}
		if len(missed) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-news:
		case <-beat.C:
			if err := s.say(":\nid: %s\n\n", e.changes.id(at)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// reportTo sends a report as of the change with a number. Who did not ask for a state starts with what is active, and then sees the
// end of it as well.
func (e *findingsExporter) reportTo(s *stream, q *query, number uint64) error {
	wanted := *q
	if wanted.state == nil {
		wanted.state = []string{string(finding.Active)}
	}
	doc, err := e.store.report(e.now(), wanted.matches)
	if err != nil {
		return err
	}
	return s.send("report", e.changes.id(number), doc.parts...)
}

// stream writes events to a client.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
	// patience is how long a client may not read. The server's write_timeout is for whole answers; a stream gets this for each
	// event. It must exceed the heartbeat: with HTTP/2 the deadline ends the stream even if nothing is being written.
	patience time.Duration
}

// send sends an event whose data is in parts, which belong to all clients: nothing is copied.
func (s *stream) send(event, id string, data ...[]byte) error {
	return s.write(slices.Concat([][]byte{fmt.Appendf(nil, "event: %s\nid: %s\ndata: ", event, id)}, data, [][]byte{[]byte("\n\n")})...)
}

// say sends what is no event.
func (s *stream) say(format string, args ...any) error {
	return s.write(fmt.Appendf(nil, format, args...))
}

func (s *stream) write(parts ...[]byte) error {
	_ = s.out.SetWriteDeadline(time.Now().Add(s.patience))
	for _, part := range parts {
		if _, err := s.w.Write(part); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
	}
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("flush an event: %w", err)
	}
	return nil
}
