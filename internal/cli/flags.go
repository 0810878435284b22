package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// OneOf says what is wrong with a flag that has a fixed set of values.
func OneOf(flag, value string, values []string) error {
	if slices.Contains(values, value) {
		return nil
	}
	return fmt.Errorf("%s is %q, want one of %s", flag, value, strings.Join(values, ", "))
}

// CompleteBy lets shells complete the values of a flag that are known when they are asked for.
func CompleteBy(cmd *cobra.Command, flag string, values func() []string) {
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the flag was not defined: a mistake in this program
	}
}

// Complete lets shells complete the values of a flag.
func Complete(cmd *cobra.Command, flag string, values []string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was not defined: a mistake in this program
	}
}
