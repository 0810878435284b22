// Package check is `tapio check`: what is broken, and what will break next.
package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/cli"
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
}

// outputs and severities are the values of --output and --fail-on.
var (
	outputs    = []string{"text", "wide", "json", "yaml"}
	severities = []string{string(finding.Critical), string(finding.Warning), string(finding.Info), "never"}
)

// New returns the command.
func New(env cli.Env, from *source.Options) *cobra.Command {
	o := &Options{Env: env}
	cmd := &cobra.Command{
		Use:   "check [entity]",
		Short: "Say what is broken, and what will break next",
		Long: `Say what is broken, and what will break next: every active prediction and diagnosis, the worst first.

An entity is a container, pod, workload, service, node, systemd unit or cgroup, by its name, its owner's name, its id, or as
deploy/api. Without a collector, what the API server of the kubeconfig's cluster knows is looked at.

Exit status: 0 nothing of the --fail-on severity, 1 something, 2 it could not look.`,
		Example: `  tapio check
  tapio check api-service -o wide
  tapio check -n shop --fail-on warning
  tapio check -A --context production
  tapio check -o json | jq '.findings[] | .title'
  tapio check --watch`,
		Args: cobra.MaximumNArgs(1),
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
			if o.Watch && o.Output == "yaml" {
				return fmt.Errorf("--watch goes with -o text, wide or json")
			}
			var err error
			if o.Source, err = from.Open(env.Getenv); err != nil {
				return err
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
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	cli.Complete(cmd, "output", outputs)
	cli.Complete(cmd, "fail-on", severities)
	return cmd
}

func run(ctx context.Context, o *Options) error {
	report, err := o.Source.Report(ctx, o.Query)
	if err != nil {
		return err
	}
	if err := write(o, report); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if blind(report) {
		return fmt.Errorf("%s observes nothing now: no layer is seen, so nothing can be said", o.Source)
	}
	return verdict(report, o.FailOn)
}

// blind says whether the source sees nothing at all: silence then means nothing.
func blind(report finding.Report) bool {
	return len(report.Findings) == 0 && !slices.ContainsFunc(report.Coverage, func(c finding.Coverage) bool {
		return c.State == finding.CoverageOK || report.Source == finding.SourceAPIServer && c.State == finding.CoverageDegraded
	})
}

// verdict says by its error whether there are findings of the severity that counts as failure.
func verdict(report finding.Report, failOn string) error {
	least := finding.Severity(failOn).Rank()
	if least == 0 { // never
		return nil
	}
	for _, f := range report.Findings {
		if f.State == finding.Active && f.Severity.Rank() >= least {
			return cli.ErrFindings
		}
	}
	return nil
}

func write(o *Options, report finding.Report) error {
	switch o.Output {
	case "json":
		return writeJSON(o.Env.Out, report)
	case "yaml":
		b, err := yaml.Marshal(report)
		if err != nil {
			return err
		}
		_, err = o.Env.Out.Write(b)
		return err
	}
	return writeText(o, report)
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
