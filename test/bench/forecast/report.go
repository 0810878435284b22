package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

type options struct {
	kinds, traces, times bool
	plot                 string
}

// sweep are the confidences at which Tapio is judged.
var sweep = []float64{0.05, 0.1, 0.3, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95}

// report judges the baselines and Tapio, and prints a row for each.
func report(out io.Writer, traces []trajectory.Trace, o options) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\trecall\tfalse alarms\tquiet time in alarm\tlead (min)\twithdrawn\terror 50 %\terror 10 %\tcoverage\twidth\tbrier\t")
	var points []mark
	for _, b := range accuracy.Baselines {
		f := accuracy.Sum(judge(traces, answers(traces, b.New), 0.5))
		points = append(points, mark{b.Name, f})
		row(w, b.Name, f)
	}
	tapio := answers(traces, accuracy.NewTapio)
	var curve []mark
	for _, c := range sweep {
		f := accuracy.Sum(judge(traces, tapio, c))
		curve = append(curve, mark{fmt.Sprintf("%.2f", c), f})
		row(w, fmt.Sprintf("tapio ≥ %.2f", c), f)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	at50, at80 := judge(traces, tapio, 0.5), judge(traces, tapio, 0.8)
	if o.kinds {
		byKind(out, at50, at80)
	}
	if o.traces {
		byTrace(out, at50, at80)
	}
	if o.times {
		times(out, traces, tapio)
	}
	if o.plot != "" {
		if err := os.WriteFile(o.plot, plot(points, curve), 0o644); err != nil {
			return fmt.Errorf("write the plot: %w", err)
		}
	}
	return nil
}

func row(w io.Writer, name string, f accuracy.Figures) {
	fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t%.1f\t%.2f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", name, f.Recall, f.FalseAlarmRate,
		f.FalseAlarmShare, f.MeanLead, f.Withdrawn, f.TimeError[50], f.TimeError[10], f.Coverage, f.Width, f.Brier)
}

// byKind prints a row for each kind of run, at confidence ≥ 0.5 and ≥ 0.8.
func byKind(out io.Writer, at ...[]accuracy.Outcome) {
	kinds := map[string]bool{}
	for _, o := range at[0] {
		kinds[o.Kind] = true
	}
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nkind\tconfidence ≥ 0.5\tconfidence ≥ 0.8")
	for _, k := range names {
		fmt.Fprint(w, k)
		for _, outcomes := range at {
			var of []accuracy.Outcome
			for _, o := range outcomes {
				if o.Kind == k {
					of = append(of, o)
				}
			}
			fmt.Fprint(w, "\t", told(of))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

// told is how a kind fared, in words.
func told(of []accuracy.Outcome) (text string) {
	var killed, hit, quiet, alarmed int
	var lead float64
	for _, o := range of {
		switch {
		case o.Killed:
			killed++
			if o.Hit {
				hit++
				lead += o.Lead / 60
			}
		default:
			quiet++
			if len(o.Alarms) > 0 {
				alarmed++
			}
		}
	}
	if killed > 0 {
		text = fmt.Sprintf("%d of %d foreseen, %.0f min before ", hit, killed, lead/max(1, float64(hit)))
	}
	if quiet > 0 {
		text += fmt.Sprintf("%d of %d alarmed for nothing", alarmed, quiet)
	}
	return text
}

func byTrace(out io.Writer, at50, at80 []accuracy.Outcome) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nrun\tkilled\thit ≥ 0.5\tlead\twithdrawn\tquiet in alarm\tconfidence\thit ≥ 0.8\tlead\talarms")
	for i, o := range at50 {
		h := at80[i]
		fmt.Fprintf(w, "%s\t%v\t%v\t%.1f\t%d\t%.3f\t%.2f\t%v\t%.1f\t%d\n", o.Trace, o.Killed, o.Hit, o.Lead/60, o.Withdrawn,
			o.FalseShare, o.Confidence, h.Hit, h.Lead/60, len(h.Alarms))
	}
	w.Flush()
}
