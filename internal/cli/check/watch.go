package check

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// maxTold bounds what is remembered of the findings that were told.
const maxTold = 10_000

// watch goes on telling: on a terminal a page that counts down, elsewhere a line for each change, with -o json a finding a
// line. It ends when it is interrupted.
func watch(ctx context.Context, o *Options) error {
	if o.Output == "json" {
		enc := json.NewEncoder(o.Env.Out)
		return o.Source.Watch(ctx, o.Query, func(c source.Change) error {
			switch {
			case c.Finding != nil:
				return enc.Encode(c.Finding)
			case c.Report == nil:
				return nil // what is no longer known changed nothing
			}
			for _, f := range c.Report.Findings {
				if err := enc.Encode(f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if o.Env.Terminal {
		return watchPage(ctx, o)
	}
	told := map[string]string{} // by id, what a line said apart from its time
	tell := func(f finding.Finding) error {
		said := string(f.State) + string(f.Severity)
		if told[f.ID] == said {
			return nil
		}
		if len(told) >= maxTold {
			clear(told)
		}
		told[f.ID] = said
		now := o.Env.Now()
		label := "RESOLVED:"
		for _, g := range groups {
			if f.State == finding.Active && f.Severity == g.severity {
				label = g.label + ":"
			}
		}
		_, err := fmt.Fprintf(o.Env.Out, "%s %s %s\n", now.Format(time.TimeOnly), label, o.line(f, o.Several))
		return err
	}
	return o.Source.Watch(ctx, o.Query, func(c source.Change) error {
		switch {
		case c.Finding != nil:
			return tell(*c.Finding)
		case c.Report == nil:
			delete(told, c.Forgotten)
			return nil
		}
		for _, f := range c.Report.Findings {
			if err := tell(f); err != nil {
				return err
			}
		}
		return nil
	})
}

// watchPage shows the present state, drawn anew every second: the countdowns count.
func watchPage(ctx context.Context, o *Options) error {
	o.Query.Whole = true
	var mu sync.Mutex
	var report *finding.Report
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drawn := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for n := 1; ; n++ {
			// Changes of findings come by themselves; coverage, and what is learning, do not.
			if n%10 == 0 {
				if fresh, err := o.Source.Report(ctx, o.Query); err == nil {
					mu.Lock()
					report = &fresh
					mu.Unlock()
				}
			}
			mu.Lock()
			var err error
			if report != nil {
				err = draw(o, *report)
			}
			mu.Unlock()
			if err != nil {
				cancel()
				drawn <- err
				return
			}
			select {
			case <-ctx.Done():
				drawn <- nil
				return
			case <-tick.C:
			}
		}
	}()
	err := o.Source.Watch(ctx, o.Query, func(c source.Change) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case c.Report != nil:
			report = c.Report
		case report == nil:
		case c.Finding != nil:
			update(report, c.Finding.ID, c.Finding)
		default:
			update(report, c.Forgotten, nil)
		}
		return nil
	})
	cancel()
	return cmp.Or(<-drawn, err)
}

// draw puts the report on an empty screen (ECMA-48: cursor home, erase below).
func draw(o *Options, r finding.Report) error {
	if _, err := fmt.Fprintf(o.Env.Out, "\x1b[H\x1b[2J%s\n\n", o.Env.Paint(cli.Dim, o.Env.Now().Format(time.TimeOnly)+"  "+o.Source.String())); err != nil {
		return err
	}
	return writeText(o, r)
}

// update puts a finding that changed into a report, or takes it out when there is none any more.
func update(r *finding.Report, id string, f *finding.Finding) {
	r.Findings = slices.DeleteFunc(r.Findings, func(known finding.Finding) bool { return known.ID == id })
	if f != nil && f.State == finding.Active {
		r.Findings = append(r.Findings, *f)
	}
	finding.Sort(r.Findings)
	r.Summary = finding.Summarize(r.Watched, r.Findings)
}
