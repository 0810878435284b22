// Command forecast prints how good Tapio's forecasts are on the recorded runs in testdata, beside what people use today.
//
//	go run ./test/bench/forecast [-kinds] [-traces] [-plot FILE.svg] [DIR]
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	kinds := flag.Bool("kinds", false, "print a row for each kind of run")
	traces := flag.Bool("traces", false, "print a row for each run")
	flag.Parse()
	dir := "test/bench/forecast/testdata"
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	if err := run(os.Stdout, dir, *kinds, *traces); err != nil {
		fmt.Fprintln(os.Stderr, "bench-forecast:", err)
		os.Exit(1)
	}
}
