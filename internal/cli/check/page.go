package check

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// page shows the present state: drawn anew every so often, because the countdowns count. What does not come by itself, coverage and what
// is learning, is asked for.
type page struct {
	o         *Options
	draw, ask time.Duration

	mu sync.Mutex
	// report is nil until there is one. changes counts what came, heard is when the latest whole report did.
	report  *finding.Report
	changes int
	heard   time.Time
}

// show shows until ctx ends.
func (p *page) show(ctx context.Context) error {
	p.o.Query.Whole = true
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var failed error
	group.Go(func() {
		defer cancel()
		failed = every(ctx, p.draw, p.drawn)
	})
	group.Go(func() { // beside: a source that does not answer must not stop the clock
		_ = every(ctx, p.ask, func() error { p.refresh(ctx); return nil })
	})
	err := p.o.Source.Watch(ctx, p.o.Query, p.see)
	cancel()
	group.Wait()
	return cmp.Or(failed, err)
}

// every calls do again and again, until it fails or ctx ends.
func every(ctx context.Context, pause time.Duration, do func() error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := do(); err != nil {
			return err
		}
	}
}

// see takes in a change.
func (p *page) see(c source.Change) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Report != nil {
		p.report, p.heard = &finding.Report{}, p.o.Env.Now()
	}
	if p.report != nil {
		p.changes++
		c.Apply(p.report)
	}
	return nil
}

// refresh asks for a whole report. What changed meanwhile is newer.
func (p *page) refresh(ctx context.Context) {
	p.mu.Lock()
	begun, before := p.report != nil, p.changes
	p.mu.Unlock()
	if !begun {
		return
	}
	fresh, err := p.o.Source.Report(ctx, p.o.Query)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx.Err() != nil || p.changes != before:
	case err == nil:
		p.report, p.heard = &fresh, p.o.Env.Now()
	case sees(*p.report): // otherwise it is known already
		p.report.Coverage = source.Unheard(p.report.Coverage, p.heard, err)
	}
}

// drawn puts the report on an empty screen (ECMA-48: cursor home, erase below), as much of it as there is room for.
func (p *page) drawn() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.report == nil {
		return nil
	}
	var text strings.Builder
	o, rows := *p.o, 0
	if o.Env.Out = &text; o.Env.Size != nil {
		o.Env.Width, rows = o.Env.Size()
	}
	fmt.Fprintf(&text, "%s\n\n", o.Env.Paint(cli.Dim, o.Env.Now().Format(time.TimeOnly)+"  "+cli.Clean(o.Source.String())))
	if err := writeText(&o, *p.report); err != nil {
		return err
	}
	_, err := io.WriteString(p.o.Env.Out, "\x1b[H\x1b[2J"+fit(text.String(), o.Env.Width, rows))
	return err
}

// paintRE is what Paint adds to a text.
var paintRE = regexp.MustCompile("\x1b\\[[0-9;]*m")

// fit cuts a page off where the terminal ends: its begin, which has the worst, must not scroll away. Nothing is cut off where it is not
// known where that is.
func fit(text string, columns, rows int) string {
	if columns <= 0 || rows <= 0 {
		return text
	}
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	used, kept := 0, 0 // rows of all lines, and how many lines leave one for what is said of the others
	for i, line := range lines {
		used += max(1, (utf8.RuneCountInString(strings.TrimSuffix(paintRE.ReplaceAllString(line, ""), "\n"))+columns-1)/columns)
		if used < rows {
			kept = i + 1
		}
	}
	switch {
	case used < rows:
		return text
	case used == rows: // a newline at its end would scroll
		return strings.Join(lines, "")
	}
	return strings.Join(lines[:kept], "") + "… " + cli.Count(len(lines)-kept, "more line")
}
