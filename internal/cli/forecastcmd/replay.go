package forecastcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
)

// replay is what `tapio forecast --prometheus` was asked for.
type replay struct {
	url, query, limitQuery, killQuery string
	limit, confidence                 float64
	window, step                      time.Duration
	now                               func() time.Time
}

func (o *replay) validate() error {
	switch {
	case o.step < time.Second:
		return fmt.Errorf("--step is %s, want 1s or more", o.step)
	case o.window < 30*o.step:
		return fmt.Errorf("--range is %s, want 30 steps (%s) or more", o.window, 30*o.step)
	case o.window > 1_000_000*o.step:
		return fmt.Errorf("--range is %s, want a million steps or less", o.window)
	case !(o.limit >= 0):
		return fmt.Errorf("--limit is %g, want bytes", o.limit)
	case !(o.confidence > 0 && o.confidence < 1):
		return fmt.Errorf("--confidence is %g, want a number between 0 and 1", o.confidence)
	case o.query == "":
		return errors.New("--query is empty, want PromQL for memory that can't be reclaimed")
	case o.limit == 0 && o.limitQuery == "":
		return errors.New("want --limit or --limit-query")
	}
	return nil
}

// run replays the history of Prometheus and reports how Tapio would have done.
func (o *replay) run(ctx context.Context, out io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	end := o.now().Truncate(time.Second)
	h := history{client: &http.Client{Timeout: 2 * time.Minute}, url: o.url, start: end.Add(-o.window), end: end, step: o.step}
	used, err := h.series(ctx, o.query)
	if err != nil {
		return err
	}
	if len(used) == 0 {
		return fmt.Errorf("%s yields nothing in the last %s", o.query, o.window)
	}
	var limits, kills []series
	if o.limit == 0 {
		if limits, err = h.series(ctx, o.limitQuery); err != nil {
			return err
		}
	}
	if o.killQuery != "" {
		if kills, err = h.series(ctx, o.killQuery); err != nil {
			return err
		}
	}
	var all []life
	skipped := 0
	for i := range used {
		s := &used[i]
		var limit *series
		if o.limit == 0 {
			if limit = matching(limits, s.labels); limit == nil {
				skipped++
				continue
			}
		}
		killed := matching(kills, s.labels)
		if killed == nil && o.killQuery != "" {
			killed = &series{} // nothing was counted
		}
		of := lives(s, limit, o.limit, killed, o.step.Seconds(), float64(end.Unix()))
		judge(of, o.confidence)
		all = append(all, of...)
	}
	return o.report(out, len(used), skipped, all)
}

// report says how Tapio would have done, in sentences, and then life by life where there was a kill or an alarm.
func (o *replay) report(out io.Writer, n, skipped int, all []life) error {
	var outcomes []accuracy.Outcome
	var hours, alarmed float64
	falsely, warned, pending := 0, 0, 0
	for _, l := range all {
		hours += l.trace.End / 3600
		if l.pending() {
			pending++
			continue
		}
		outcomes = append(outcomes, l.outcome)
		switch {
		case l.outcome.Killed && l.outcome.Hit:
			warned++
		case !l.outcome.Killed && len(l.outcome.Alarms) > 0:
			falsely++
			alarmed += l.outcome.FalseShare * l.trace.End / 3600
		}
	}
	f := accuracy.Sum(outcomes)
	fmt.Fprintf(out, "%d series, %.1f hours of history in %d lives; %d of them ended in an OOM kill (%s).\n", n, hours, len(all),
		f.Killed, o.inferred())
	if skipped > 0 {
		fmt.Fprintf(out, "%d series have no limit in %s, and were left out.\n", skipped, o.limitQuery)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(out, "None has %d values in a row, which it takes to judge a forecast: --step should be the scrape interval.\n", shortest)
		return err
	}
	fmt.Fprintf(out, "At confidence ≥ %g Tapio would have warned\n", o.confidence)
	if f.Killed > 0 {
		fmt.Fprintf(out, "  before %d of %d kills in time, %s before them on average", warned, f.Killed, minutes(f.MeanLead*60))
		if warned > 0 {
			fmt.Fprintf(out, "; with half of that left its time was %.0f %% off (median)", 100*f.TimeError[50])
		}
		fmt.Fprintln(out)
	}
	if f.Quiet > 0 {
		fmt.Fprintf(out, "  for nothing in %d of %d other lives, for %.1f hours altogether\n", falsely, f.Quiet, alarmed)
	}
	if pending > 0 {
		fmt.Fprintf(out, "  of %s to come: the history ends before it is known whether that is right\n", cli.Count(pending, "kill"))
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	header := false
	for _, l := range all {
		if !l.outcome.Killed && len(l.outcome.Alarms) == 0 {
			continue
		}
		if !header {
			fmt.Fprintln(w, "\nSERIES\tFROM\tTO\tEND\tALARMS\tWARNED BEFORE")
			header = true
		}
		how, lead := "not killed", "-"
		switch {
		case l.open:
			how = "goes on"
		case l.outcome.Killed:
			how = "killed"
			if l.outcome.Lead > 0 {
				lead = minutes(l.outcome.Lead)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", cli.Clean(l.trace.Trace), l.began.UTC().Format(time.DateTime),
			l.began.Add(time.Duration(l.trace.End*float64(time.Second))).UTC().Format(time.TimeOnly), how, len(l.outcome.Alarms), lead)
	}
	return w.Flush()
}

// inferred says how kills were told from other ends.
func (o *replay) inferred() string {
	if o.killQuery != "" {
		return "as " + o.killQuery + " counts them"
	}
	return fmt.Sprintf("inferred: it ended or began anew above %.0f %% of its limit; --kill-query knows better", 100*full)
}

func minutes(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
