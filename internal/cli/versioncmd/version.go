// Package versioncmd is `tapio version`.
package versioncmd

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/version"
)

// New returns the command.
func New(env cli.Env) *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Tell version, commit and collector train",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := cli.OneOf("--output", output, []string{"text", "json"}); err != nil {
				return err
			}
			info := version.Get()
			if output == "json" {
				enc := json.NewEncoder(env.Out)
				enc.SetIndent("", "  ")
				return enc.Encode(info)
			}
			_, err := fmt.Fprintln(env.Out, "tapio", info)
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cli.Complete(cmd, "output", []string{"text", "json"})
	return cmd
}
