// Package patternscmd is `tapio patterns`: the catalogue of failure modes, and what each means.
package patternscmd

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/patterns"
)

var outputs = []string{"text", "wide", "json", "yaml"}

// New returns the command.
func New(env cli.Env) *cobra.Command {
	output := "text"
	cmd := &cobra.Command{
		Use:   "patterns [pattern]",
		Short: "List the failure modes that Tapio knows, or explain one",
		Long: `List the failure modes that Tapio knows: their names, whether they foresee or diagnose, and what they are. With a name, explain
that one: by which signals it is known, how bad it is, and what helps. A collector may know more, from a folder of its own.`,
		Example: `  tapio patterns
  tapio patterns crash-loop
  tapio patterns -o json | jq -r '.[].name'`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := cli.OneOf("--output", output, outputs); err != nil {
				return err
			}
			all, err := pattern.Builtin()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return explain(env, all, args[0], output)
			}
			return list(env, all, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "one of "+strings.Join(outputs, ", "))
	cli.Complete(cmd, "output", outputs)
	return cmd
}

// Names are the names of all patterns: those of their files.
func Names() []string {
	files, _ := fs.Glob(patterns.Files, "*.yaml")
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], ".yaml")
	}
	return files
}

// Explain says what a pattern means, for people or, as json or yaml, as it is.
func Explain(env cli.Env, name, output string) error {
	all, err := pattern.Builtin()
	if err != nil {
		return err
	}
	return explain(env, all, name, output)
}

func explain(env cli.Env, all []*pattern.Pattern, name, output string) error {
	i := slices.IndexFunc(all, func(p *pattern.Pattern) bool { return p.Name == name })
	if i < 0 {
		return fmt.Errorf("there is no pattern %q%s; `tapio patterns` lists them", name, near(name, pattern.Names(all)))
	}
	if output == "json" || output == "yaml" {
		return encode(env.Out, output, all[i])
	}
	_, err := io.WriteString(env.Out, page(env, all[i]))
	return err
}

// near names a pattern that has a part of a name.
func near(name string, names []string) string {
	for _, n := range names {
		if name != "" && (strings.Contains(n, name) || strings.Contains(name, n)) {
			return fmt.Sprintf(": did you mean %s?", n)
		}
	}
	return ""
}

func list(env cli.Env, all []*pattern.Pattern, output string) error {
	if output == "json" || output == "yaml" {
		return encode(env.Out, output, all)
	}
	w := tabwriter.NewWriter(env.Out, 0, 4, 2, ' ', 0)
	head, row := "NAME\tKIND\tWHAT IT IS\n", func(p *pattern.Pattern) string { return p.Name + "\t" + string(p.Kind) + "\t" + p.Summary }
	if output == "wide" {
		head = "NAME\tKIND\tENTITIES\tWORST\tSIGNALS\tWHAT IT IS\n"
		row = func(p *pattern.Pattern) string {
			return strings.Join([]string{p.Name, string(p.Kind), entities(p), string(p.Severity[0].Is), strings.Join(signals(p), ","), p.Summary}, "\t")
		}
	}
	fmt.Fprint(w, head)
	for _, p := range all {
		fmt.Fprintln(w, row(p))
	}
	return w.Flush()
}

func encode(out io.Writer, output string, v any) error {
	if output == "yaml" {
		b, err := yaml.Marshal(v)
		if err == nil {
			_, err = out.Write(b)
		}
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func entities(p *pattern.Pattern) string {
	if len(p.Entities) == 0 {
		return "any"
	}
	var names []string
	for _, k := range p.Entities {
		names = append(names, string(k))
	}
	return strings.Join(names, ",")
}

// signals are the kinds of signals by which a pattern is triggered.
func signals(p *pattern.Pattern) []string {
	var all []string
	if p.Forecast != nil {
		all = append(all, p.Forecast.Resource)
	}
	for _, c := range p.Signals {
		if c.Role == pattern.Trigger {
			all = append(all, c.Any...)
		}
	}
	return all
}
