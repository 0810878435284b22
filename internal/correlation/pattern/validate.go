package pattern

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
)

// validate reports everything that is wrong with a pattern's fields, but for conditions and texts.
func (p *Pattern) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameRE.MatchString(p.Name) {
		bad("name is %q, want kebab-case such as oom-killed", p.Name)
	}
	if p.Summary == "" {
		bad("summary is empty, want one sentence")
	}
	if p.Title == "" {
		bad("title is empty")
	}
	if p.Explanation == "" {
		bad("explanation is empty")
	}
	switch p.Kind {
	case finding.Prediction:
		if p.Forecast == nil {
			bad("forecast is missing: a prediction needs one")
		} else if p.Forecast.Resource == "" || p.Forecast.Event == "" || p.Forecast.When == "" {
			bad("forecast: resource, event and when are all needed")
		}
	case finding.Diagnosis:
		if p.Forecast != nil {
			bad("forecast: a diagnosis has none")
		}
		if !slices.ContainsFunc(p.Signals, func(c *Clause) bool { return c != nil && c.Role == Trigger }) {
			bad("signals: a diagnosis needs one of role trigger")
		}
	default:
		bad("kind is %q, want prediction or diagnosis", p.Kind)
	}
	kinds := func(field string, all []entity.Kind) {
		for i, k := range all {
			alike := slices.IndexFunc(entity.Kinds, func(known entity.Kind) bool { return strings.EqualFold(string(known), string(k)) })
			switch {
			case alike >= 0 && entity.Kinds[alike] != k:
				bad("%s[%d] is %q, want %s", field, i, k, entity.Kinds[alike])
			case !kindRE.MatchString(string(k)):
				bad("%s[%d] is %q, want a kind of entity such as Container or Node", field, i, k)
			}
		}
	}
	kinds("entities", p.Entities)
	kinds("explained_by", p.ExplainedBy)
	if p.Ask != nil && !slices.Contains(attribution.Kinds, p.Ask.For) {
		bad("ask.for is %q, want memory or errors", p.Ask.For)
	}
	if n := len(p.Severity); n == 0 {
		bad("severity is empty, want a list of {is, when} whose last has no when")
	} else if p.Severity[n-1].When != "" {
		bad("severity[%d].when: the last rule must hold always", n-1)
	}
	for i, r := range p.Severity {
		if r.Is.Rank() == 0 {
			bad("severity[%d].is is %q, want critical, warning or info", i, r.Is)
		}
	}
	ids := map[string]bool{}
	for i, c := range p.Signals {
		if c == nil {
			bad("signals[%d] is empty", i)
			continue
		}
		if !idRE.MatchString(c.ID) || ids[c.ID] || reserved[c.ID] {
			bad("signals[%d].id is %q, want an identifier such as limit_hit that occurs once and is none of %s", i, c.ID, strings.Join(ReservedNames(), ", "))
		}
		ids[c.ID] = true
		switch c.Role {
		case Trigger, Cause, Symptom, Context:
		default:
			bad("signals[%d].role is %q, want trigger, cause, symptom or context", i, c.Role)
		}
		if len(c.Any) == 0 {
			bad("signals[%d].any is empty, want kinds of signals", i)
		}
		if !(c.Weight >= 0 && c.Weight < 1) {
			bad("signals[%d].weight is %v, want a probability from 0 to below 1", i, c.Weight)
		}
		if p.Kind == finding.Diagnosis && c.Role == Trigger && c.Weight == 0 {
			bad("signals[%d].weight is 0: a trigger must make the diagnosis likely", i)
		}
		if c.Within < 0 {
			bad("signals[%d].within is negative", i)
		}
	}
	for i, c := range p.Confirms {
		if c.Prediction == "" {
			bad("confirms[%d].prediction is empty, want the name of a pattern of kind prediction", i)
		}
		for j, id := range c.By {
			if !slices.ContainsFunc(p.Signals, func(c *Clause) bool { return c != nil && c.ID == id && c.Role == Trigger }) {
				bad("confirms[%d].by[%d] is %q, want the id of a signal of role trigger", i, j, id)
			}
		}
	}
	for i, r := range p.Remedies {
		if !nameRE.MatchString(r.ID) || r.Title == "" {
			bad("remedies[%d]: id (kebab-case) and title are needed", i)
		}
		switch r.Risk {
		case finding.RiskNone, finding.RiskLow, finding.RiskHigh:
		default:
			bad("remedies[%d].risk is %q, want none, low or high", i, r.Risk)
		}
		for j, c := range r.Commands {
			if c.Run == "" {
				bad("remedies[%d].commands[%d].run is empty, want a command", i, j)
			}
		}
	}
	if p.For < 0 || p.Keep < 0 {
		bad("for and keep must not be negative")
	}
	return errors.Join(errs...)
}
