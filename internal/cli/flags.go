package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// OneOf says what is wrong with a flag that has a fixed set of values.
func OneOf(flag, value string, values []string) error {
	if slices.Contains(values, value) {
		return nil
	}
	return fmt.Errorf("%s is %q, want one of %s", flag, value, strings.Join(values, ", "))
}

// FlagError says what is wrong with the value of a flag, in words other than those of Go's parsers.
func FlagError(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	want, known := map[string]string{"int": "a whole number", "float64": "a number", "duration": "a duration such as 30s, 5m or 72h", "bool": "true or false"}[bad.GetFlag().Value.Type()]
	if !known {
		return err
	}
	return fmt.Errorf("--%s is %q, want %s", bad.GetFlag().Name, bad.GetValue(), want)
}

// Entity refuses arguments that do not name one entity: an empty one, as of a variable that is not set, and a kind beside its name.
func Entity(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return fmt.Errorf("want one entity, not %d; a kind and a name are written as %s/%s", len(args), args[0], args[1])
	case len(args) == 1 && args[0] == "":
		return errors.New("the entity's name is empty")
	}
	return nil
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
