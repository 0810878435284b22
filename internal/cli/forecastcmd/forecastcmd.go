// Package forecastcmd is `tapio forecast`: Tapio's predictions on a history that people already have, so that they can check
// them before they trust them. docs/forecasting.md explains the method.
package forecastcmd

import (
	"io"

	"github.com/spf13/cobra"
)

// New returns the command. It reads in and writes out; errOut is for what cobra prints itself.
func New(in io.Reader, out, errOut io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forecast",
		Short: "Forecast OOM kills from memory samples you already have",
		Long: `Reads memory samples as JSON lines and answers each with a forecast, before it reads the next:

  {"trace":"id","limit":134217728}                  starts a trace (limit in bytes); no answer
  {"t":15,"usage":…,"anon":…,"file":…,"shmem":…}    a sample (seconds, bytes); answered with {} for silence, or
                                                    {"oom_at":…,"lo":…,"hi":…,"confidence":…}`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return Run(cmd.Context(), in, out) },
	}
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(errOut)
	return cmd
}
