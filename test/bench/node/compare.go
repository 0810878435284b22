//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// budget is what the agent may take above the bare distribution (MiB).
const budget = 60

// usage is what a collector took while it was measured: medians, in MiB and percent of a core.
type usage struct{ rss, anon, bpf, kernel, cpu []float64 }

func (u *usage) all() float64 { return median(u.rss) + median(u.kernel) }

type configuration struct {
	name    string
	configs []string
	usage
}

// compare measures each configuration in turns.
func compare(ctx context.Context, folder string, m *machine) error {
	configurations := []configuration{
		{name: "the bare distribution (hostmetrics, debug)", configs: []string{bare}},
		{name: "a node, without the ebpf receiver", configs: node(withoutEBPF)},
		{name: "a node", configs: node()},
	}
	for _, config := range flag.Args() {
		configurations = append(configurations, configuration{name: "a node, with " + strings.TrimPrefix(config, "yaml:"), configs: node(config)})
	}
	for round := range *rounds {
		for i := range configurations {
			c := &configurations[i]
			if err := c.take(ctx, filepath.Join(folder, fmt.Sprintf("%d-%d", round, i)), m, c.configs); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Println("| configuration | RSS | of it anonymous | memory of the kernel | of it maps and programs | CPU |\n|---|---|---|---|---|---|")
	for _, c := range configurations {
		fmt.Printf("| %s | %.1f MiB | %.1f MiB | %.1f MiB | %.1f MiB | %.2f %% of a core |\n", c.name,
			median(c.rss), median(c.anon), median(c.kernel), median(c.bpf), median(c.cpu))
	}
	least, agent := &configurations[0], &configurations[2]
	above, verdict := agent.all()-least.all(), "within"
	if above > budget {
		verdict = "ABOVE"
	}
	fmt.Printf("\nThe agent takes %.1f MiB more than the bare distribution (RSS and memory of the kernel): %s the budget of %d MiB.\n", above, verdict, budget)
	return nil
}

// take measures a collector once.
func (u *usage) take(ctx context.Context, folder string, m *machine, configs []string) (err error) {
	c, err := startCollector(*bin, folder, m.top, configs...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := wait(ctx, *settle); err != nil {
		return err
	}
	var rss, anon, bpf, kernel []float64
	first, err := c.sample()
	last := first
	for deadline := time.Now().Add(*measure); err == nil && time.Now().Before(deadline); last, err = c.sample() {
		rss, anon, bpf, kernel = append(rss, last.rss), append(anon, last.anon), append(bpf, last.bpf), append(kernel, last.kernel)
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
	u.rss, u.anon = append(u.rss, median(rss)), append(u.anon, median(anon))
	u.bpf, u.kernel = append(u.bpf, median(bpf)), append(u.kernel, median(kernel))
	u.cpu = append(u.cpu, 100*(last.cpu-first.cpu)/last.at.Sub(first.at).Seconds())
	return err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
