package check

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

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

// drawn puts the report on an empty screen (ECMA-48: cursor home, erase below).
func (p *page) drawn() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.report == nil {
		return nil
	}
	env := p.o.Env
	if _, err := fmt.Fprintf(env.Out, "\x1b[H\x1b[2J%s\n\n", env.Paint(cli.Dim, env.Now().Format(time.TimeOnly)+"  "+p.o.Source.String())); err != nil {
		return err
	}
	return writeText(p.o, *p.report)
}
