// Package check is `tapio check`: what is broken, and what will break next.
package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/patternscmd"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// Options are what the command was asked.
type Options struct {
	Env    cli.Env
	Source source.Source
	Query  source.Query
	Output string
	FailOn string
	Watch  bool
	// Several says that there is more than one cluster.
	Several bool
	// Program is the command that the user typed, and From the flags that say where to look, for the commands that are shown; of several
	// contexts, none.
	Program string
	From    []string
	// Explain names a pattern to be explained; nothing is looked at then.
	Explain string
}

// outputs and severities are the values of --output and --fail-on.
var (
	outputs    = []string{"text", "wide", "json", "yaml", "junit"}
	severities = []string{string(finding.Critical), string(finding.Warning), string(finding.Info), "never"}
)

// New returns the command.
func New(env cli.Env, from *source.Options) *cobra.Command {
	o := &Options{Env: env}
	since := ""
	cmd := &cobra.Command{
		Use:   "check [entity]",
		Short: "Say what is broken, and what will break next",
		Long: `Say what is broken, and what will break next: every active prediction and diagnosis, the worst first.

An entity is a container, pod, workload, service, node, systemd unit or cgroup, by its name, its owner's name, its id, or as
deploy/api. Findings come from the collector on this machine; where there is none, from the one in the cluster that the
kubeconfig names (service tapio in the namespace tapio, or $TAPIO_NAMESPACE); where there is none either, from what the API
server knows.

Exit status: 0 nothing of the --fail-on severity, 1 something, 2 it could not look.`,
		Example: `  tapio check
  tapio check api-service -o wide
  tapio check -n shop --fail-on warning
  tapio check -A --context production --context staging
  tapio check --since 1h --exclude node-pressure
  tapio check --explain crash-loop
  tapio check -A -o junit > tapio.xml
  tapio check -o json | jq '.findings[] | .title'
  tapio check --watch`,
		Args:              cli.Entity,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Query.Entity = args[0]
			}
			if err := cli.OneOf("--output", o.Output, outputs); err != nil {
				return err
			}
			if err := cli.OneOf("--fail-on", o.FailOn, severities); err != nil {
				return err
			}
			if cmd.Flags().Changed("explain") {
				if o.Output == "junit" || len(args) > 0 {
					return fmt.Errorf("--explain goes with -o text, wide, json or yaml, and with no entity")
				}
				return patternscmd.Explain(env, o.Explain, o.Output)
			}
			if o.Watch && (o.Output == "yaml" || o.Output == "junit") {
				return fmt.Errorf("--watch goes with -o text, wide or json")
			}
			var err error
			if o.Query.Since, err = sinceFlag(since, env.Now()); err != nil {
				return err
			}
			if o.Source, err = from.Open(env.Getenv); err != nil {
				return err
			}
			o.Several = len(from.Contexts) > 1
			if o.Program, o.From = cmd.Parent().CommandPath(), source.Given(cmd.Flags()); o.Several {
				o.From = source.Given(cmd.Flags(), "context")
			}
			if o.Watch {
				return watch(cmd.Context(), o)
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Query.Namespace, "namespace", "n", "", "only this Kubernetes namespace")
	f.BoolVarP(&o.Query.All, "all-namespaces", "A", false, "all namespaces, and what is in none (the default where the kubeconfig's context names none)")
	f.StringVarP(&o.Output, "output", "o", "text", "one of "+strings.Join(outputs, ", "))
	f.StringVar(&o.FailOn, "fail-on", string(finding.Critical), "severity from which the exit status is 1: "+strings.Join(severities, ", "))
	f.BoolVarP(&o.Watch, "watch", "w", false, "go on, and tell every change")
	f.StringVar(&since, "since", "", "only what began since: a duration before now (30m, 2h, 1d), or a time (2026-11-23T12:00:00Z)")
	f.StringArrayVar(&o.Query.Exclude, "exclude", nil, "leave out findings of this pattern; again for more")
	f.StringVar(&o.Explain, "explain", "", "say what a pattern means and by what it is known, and look at nothing")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	for _, flag := range []string{"exclude", "explain"} {
		cli.CompleteBy(cmd, flag, patternscmd.Names)
	}
	cli.Complete(cmd, "output", outputs)
	cli.Complete(cmd, "fail-on", severities)
	return cmd
}

func run(ctx context.Context, o *Options) error {
	tell, done := progress(o.Env)
	o.Query.Progress = tell
	report, err := o.Source.Report(ctx, o.Query)
	done()
	if err != nil {
		return err
	}
	if err := write(o, report); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if len(report.Findings) == 0 && !sees(report) {
		return fmt.Errorf("%s observes nothing now: no layer is seen, so nothing can be said", o.Source)
	}
	if err := verdict(report, o.FailOn); err != nil {
		return err
	}
	if away := source.Away(report.Coverage); len(away) > 0 {
		return fmt.Errorf("not all clusters could be looked at: %s", away[0].Reason)
	}
	return nil
}

// sees says whether the source sees anything at all: otherwise silence means nothing.
func sees(report finding.Report) bool {
	return slices.ContainsFunc(report.Coverage, func(c finding.Coverage) bool {
		return c.State == finding.CoverageOK || report.Source == finding.SourceAPIServer && c.State == finding.CoverageDegraded
	})
}

// unseen is what ought to be seen and is not.
func unseen(covered []finding.Coverage) []finding.Coverage {
	degraded := slices.DeleteFunc(slices.Clone(covered), func(c finding.Coverage) bool { return c.State != finding.CoverageDegraded })
	return append(degraded, source.Away(covered)...)
}

// verdict says by its error whether there are findings of the severity that counts as failure.
func verdict(report finding.Report, failOn string) error {
	if slices.ContainsFunc(report.Findings, func(f finding.Finding) bool { return fails(f, failOn) }) {
		return cli.ErrFindings
	}
	return nil
}

// fails says whether a finding counts as failure.
func fails(f finding.Finding, failOn string) bool {
	least := finding.Severity(failOn).Rank()
	return least > 0 && f.State == finding.Active && f.Severity.Rank() >= least // 0: never
}

// sinceFlag reads the value of --since.
func sinceFlag(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	days := time.Duration(0)
	rest := text
	if n, after, found := strings.Cut(text, "d"); found {
		if d, err := strconv.Atoi(n); err == nil && d >= 0 && d < 100_000 {
			days, rest = time.Duration(d)*24*time.Hour, cmp.Or(after, "0s")
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d+days <= 0 { // or more than a duration can be
		return time.Time{}, fmt.Errorf("--since is %q, want a duration such as 30m, 2h or 1d, or a time such as 2026-11-23T12:00:00Z", text)
	}
	return now.Add(-d - days), nil
}

func write(o *Options, report finding.Report) error {
	switch o.Output {
	case "junit":
		return writeJUnit(o.Env.Out, report, o.FailOn)
	case "json":
		return cli.WriteJSON(o.Env.Out, report)
	case "yaml":
		return cli.WriteYAML(o.Env.Out, report)
	}
	return writeText(o, report)
}
