//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// quantity is one that must not grow with time.
type quantity struct {
	name  string
	value func(before, s sample) float64
}

// kernelMemory is all that the kernel has for the collector, caches of the names of what was looked at among it: those grow as long as
// there is room, and are given back.
const kernelMemory = "memory of the kernel (MiB)"

var quantities = []quantity{
	{"RSS (MiB)", func(_, s sample) float64 { return s.rss }},
	{"anonymous memory (MiB)", func(_, s sample) float64 { return s.anon }},
	{kernelMemory, func(_, s sample) float64 { return s.kernel }},
	{"maps and programs of it (MiB)", func(_, s sample) float64 { return s.bpf }},
	{"descriptors", func(_, s sample) float64 { return s.fds }},
	{"threads", func(_, s sample) float64 { return s.threads }},
	{"goroutines", func(_, s sample) float64 { return s.goroutines }},
	{"entities", func(_, s sample) float64 { return s.own["otelcol_processor_correlation_entities"] }},
	{"findings", func(_, s sample) float64 { return s.own["otelcol_processor_correlation_findings"] }},
	{"findings served", func(_, s sample) float64 { return s.own["otelcol_exporter_findings_stored"] }},
	{"CPU (% of a core)", func(before, s sample) float64 { return 100 * (s.cpu - before.cpu) / s.at.Sub(before.at).Seconds() }},
}

// watch watches a collector while containers come and go, and tells what grew in the second half.
func watch(ctx context.Context, folder string, m *machine) (err error) {
	if *churn {
		done, churned := make(chan struct{}), make(chan error, 1)
		go func() { churned <- m.churn(done) }()
		defer func() { close(done); err = errors.Join(err, <-churned) }()
	}
	c, err := startCollector(*bin, filepath.Join(folder, "node"), m.top, node(append([]string{watched}, flag.Args()...)...)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	samples, err := c.samples(ctx, folder)
	if len(samples) < 2*blocks {
		return errors.Join(err, fmt.Errorf("%d samples are too few to see a trend", len(samples)))
	}
	needed, e := c.needed(context.WithoutCancel(ctx))
	report(samples, needed)
	return errors.Join(err, e)
}

// needed is the memory of the kernel (MiB) once it has given back its caches, and the collector has looked at everything again.
func (c *collector) needed(ctx context.Context) (float64, error) {
	for range 10 { // some at a time
		if err := os.WriteFile(filepath.Join(c.cgroup, "memory.force_empty"), []byte("0"), 0o644); err != nil {
			return 0, fmt.Errorf("have the kernel give back its caches: %w", err)
		}
	}
	if err := wait(ctx, *period); err != nil {
		return 0, err
	}
	s, err := c.sample()
	return s.kernel, err
}

// samples takes them until the time is over, or it is interrupted, and writes them down as they come. Heap profiles are of the middle,
// and of the end.
func (c *collector) samples(ctx context.Context, folder string) (all []sample, err error) {
	f, err := os.Create(filepath.Join(folder, "samples.csv"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, q := range quantities {
		fmt.Fprintf(f, "%s,", q.name)
	}
	fmt.Fprintln(f, "seconds")
	before, err := c.sample()
	if err != nil {
		return nil, err
	}
	half := false
	for began := before.at; time.Since(began) < *soak; {
		if wait(ctx, *period) != nil {
			break
		}
		s, err := c.sample()
		if err := errors.Join(err, s.observe(ctx)); err != nil {
			return all, err
		}
		for _, q := range quantities {
			fmt.Fprintf(f, "%.4g,", q.value(before, s))
		}
		fmt.Fprintf(f, "%.0f\n", s.at.Sub(began).Seconds())
		all, before = append(all, s), s
		if !half && time.Since(began) > *soak/2 {
			if err := keep(ctx, filepath.Join(folder, "heap-middle.pprof")); err != nil {
				return all, err
			}
			half = true
		}
	}
	return all, keep(context.WithoutCancel(ctx), filepath.Join(folder, "heap-end.pprof"))
}

// keep keeps a heap profile.
func keep(ctx context.Context, profile string) error {
	b, err := get(ctx, "http://"+pprofEndpoint+"/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	return os.WriteFile(profile, b, 0o644)
}

// report tells the trend of each quantity over the second half, and what the collector itself says that it left out.
func report(all []sample, needed float64) {
	half := all[len(all)/2:]
	fmt.Printf("%d samples over %s; trends of the second half, with the interval that holds the true one with 95 %%\n\n", len(all),
		all[len(all)-1].at.Sub(all[0].at).Round(time.Second))
	fmt.Println("| | begin | middle | end | an hour |\n|---|---|---|---|---|")
	var grown []string
	for _, q := range quantities {
		var at, v []float64
		for i := 1; i < len(all); i++ {
			if i >= len(all)-len(half) {
				at, v = append(at, all[i].at.Sub(all[0].at).Hours()), append(v, q.value(all[i-1], all[i]))
			}
		}
		slope, margin := trend(at, v)
		fmt.Printf("| %s | %.4g | %.4g | %.4g | %+.3g ± %.2g |", q.name, q.value(all[0], all[1]), v[0], v[len(v)-1], slope, margin)
		if q.name == kernelMemory {
			fmt.Printf(" %.4g without old caches", needed)
		}
		if grows(slope, margin, v) && (q.name != kernelMemory || needed > v[0]) {
			grown = append(grown, q.name)
			fmt.Print(" **grows**")
		}
		fmt.Println()
	}
	fmt.Print("\nWhat the collector says it lost or left out:")
	last, none := all[len(all)-1].own, true
	for _, name := range slices.Sorted(maps.Keys(last)) {
		if n := last[name]; n > 0 && leftOut(name) {
			fmt.Printf("\n- %s %.0f", name, n)
			none = false
		}
	}
	if none {
		fmt.Print(" nothing.")
	}
	if len(grown) == 0 {
		fmt.Println("\n\nNothing grows with time.")
		return
	}
	fmt.Printf("\n\nGROWS WITH TIME: %s.\n", strings.Join(grown, ", "))
}

// leftOut says whether a metric counts what did not get through.
func leftOut(name string) bool {
	if strings.Contains(name, "queue_capacity") {
		return false
	}
	return slices.ContainsFunc([]string{"dropped", "lost", "refused", "failed", "evicted", "untold", "unresolved", "malformed", "undelivered", "invalid", "unsaved", "errors"},
		func(word string) bool { return strings.Contains(name, word) })
}
