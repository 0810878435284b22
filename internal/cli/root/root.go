// Package root puts the commands of tapio together.
package root

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/cli/check"
	"github.com/your-org/tapio/internal/cli/forecastcmd"
	"github.com/your-org/tapio/internal/cli/patternscmd"
	"github.com/your-org/tapio/internal/cli/promcmd"
	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/cli/versioncmd"
	"github.com/your-org/tapio/internal/cli/why"
	"github.com/your-org/tapio/internal/version"
)

// New returns the command `tapio`, or `kubectl tapio` when program is called kubectl-tapio.
func New(env cli.Env, program string) *cobra.Command {
	from := &source.Options{Now: env.Now}
	cmd := &cobra.Command{
		Use:           "tapio",
		Short:         "Say what is broken, why, what will break next and when, and how to fix it",
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          known,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if strings.HasPrefix(filepath.Base(program), "kubectl") {
		cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl tapio"}
	}
	cmd.SetIn(env.In)
	cmd.SetOut(env.Out)
	cmd.SetErr(env.ErrOut)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.FlagError(err) })
	// Only the commands that read findings have the flags that say where they are.
	for _, c := range []*cobra.Command{check.New(env, from), why.New(env, from), promcmd.New(env, from)} {
		from.Flags(c.Flags())
		cli.CompleteBy(c, "context", func() []string { return from.ContextNames(env.Getenv) })
		cmd.AddCommand(c)
	}
	cmd.AddCommand(patternscmd.New(env), forecastcmd.New(env.In, env.Out, env.ErrOut), versioncmd.New(env))
	return cmd
}

// known refuses what is no command, and names those that may be meant.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q for %q: did you mean %s?", args[0], cmd.CommandPath(), strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown command %q for %q; `%s --help` lists those there are", args[0], cmd.CommandPath(), cmd.CommandPath())
}

// Run runs tapio and returns its exit status. Errors go to ErrOut.
func Run(ctx context.Context, env cli.Env, args []string) int {
	cmd := New(env, args[0])
	cmd.SetArgs(args[1:])
	if filepath.Base(args[0]) == "kubectl_complete-tapio" { // by which kubectl completes what its plugins take
		cmd.SetArgs(append([]string{cobra.ShellCompRequestCmd}, args[1:]...))
	}
	switch err := cmd.ExecuteContext(ctx); {
	case err == nil:
		return cli.ExitOK
	case errors.Is(err, cli.ErrFindings):
		return cli.ExitFindings
	case ctx.Err() != nil:
		return 130 // interrupted, as shells have it
	default:
		fmt.Fprintln(env.ErrOut, "tapio:", cli.Clean(err.Error()))
		return cli.ExitFailed
	}
}
