package check

import (
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
)

// hint is the command that tells the story of a finding: pasted, it asks the same source about the same namespace. Spaced says that there
// are findings in several.
func (o *Options) hint(e finding.Entity, from finding.Source, spaced bool) string {
	flags, q := slices.Clone(o.From), o.Query
	if o.Several { // it has the name that it has in one of them
		flags = append(flags, "--context", e.Cluster)
	}
	switch {
	case e.Namespace != "" && (spaced || q.All || q.Namespace != ""):
		flags = append(flags, "-n", e.Namespace)
	case e.Namespace == "" && q.Namespace != "" && from == finding.SourceAPIServer:
		flags = append(flags, "-n", q.Namespace) // from where it was seen, which may be all that may be looked at
	case q.All || q.Namespace != "":
		flags = append(flags, "-A") // to a collector it is in no namespace
	}
	words := append([]string{e.Display()}, flags...)
	if strings.HasPrefix(e.Display(), "-") { // -.mount is no flag
		words = append(flags, "--", e.Display())
	}
	return o.Program + " why " + cli.Words(words)
}
