package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// times prints, for each time left to the kill, the median error of the predicted time left, relative to the real one, over
// all kills that can be foreseen, whatever the confidence. Unlike the error at a share of the lead, it is the same question
// to every predictor.
func times(out io.Writer, traces []trajectory.Trace, tapio [][]trajectory.Answer) {
	linear := answers(traces, accuracy.Baselines[2].New)
	robust := answers(traces, accuracy.Baselines[3].New)
	fmt.Fprintf(out, "\n%-10s %28s %28s %28s\n", "time left", "tapio", "predict_linear", "theil_sen")
	for _, left := range []float64{2, 3, 5, 10, 15, 20, 30} {
		fmt.Fprintf(out, "%3.0f min   ", left)
		for _, a := range [][][]trajectory.Answer{tapio, linear, robust} {
			errs, silent := errorsAt(traces, a, left*60)
			slices.Sort(errs)
			fmt.Fprintf(out, "%10.3f (%3d answers, %3d not)", errs[len(errs)/2], len(errs), silent)
		}
		fmt.Fprintln(out)
	}
}

func errorsAt(traces []trajectory.Trace, answers [][]trajectory.Answer, left float64) (errs []float64, silent int) {
	for i, t := range traces {
		if t.OOMAt == nil || t.Kind == "spike" {
			continue
		}
		for j, r := range t.Readings {
			real := *t.OOMAt - r.T
			if real > left {
				continue
			}
			if a := answers[i][j]; !a.Speaks {
				silent++
			} else {
				errs = append(errs, math.Abs(a.OOMAt-*t.OOMAt)/real)
			}
			break
		}
	}
	return errs, silent
}
