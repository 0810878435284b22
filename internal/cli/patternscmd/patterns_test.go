package patternscmd

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/correlation/pattern"
)

// The catalogue has every pattern, and explains each in words that leave no template behind.
func TestCatalogue(t *testing.T) {
	all, err := pattern.Builtin()
	require.NoError(t, err)
	var table, wide bytes.Buffer
	require.NoError(t, list(cli.Env{Out: &table}, all, "text"))
	require.NoError(t, list(cli.Env{Out: &wide}, all, "wide"))
	for _, p := range all {
		assert.Contains(t, table.String(), p.Name)
		assert.Contains(t, wide.String(), p.Name)
		text := page(cli.Env{Width: 80}, p)
		for _, part := range []string{p.Name + " (" + string(p.Kind) + ")", "How it is known", "How bad it is"} {
			assert.Contains(t, text, part)
		}
		assert.NotRegexp(t, `\{\{|\.Entity|\.Fact`, text)
	}
}

// A pattern that is written as YAML can be read, as the beginning of one's own.
func TestYAMLIsAPattern(t *testing.T) {
	all, err := pattern.Builtin()
	require.NoError(t, err)
	for _, p := range all {
		var out bytes.Buffer
		require.NoError(t, explain(cli.Env{Out: &out}, all, p.Name, "yaml"))
		same, err := pattern.Parse(out.Bytes())
		if assert.NoError(t, err, p.Name) {
			assert.Equal(t, []pattern.Duration{p.For, p.Keep}, []pattern.Duration{same.For, same.Keep}, p.Name)
			for i := range p.Signals {
				assert.Equal(t, p.Signals[i].Within, same.Signals[i].Within, p.Name)
			}
		}
	}
}

func TestPage(t *testing.T) {
	p, err := pattern.Parse([]byte(`
name: too-slow
summary: It is too slow.
kind: diagnosis
entities: [Container, Pod]
explained_by: [Node]
when: slow && !idle
signals:
  - {id: slow, role: trigger, any: [app.slow, app.very_slow], within: 10m, weight: 0.9}
  - {id: idle, role: context, any: [app.idle], when: value > 0.5}
severity:
  - {is: critical, when: "slow"}
  - {is: info}
title: '{{.Entity.Display}} is too slow'
explanation: It is.
remedies:
  - id: hurry
    title: make {{.Entity.Display}} hurry by {{with .Clause "slow"}}{{whole .Value}}{{end}}
    risk: low
    when: entity.owner_kind == "Deployment"
    commands:
      - run: kubectl hurry {{sh (lower .Entity.Owner.Kind)}}/{{sh .Entity.Owner.Name}} -n {{sh .Entity.Namespace}}
`))
	require.NoError(t, err)
	assert.Equal(t, `too-slow (diagnosis)
  It is too slow.

What can have it
  Container, Pod

How it is known
  slow (trigger): app.slow or app.very_slow, within 10m0s (90 % sure by itself)
  idle (context): app.idle, where value > 0.5
  all in all, where slow && !idle

How bad it is
  critical  where slow
  info      otherwise

What explains it
  It is told as an effect where something is wrong with what it depends on: Node.

What helps
  make <display> hurry by … (risk: low)
    where entity.owner_kind == "Deployment"
    kubectl hurry <owner kind>/<owner name> -n <namespace>
`, page(cli.Env{Width: 100}, p))
}
