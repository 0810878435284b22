package main

import (
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// load reads every trace of a folder.
func load(dir string) ([]trajectory.Trace, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl.gz"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no traces (*.jsonl.gz) in %s", dir)
	}
	traces, errs := make([]trajectory.Trace, len(names)), make([]error, len(names))
	parallel(len(names), func(i int) { traces[i], errs[i] = read(names[i]) })
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
	}
	return traces, nil
}

func read(name string) (trajectory.Trace, error) {
	f, err := os.Open(name)
	if err != nil {
		return trajectory.Trace{}, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return trajectory.Trace{}, err
	}
	return trajectory.Read(z)
}

// answers replays every trace with a predictor of its own.
func answers(traces []trajectory.Trace, predictor func(limit float64) accuracy.Predictor) [][]trajectory.Answer {
	out := make([][]trajectory.Answer, len(traces))
	parallel(len(traces), func(i int) { out[i] = accuracy.Replay(traces[i], predictor(traces[i].Limit)) })
	return out
}

func judge(traces []trajectory.Trace, answers [][]trajectory.Answer, confidence float64) []accuracy.Outcome {
	out := make([]accuracy.Outcome, len(traces))
	for i := range traces {
		out[i] = accuracy.Judge(traces[i], answers[i], confidence)
	}
	return out
}

// parallel does n things on all processors.
func parallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
