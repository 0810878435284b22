package patternscmd

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// page explains a pattern to people.
func page(env cli.Env, p *pattern.Pattern) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n%s\n", env.Paint(cli.Bold, p.Name), p.Kind, cli.Wrap(p.Summary, "  ", env.Width))
	section := func(name, text string) { fmt.Fprintf(&b, "\n%s\n%s\n", env.Paint(cli.Bold, name), text) }
	if len(p.Entities) > 0 {
		section("What can have it", cli.Wrap(strings.ReplaceAll(entities(p), ",", ", "), "  ", env.Width))
	}
	section("How it is known", known(env, p))
	var severities []string
	for _, r := range p.Severity {
		severities = append(severities, fmt.Sprintf("  %-8s  %s", r.Is, condition(r.When, "otherwise")))
	}
	if len(p.Severity) == 1 {
		severities = []string{"  " + string(p.Severity[0].Is)}
	}
	section("How bad it is", strings.Join(severities, "\n"))
	if len(p.ExplainedBy) > 0 {
		var kinds []string
		for _, k := range p.ExplainedBy {
			kinds = append(kinds, string(k))
		}
		section("What explains it", cli.Wrap("It is told as an effect where something is wrong with what it depends on: "+strings.Join(kinds, ", ")+".", "  ", env.Width))
	}
	var foreseen []string
	for _, c := range p.Confirms {
		text := "  " + c.Prediction
		if len(c.By) > 0 {
			text += ", as " + strings.Join(c.By, " or ") + " shows"
		}
		if c.When != "" {
			text += ", where " + flat(c.When)
		}
		foreseen = append(foreseen, text)
	}
	if len(foreseen) > 0 {
		section("What foresees it", strings.Join(foreseen, "\n"))
	}
	if len(p.Remedies) > 0 {
		var lines []string
		for _, r := range p.Remedies {
			lines = append(lines, fmt.Sprintf("  %s (risk: %s)", plain(r.Title), r.Risk))
			if r.When != "" {
				lines = append(lines, "    where "+flat(r.When))
			}
			for _, c := range r.Commands {
				lines = append(lines, "    "+plain(c.Run))
			}
		}
		section("What helps", strings.Join(lines, "\n"))
	}
	return b.String()
}

// known tells the signals of a pattern, and when it is told.
func known(env cli.Env, p *pattern.Pattern) string {
	var lines []string
	if f := p.Forecast; f != nil {
		lines = append(lines, cli.Wrap(fmt.Sprintf("forecast: %s, where %s", f.Resource, flat(f.When)), "  ", env.Width))
	}
	for _, c := range p.Signals {
		text := fmt.Sprintf("%s (%s): %s", c.ID, c.Role, strings.Join(c.Any, " or "))
		if c.When != "" && c.When != "count > 0" {
			text += ", where " + flat(c.When)
		}
		if c.Within > 0 {
			text += ", within " + finding.FormatDuration(time.Duration(c.Within))
		}
		if c.Weight > 0 {
			text += fmt.Sprintf(" (%.0f %% sure by itself)", c.Weight*100)
		}
		if c.Required {
			text += ", required"
		}
		lines = append(lines, cli.Wrap(text, "  ", env.Width))
	}
	if p.When != "" {
		lines = append(lines, cli.Wrap("all in all, where "+flat(p.When), "  ", env.Width))
	}
	if p.For > 0 {
		lines = append(lines, "  told when it has held for "+finding.FormatDuration(time.Duration(p.For)))
	}
	return strings.Join(lines, "\n")
}

func condition(when, otherwise string) string {
	if when == "" {
		return otherwise
	}
	return "where " + flat(when)
}

func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

var (
	// fieldRE is a field of the entity in a text: {{sh .Entity.Name}}, {{.Entity.Owner.Kind}}; actionRE any other part that is filled in.
	fieldRE   = regexp.MustCompile(`\{\{-?[^{}]*\.Entity\.(?:(Owner)\.)?(\w+)\)?[^{}|]*-?\}\}`)
	actionRE  = regexp.MustCompile(`\{\{-?[^{}]*-?\}\}`)
	controlRE = regexp.MustCompile(`\{\{-?\s*(?:if|else|end|with|range|\$\w+ *:?=|/\*)[^{}]*-?\}\}`)
)

// plain writes a text that is filled in for each finding, with names in place of what is filled in.
func plain(text string) string {
	text = controlRE.ReplaceAllString(text, "")
	text = fieldRE.ReplaceAllStringFunc(text, func(action string) string {
		m := fieldRE.FindStringSubmatch(action)
		return "<" + strings.ToLower(strings.TrimSpace(m[1]+" "+m[2])) + ">"
	})
	return flat(actionRE.ReplaceAllString(text, "…"))
}
