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
	"slices"
	"time"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/jsontext"
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
	f := &follower{endpoint: e, query: q, see: see}
	for pause := time.Duration(0); ; {
		err := f.stream(ctx)
		var failed *seeError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &failed):
			return failed.err
		case f.last == "":
			return err
		case errors.Is(err, errLost):
			pause = 0
		default:
			if err := f.lose(err); err != nil {
				return err
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

// follower is one watch of an endpoint, over all its connections.
type follower struct {
	*endpoint
	query Query
	see   func(Change) error
	// last is the id of the latest event, heard when the latest sign of life came.
	last  string
	heard time.Time
	// covered is how well the endpoint said that it sees; lost says that it is not heard now.
	covered []finding.Coverage
	lost    bool
}

// lose tells, once, that the endpoint is not heard any more.
func (f *follower) lose(why error) error {
	if f.lost {
		return nil
	}
	f.lost = true
	return f.see(Change{Coverage: Unheard(f.covered, f.heard, why)})
}

// hear notes a sign of life, and tells the first one after a loss.
func (f *follower) hear() error {
	f.heard = f.now()
	if !f.lost {
		return nil
	}
	f.lost = false
	return f.see(Change{Coverage: f.covered})
}

// Unheard is what coverage becomes when its source is not heard any more, since a time where it is known: nothing is seen.
func Unheard(covered []finding.Coverage, since time.Time, why error) []finding.Coverage {
	all := slices.Clone(covered)
	for i := range all {
		if all[i].State == finding.CoverageOK {
			all[i].State, all[i].Reason = finding.CoverageAbsent, "the collector is not heard"
		}
	}
	said := "not heard any more"
	if !since.IsZero() {
		said = "not heard since " + since.Format(time.TimeOnly)
	}
	return append(all, finding.Coverage{Layer: layerCollector, State: finding.CoverageDegraded, Reason: fmt.Sprintf("%s: %v", said, why)})
}

// seeError is an error of the caller's own function.
type seeError struct{ err error }

func (e *seeError) Error() string { return e.err.Error() }

// stream tells what comes over one connection, until it ends.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(f.timeout, cancel)
	defer watchdog.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if f.last != "" {
		header.Set("Last-Event-ID", f.last)
	}
	resp, err := f.send(ctx, "/v1/findings/watch", f.query.values(), header)
	if err != nil {
		if ctx.Err() != nil {
			err = context.DeadlineExceeded
		}
		return f.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s answers, but has no findings to watch: it is no findings endpoint of a Tapio collector", f.name)
	}
	if err := f.refused(resp, "text/event-stream"); err != nil {
		return err
	}
	events := newEventReader(resp.Body)
	for heard := false; ; heard = true {
		watchdog.Reset(silence)
		ev, err := events.next()
		switch {
		case err != nil && heard:
			return fmt.Errorf("%s ended the stream: %w", f.name, errLost)
		case err != nil:
			return fmt.Errorf("%s ended the stream before it said anything", f.name)
		}
		if err := f.hear(); err != nil {
			return &seeError{err}
		}
		if err := f.take(ev); err != nil {
			return &seeError{err}
		}
	}
}

// take tells what an event says, if it says something to us.
func (f *follower) take(ev event) error {
	if ev.id != "" {
		f.last = ev.id
	}
	c, err := f.change(ev)
	switch {
	case err != nil:
		return err
	case c.Report != nil:
		thin := f.query.thin(*c.Report)
		c.Report, f.covered = &thin, append([]finding.Coverage{}, thin.Coverage...)
	case c.Finding != nil && !f.query.told(*c.Finding), c.Finding == nil && c.Forgotten == "":
		return nil
	}
	return f.see(c)
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
			return Change{}, fmt.Errorf("%s sends something that is no finding: %w", e.name, jsontext.Explain(err))
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
			return Change{}, fmt.Errorf("%s sends something that names no finding: %w", e.name, jsontext.Explain(err))
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
