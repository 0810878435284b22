// Package why is `tapio why`: the story behind a finding, with its evidence in order.
package why

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/source"
)

// Options are what the command was asked.
type Options struct {
	Env    cli.Env
	Source source.Source
	// Subject is an entity or the id of a finding.
	Subject   string
	Namespace string
	All       bool
	Output    string
	// Again is the command as the user typed it, without the subject, and the flags that say where to look.
	Again, From string
	// Profile is how long to look at who holds its memory; 0: not at all. Pprof is the file that the profile goes to.
	Profile time.Duration
	Pprof   string
	// Errors is how long to look at which of its system calls fail; 0: not at all.
	Errors time.Duration
}

var outputs = []string{"text", "json", "yaml"}

// New returns the command.
func New(env cli.Env, from *source.Options) *cobra.Command {
	o := &Options{Env: env}
	cmd := &cobra.Command{
		Use:   "why <entity or finding id>",
		Short: "Tell the story behind a finding: evidence, cause, and what helps",
		Long: `Tell the story behind what is found about an entity, or behind one finding by its id: the course of the resource, the
evidence in order, the cause, how sure that is and how it was reached, and what helps. What is over is told as well.`,
		Example: `  tapio why api-service
  tapio why deploy/api -n shop --context production
  tapio why 4f1c2a9be0d37718 -o json
  tapio why api-service --profile 30s --pprof leak.pb.gz
  tapio why api-service --errors 5s`,
		Args:              subject,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Subject = args[0]
			if err := cli.OneOf("--output", o.Output, outputs); err != nil {
				return err
			}
			if err := o.checkLook(); err != nil {
				return err
			}
			flags := source.Given(cmd.Flags())
			if o.All {
				flags = append(flags, "-A")
			} else if o.Namespace != "" {
				flags = append(flags, "-n", o.Namespace)
			}
			o.Again, o.From = cmd.CommandPath(), cli.Words(flags)
			var err error
			if o.Source, err = from.Open(env.Getenv); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "text", "one of text, json, yaml")
	cmd.Flags().StringVarP(&o.Namespace, "namespace", "n", "", "the Kubernetes namespace of the entity")
	cmd.Flags().BoolVarP(&o.All, "all-namespaces", "A", false, "look in all namespaces (the default where the kubeconfig's context names none)")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	cmd.Flags().DurationVar(&o.Profile, "profile", 0, "have the collector look for that long at who holds the entity's memory (5s to 2m)")
	cmd.Flags().StringVar(&o.Pprof, "pprof", "", "write what is held to this `file`, for go tool pprof; wants --profile")
	cmd.Flags().DurationVar(&o.Errors, "errors", 0, "have the collector look for that long at which system calls of the entity fail because something is exhausted (1s to 30s)")
	cmd.MarkFlagsMutuallyExclusive("profile", "errors")
	cli.Complete(cmd, "output", outputs)
	return cmd
}

// subject wants an entity, or an id.
func subject(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want an entity, or the id of a finding; `%s check` shows those there are", cmd.Root().CommandPath())
	}
	return cli.Entity(cmd, args)
}

func run(ctx context.Context, o *Options) error {
	if o.Profile > 0 || o.Errors > 0 {
		a, err := look(ctx, o)
		if err != nil {
			return err
		}
		tell := tellHolders
		if o.Errors > 0 {
			tell = tellFailures
		}
		return o.write(a, func() error { return tell(o.Env, a) })
	}
	fs, known, err := find(ctx, o)
	if err != nil {
		return err
	}
	return o.write(fs, func() error { return tell(o, fs, known) })
}

// write writes something in the form that was asked for.
func (o *Options) write(v any, text func() error) (err error) {
	switch o.Output {
	case "json":
		err = cli.WriteJSON(o.Env.Out, v)
	case "yaml":
		err = cli.WriteYAML(o.Env.Out, v)
	default:
		err = text()
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
