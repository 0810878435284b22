package why

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
)

// maxRelated bounds the causes and the effects that are named, each.
const maxRelated = 5

// tell tells findings, one after the other. Known are the ids that can be asked for.
func tell(o *Options, fs []finding.Finding, known map[string]bool) error {
	var b strings.Builder
	for i, f := range fs {
		if i > 0 {
			b.WriteString("\n")
		}
		story(&b, o, f, known)
	}
	_, err := o.Env.Out.Write([]byte(b.String()))
	return err
}

func story(b *strings.Builder, o *Options, f finding.Finding, known map[string]bool) {
	env, now := o.Env, o.Env.Now()
	label, colour := strings.ToUpper(string(f.Severity)), map[finding.Severity]cli.Colour{finding.Critical: cli.Red, finding.Warning: cli.Yellow}[f.Severity]
	if f.State == finding.Resolved {
		label, colour = "RESOLVED", cli.Green
	}
	if colour == "" {
		colour = cli.Bold
	}
	fmt.Fprintf(b, "%s %s\n", env.Paint(colour, cli.Clean(label)+":"), cli.Clean(f.TitleAt(now)))
	fmt.Fprintf(b, "%s\n", env.Paint(cli.Dim, "  "+cli.Clean(where(f))))
	fmt.Fprintf(b, "\n%s\n", cli.Wrap(cli.Clean(f.Explanation), "  ", env.Width))
	if s := f.Series; s != nil && len(s.Values) > 1 {
		fmt.Fprintf(b, "\n%s\n", sparkline(*s))
	}
	heading := func(text string) { fmt.Fprintf(b, "\n%s\n", env.Paint(cli.Bold, text)) }
	if len(f.Evidence) > 0 {
		heading("Evidence")
		for _, e := range f.Evidence {
			fmt.Fprintf(b, "  %s  %-10s  %s\n", clock(e.Time, now), cli.Clean(string(e.Layer)), cli.Clean(e.Text))
		}
	}
	if p := f.Forecast; p != nil {
		heading("Prediction")
		fmt.Fprintf(b, "  at %s, between %s and %s with %.0f %% probability\n", clock(p.At, now), clock(p.Earliest, now), clock(p.Latest, now), p.Coverage*100)
	}
	if o := f.Outcome; o != nil {
		heading("Predicted and actual")
		fmt.Fprintf(b, "  predicted %s before for %s; it came at %s: %s\n", finding.FormatDuration(o.ActualAt.Sub(o.MadeAt)),
			clock(o.PredictedAt, now), clock(o.ActualAt, now), off(*o))
	}
	heading("Confidence")
	fmt.Fprintf(b, "%s\n", cli.Wrap(fmt.Sprintf("%.2f: %s", f.Confidence, reached(f)), "  ", env.Width))
	if related := append(o.others("caused by, or foreseen as", f.Causes, known), o.others("led to", f.Effects, known)...); len(related) > 0 {
		heading("Related")
		for _, line := range related {
			fmt.Fprintf(b, "  %s\n", line)
		}
	}
	if len(f.Remedies) > 0 {
		heading("What helps")
		for _, r := range f.Remedies {
			fmt.Fprintf(b, "  %s (risk: %s)\n", cli.Clean(r.Title), cli.Clean(string(r.Risk)))
			if r.Command != "" {
				fmt.Fprintf(b, "    %s\n", cli.Clean(r.Command))
			}
		}
	}
}

// clock is a time where the reader is, with its date where that is not today's.
func clock(t, now time.Time) string {
	if t = t.In(now.Location()); t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		return t.Format(time.DateTime)
	}
	return t.Format(time.TimeOnly)
}

// others names other findings, of those that can be asked for; the explanation names what is told nowhere else.
func (o *Options) others(how string, ids []string, known map[string]bool) (lines []string) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !known[id] })
	for i, id := range ids {
		if i == maxRelated {
			return append(lines, fmt.Sprintf("%s %d more", how, len(ids)-i))
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %s %s", how, o.Again, cli.Words([]string{id}), o.From)))
	}
	return lines
}

func where(f finding.Finding) string {
	parts := []string{strings.ToLower(f.Entity.Kind) + " " + f.Entity.Name}
	for _, v := range [][2]string{{"container", f.Entity.Container}, {"cluster", f.Entity.Cluster}, {"namespace", f.Entity.Namespace}, {"node", f.Entity.Node}} {
		if v[1] != "" {
			parts = append(parts, v[0]+" "+v[1])
		}
	}
	return strings.Join(append(parts, "first seen "+f.FirstSeen.UTC().Format(time.RFC3339), "pattern "+f.Pattern, "id "+f.ID), ", ")
}

// reached says what a confidence rests on.
func reached(f finding.Finding) string {
	layers := map[finding.Layer]bool{}
	for _, e := range f.Evidence {
		layers[e.Layer] = true
	}
	seen := fmt.Sprintf("%s from %s", cli.Count(len(f.Evidence), "piece")+" of evidence", cli.Count(len(layers), "layer"))
	if f.Kind == finding.Prediction {
		return "how probable the event is if nothing changes, from how it grew before and how far it has come; with " + seen
	}
	return "how probable the diagnosis is, each layer's evidence weighed on its own; " + seen
}

func off(o finding.Outcome) string {
	d := time.Duration(o.ErrorSeconds * float64(time.Second)).Round(time.Second)
	within := "within the interval given"
	if !o.WithinInterval {
		within = "outside the interval given"
	}
	switch {
	case d > 0:
		return finding.FormatDuration(d) + " sooner, " + within
	case d < 0:
		return finding.FormatDuration(-d) + " later, " + within
	}
	return "to the second"
}

var blocks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the course of a resource against its limit: the top is the limit.
func sparkline(s finding.Series) string {
	top := s.Limit
	for _, v := range s.Values {
		top = math.Max(top, v)
	}
	line := make([]rune, 0, len(s.Values))
	for _, v := range s.Values {
		i := 0
		if top > 0 && v > 0 {
			i = min(int(v/top*float64(len(blocks))), len(blocks)-1)
		}
		line = append(line, blocks[i])
	}
	amount := func(v float64) string {
		if s.Unit == "By" {
			return finding.FormatBytes(v)
		}
		return fmt.Sprintf("%.0f", v)
	}
	span := time.Duration(s.StepSeconds * float64(len(s.Values)-1) * float64(time.Second))
	last := s.Values[len(s.Values)-1]
	return fmt.Sprintf("  %s  %s → %s of %s, %s", string(line), amount(s.Values[0]), amount(last), amount(s.Limit), finding.FormatDuration(span))
}
