package source

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/your-org/tapio/internal/finding"
)

const (
	// silence is how long a stream may say nothing, not even that it is still there (which it says every 15 s).
	silence = 45 * time.Second
	// longest is the longest pause between two attempts to come back.
	longest = 10 * time.Second
)

// errLost says that a stream that worked has ended.
var errLost = errors.New("connection lost")

// Watch implements Source. The first connection must succeed; a lost one is taken up again where it ended.
func (e *endpoint) Watch(ctx context.Context, q Query, see func(Change) error) error {
	last, pause := "", time.Duration(0)
	for {
		err := e.stream(ctx, q, &last, see)
		switch {
		case ctx.Err() != nil:
			return nil
		case last == "":
			return err
		case errors.Is(err, errLost):
			pause = 0
		default:
			var failed *seeError
			if errors.As(err, &failed) {
				return failed.err
			}
		}
		pause = min(2*pause+250*time.Millisecond, longest)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// seeError is an error of the caller's own function.
type seeError struct{ err error }

func (e *seeError) Error() string { return e.err.Error() }

func (e *endpoint) stream(ctx context.Context, q Query, last *string, see func(Change) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(e.timeout, cancel)
	defer watchdog.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if *last != "" {
		header.Set("Last-Event-ID", *last)
	}
	resp, err := e.send(ctx, "/v1/findings/watch", q.values(), header)
	if err != nil {
		if ctx.Err() != nil {
			err = context.DeadlineExceeded
		}
		return e.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s answers, but has no findings to watch: it is no findings endpoint of a Tapio collector", e.name)
	}
	if err := e.refused(resp, "text/event-stream"); err != nil {
		return err
	}
	events := newEventReader(resp.Body)
	for {
		watchdog.Reset(silence)
		ev, err := events.next()
		if err != nil {
			return fmt.Errorf("%s ended the stream: %w", e.name, errLost)
		}
		if ev.id != "" {
			*last = ev.id
		}
		c, err := e.change(ev)
		if err != nil {
			return &seeError{err}
		}
		switch {
		case c == (Change{}), c.Finding != nil && !q.told(*c.Finding):
			continue
		case c.Report != nil:
			thin := q.thin(*c.Report)
			c.Report = &thin
		}
		if err := see(c); err != nil {
			return &seeError{err}
		}
	}
}

// change reads an event. It is empty for those that say nothing to us.
func (e *endpoint) change(ev event) (Change, error) {
	switch ev.name {
	case "report":
		r, err := e.report(ev.data)
		return Change{Report: &r}, err
	case "finding":
		var f finding.Finding
		if err := json.Unmarshal(ev.data, &f); err != nil {
			return Change{}, fmt.Errorf("%s sends something that is no finding: %w", e.name, err)
		}
		if err := f.Validate(); err != nil {
			return Change{}, fmt.Errorf("%s sends a finding that makes no sense: %w", e.name, err)
		}
		return Change{Finding: &f}, nil
	case "forgotten":
		var gone struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(ev.data, &gone); err != nil {
			return Change{}, fmt.Errorf("%s sends something that names no finding: %w", e.name, err)
		}
		return Change{Forgotten: gone.ID}, nil
	}
	return Change{}, nil
}

// event is one server-sent event, or a sign of life (all empty).
type event struct {
	name, id string
	data     []byte
}

// eventReader reads server-sent events (WHATWG HTML, section 9.2.6, "Interpreting an event stream").
type eventReader struct{ scan *bufio.Scanner }

func newEventReader(r io.Reader) *eventReader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxBody)
	return &eventReader{s}
}

// next returns the next event, or an empty one for a comment. It fails at the end of the stream, and on a line or event that
// is too long.
func (r *eventReader) next() (event, error) {
	var ev event
	var got bool
	for r.scan.Scan() {
		line := bytes.TrimSuffix(r.scan.Bytes(), []byte("\r"))
		switch {
		case len(line) == 0:
			if got {
				return ev, nil
			}
			continue
		case line[0] == ':':
			if !got {
				return event{}, nil
			}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			ev.name, got = string(value), true
		case "id":
			ev.id, got = string(value), true
		case "data":
			if len(ev.data)+len(value) > maxBody {
				return event{}, errors.New("event is too long")
			}
			if ev.data != nil {
				ev.data = append(ev.data, '\n')
			}
			ev.data, got = append(ev.data, value...), true
		}
	}
	if err := r.scan.Err(); err != nil {
		return event{}, err
	}
	return event{}, io.EOF
}
