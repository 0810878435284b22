package check

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/cli/source"
	"github.com/your-org/tapio/internal/finding"
)

// The command that is shown asks the same source about the same namespace, and runs nothing else.
func TestHint(t *testing.T) {
	pod, node := finding.Entity{Namespace: "shop", Name: "api", Cluster: "east"}, finding.Entity{Name: "n1", Cluster: "east"}
	for _, c := range []struct {
		args   []string
		of     finding.Entity
		from   finding.Source
		query  source.Query
		spaced bool
		want   string
	}{
		{of: pod, want: "api"},
		{of: pod, spaced: true, want: "api -n shop"},
		{of: pod, query: source.Query{Namespace: "shop"}, want: "api -n shop"},
		{of: pod, query: source.Query{All: true}, want: "api -n shop"},
		{of: node, spaced: true, want: "n1"},
		{of: node, query: source.Query{All: true}, want: "n1 -A"},
		// A collector knows a node to be in no namespace; an API server is asked as it was, who asks may see no other.
		{of: node, query: source.Query{Namespace: "shop"}, from: finding.SourceCollector, want: "n1 -A"},
		{of: node, query: source.Query{Namespace: "shop"}, from: finding.SourceAPIServer, want: "n1 -n shop"},
		{of: pod, args: []string{"--endpoint", "localhost:1", "--token-file", "/my token"}, want: "api --endpoint localhost:1 --token-file '/my token'"},
		{of: pod, args: []string{"--context=east", "--kubeconfig=/k", "-l", "app=x"}, want: "api --context east --kubeconfig /k --selector app=x"},
		{of: pod, args: []string{"--context", "west", "--context", "east", "--kubeconfig", "/k"}, want: "api --kubeconfig /k --context east"},
		{of: finding.Entity{Name: `dev-disk-by\x2duuid.device`}, want: `'dev-disk-by\x2duuid.device'`},
		{of: finding.Entity{Name: "-.mount"}, query: source.Query{All: true}, want: "-A -- -.mount"},
		{of: finding.Entity{Name: "a;reboot\n\x1b[2J"}, want: "'a;reboot [2J'"},
	} {
		var from source.Options
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		from.Flags(flags)
		require.NoError(t, flags.Parse(c.args))
		o := &Options{Program: "kubectl tapio", Query: c.query, Several: len(from.Contexts) > 1}
		if o.From = source.Given(flags); o.Several {
			o.From = source.Given(flags, "context")
		}
		assert.Equal(t, "kubectl tapio why "+c.want, o.hint(c.of, c.from, c.spaced))
	}
}
