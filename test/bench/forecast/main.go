// Command forecast prints how good Tapio's forecasts are on the recorded runs in testdata, beside what people use today.
//
//	go run ./test/bench/forecast [-kinds] [-traces] [-times] [-plot FILE.svg] [-calibrate STEPS] [DIR]
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	var o options
	flag.BoolVar(&o.kinds, "kinds", false, "print a row for each kind of run")
	flag.BoolVar(&o.traces, "traces", false, "print a row for each run")
	flag.BoolVar(&o.times, "times", false, "print how wrong the predicted times are by how much time is left")
	flag.StringVar(&o.plot, "plot", "", "write the trade-off between false alarms, recall and lead to this `FILE`, as SVG")
	steps := flag.Int("calibrate", 0, "fit the weights anew in so many `STEPS` (700 do), print them, and how such fits do on kinds unseen")
	flag.Parse()
	dir := "test/bench/forecast/testdata"
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	traces, err := load(dir)
	if err == nil {
		if *steps > 0 {
			calibrate(os.Stdout, traces, *steps)
			return
		}
		err = report(os.Stdout, traces, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-forecast:", err)
		os.Exit(1)
	}
}
