// Package forecastcmd is `tapio forecast`: Tapio's predictions on a history that people already have, so that they can check
// them before they trust them. docs/forecasting.md explains the method.
package forecastcmd

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// New returns the command. It reads in and writes out; errOut is for what cobra prints itself.
func New(in io.Reader, out, errOut io.Writer) *cobra.Command {
	o := &replay{now: time.Now}
	cmd := &cobra.Command{
		Use:   "forecast",
		Short: "Forecast OOM kills from memory samples you already have",
		Long: `Without flags it reads memory samples as JSON lines and answers each with a forecast, before it reads the next:

  {"trace":"id","limit":134217728}                  starts a trace (limit in bytes); no answer
  {"t":15,"usage":…,"anon":…,"file":…,"shmem":…}    a sample (seconds, bytes); answered with {} for silence, or
                                                    {"oom_at":…,"lo":…,"hi":…,"confidence":…}

With --prometheus it replays the history there, and reports how often Tapio would have warned, how early, how wrong its
times were, and how often it would have warned for nothing.`,
		Example: `  tapio forecast < samples.jsonl
  tapio forecast --prometheus http://localhost:9090 --range 72h
  tapio forecast --prometheus http://localhost:9090 --query 'container_memory_rss{namespace="shop",container!=""}' \
    --kill-query 'container_oom_events_total{namespace="shop"}'`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("prometheus") {
				return o.run(cmd.Context(), out)
			}
			if flag := replayed(cmd.Flags()); flag != "" {
				return fmt.Errorf("--%s is for a replay: it wants --prometheus", flag)
			}
			return Run(cmd.Context(), in, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.url, "prometheus", "", "replay the history of the Prometheus at this `URL`")
	f.StringVar(&o.query, "query", `container_memory_rss{container!=""}`,
		"what is in use and can't be reclaimed, in bytes: `PromQL`; never a working set, which has page cache in it")
	f.StringVar(&o.limitQuery, "limit-query", `container_spec_memory_limit_bytes{container!=""} > 0`,
		"the limits, matched by the labels in common: `PromQL`")
	f.Float64Var(&o.limit, "limit", 0, "one limit for all series, in `BYTES`, instead of --limit-query")
	f.StringVar(&o.killQuery, "kill-query", "", "counters of OOM kills: `PromQL`; without it kills are inferred from levels")
	f.DurationVar(&o.window, "range", 24*time.Hour, "how far back to look")
	f.DurationVar(&o.step, "step", 15*time.Second, "how far samples are apart; the scrape interval is best")
	f.Float64Var(&o.confidence, "confidence", 0.8, "from which confidence on to warn")
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(errOut)
	return cmd
}

// replayed is a flag that was given and says how to replay; empty: there is none.
func replayed(flags *pflag.FlagSet) (name string) {
	flags.Visit(func(f *pflag.Flag) { name = f.Name }) // all of them do
	return name
}
