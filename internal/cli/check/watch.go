package check

import (
	"context"
	"fmt"
	"io"
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
	if o.Output != "json" && o.Env.Terminal {
		return (&page{o: o, draw: time.Second, ask: 10 * time.Second}).show(ctx)
	}
	l := &lines{o: o, told: map[string]string{}, lacking: map[[2]string]bool{}}
	l.finding, l.notes = l.line, o.Env.Out
	if o.Output == "json" {
		l.finding, l.notes = func(f finding.Finding) error { return cli.WriteJSONLine(o.Env.Out, f) }, o.Env.ErrOut
	}
	return o.Source.Watch(ctx, o.Query, l.see)
}

// lines tells each change by itself.
type lines struct {
	o *Options
	// finding tells a finding; notes is where is told what can no longer be seen.
	finding func(finding.Finding) error
	notes   io.Writer
	// told is, by a finding's id, what its line said apart from its time.
	told map[string]string
	// lacking are the layers, by cluster, of which was told that they are not seen.
	lacking map[[2]string]bool
}

func (l *lines) see(c source.Change) error {
	switch {
	case c.Finding != nil:
		return l.finding(*c.Finding)
	case c.Coverage != nil:
		return l.cover(c.Coverage)
	case c.Report == nil:
		delete(l.told, c.Forgotten) // what is no longer known changed nothing
		return nil
	}
	if err := l.cover(c.Report.Coverage); err != nil {
		return err
	}
	for _, f := range c.Report.Findings {
		if err := l.finding(f); err != nil {
			return err
		}
	}
	return nil
}

// cover tells what is not seen from now on, and what is seen again.
func (l *lines) cover(covered []finding.Coverage) error {
	now, before := l.o.Env.Now().Format(time.TimeOnly), l.lacking
	l.lacking = map[[2]string]bool{}
	for _, c := range covered {
		if key := [2]string{c.Cluster, string(c.Layer)}; c.State == finding.CoverageAbsent && before[key] {
			l.lacking[key] = true // no better
		}
	}
	for _, c := range unseen(covered) {
		key := [2]string{c.Cluster, string(c.Layer)}
		if !before[key] && !l.lacking[key] {
			if _, err := fmt.Fprintf(l.notes, "%s NOT SEEN: %s\n", now, lack(c)); err != nil {
				return err
			}
		}
		l.lacking[key] = true
	}
	for key := range before {
		if !l.lacking[key] {
			if _, err := fmt.Fprintf(l.notes, "%s SEEN AGAIN: %s\n", now, cli.Clean(at(key[0])+key[1])); err != nil {
				return err
			}
		}
	}
	return nil
}

// line tells a finding in a line, unless that was its last one.
func (l *lines) line(f finding.Finding) error {
	said := string(f.State) + string(f.Severity)
	if l.told[f.ID] == said {
		return nil
	}
	if len(l.told) >= maxTold {
		clear(l.told)
	}
	l.told[f.ID] = said
	label := "RESOLVED:"
	for _, g := range groups {
		if f.State == finding.Active && f.Severity == g.severity {
			label = g.label + ":"
		}
	}
	_, err := fmt.Fprintf(l.o.Env.Out, "%s %s %s\n", l.o.Env.Now().Format(time.TimeOnly), label, l.o.line(f, l.o.Several))
	return err
}
