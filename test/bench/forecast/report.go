package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
)

// sweep are the confidences at which Tapio is judged.
var sweep = []float64{0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95}

func run(out io.Writer, dir string, kinds, each bool) error {
	traces, err := load(dir)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\trecall\tfalse\tshare\tmean lead\tprecision\twithdrawn\terr 75\terr 50\terr 25\terr 10\tcoverage\twidth\tbrier\t")
	for _, b := range accuracy.Baselines {
		row(w, b.Name, accuracy.Sum(judge(traces, answers(traces, b.New), 0.5)))
	}
	tapio := answers(traces, accuracy.NewTapio)
	var at50 []accuracy.Outcome
	for _, c := range sweep {
		o := judge(traces, tapio, c)
		if c == 0.5 {
			at50 = o
		}
		row(w, fmt.Sprintf("tapio ≥ %.2f", c), accuracy.Sum(o))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if kinds {
		byKind(out, at50, judge(traces, tapio, 0.8))
	}
	if each {
		at80 := judge(traces, tapio, 0.8)
		for i, o := range at50 {
			h := at80[i]
			fmt.Fprintf(out, "%-28s killed %-5v | ≥0.5 hit %-5v lead %5.1f withdrawn %d share %.3f conf %.2f err50 %.2f cov %.2f width %.2f | ≥0.8 hit %-5v alarms %d lead %5.1f share %.3f\n",
				o.Trace, o.Killed, o.Hit, o.Lead/60, o.Withdrawn, o.FalseShare, o.Confidence, o.TimeError[50], o.Coverage, o.Width,
				h.Hit, len(h.Alarms), h.Lead/60, h.FalseShare)
		}
	}
	return nil
}

func row(w io.Writer, name string, f accuracy.Figures) {
	fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t%.2f\t%.3f\t%.2f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", name,
		f.Recall, f.FalseAlarmRate, f.FalseAlarmShare, f.MeanLead, f.Precision, f.Withdrawn,
		f.TimeError[75], f.TimeError[50], f.TimeError[25], f.TimeError[10], f.Coverage, f.Width, f.Brier)
}

// byKind prints a row for each kind of run, at confidence ≥ 0.5 and ≥ 0.8.
func byKind(out io.Writer, at50, at80 []accuracy.Outcome) {
	type sum struct {
		n, killed, alarm, hit [2]int
		lead                  [2]float64
	}
	kinds := map[string]*sum{}
	for at, outcomes := range [][]accuracy.Outcome{at50, at80} {
		for _, o := range outcomes {
			s := kinds[o.Kind]
			if s == nil {
				s = &sum{}
				kinds[o.Kind] = s
			}
			switch {
			case o.Killed:
				s.killed[at]++
				if o.Hit {
					s.hit[at]++
					s.lead[at] += o.Lead / 60
				}
			case len(o.Alarms) > 0:
				s.alarm[at]++
			}
			s.n[at]++
		}
	}
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	fmt.Fprintf(out, "\n%-26s %24s %24s\n", "", "confidence ≥ 0.5", "confidence ≥ 0.8")
	for _, k := range names {
		s := kinds[k]
		fmt.Fprintf(out, "%-26s", k)
		for at := range 2 {
			if s.killed[at] > 0 {
				fmt.Fprintf(out, " hit %d/%d lead %5.1f min", s.hit[at], s.killed[at], s.lead[at]/max(1, float64(s.hit[at])))
			}
			if quiet := s.n[at] - s.killed[at]; quiet > 0 {
				fmt.Fprintf(out, " false alarms %d/%d", s.alarm[at], quiet)
			}
			fmt.Fprint(out, "\t")
		}
		fmt.Fprintln(out)
	}
}
