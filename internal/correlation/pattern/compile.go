package pattern

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/template"

	"github.com/google/cel-go/cel"
)

// costLimit bounds the work of one evaluation of one condition, in CEL's cost units; ours take some 20.
const costLimit = 100_000

// reserved are the names that conditions have beside the clauses' ids.
var reserved = map[string]bool{
	"value": true, "count": true, "sum": true, "rate": true, "age": true, "triggered": true, "after": true, "text": true, "attributes": true,
	"r": true, "increase": true, "entity": true, "confidence": true, "eta": true, "facts": true,
}

// ReservedNames are the names that conditions have beside the ids of evidence.
func ReservedNames() []string { return slices.Sorted(maps.Keys(reserved)) }

// common are the variables of every condition: the latest readings by kind, how much counters grew between the last two
// readings, and the entity's own facts.
func common() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("r", cel.MapType(cel.StringType, cel.DoubleType)),
		cel.Variable("increase", cel.MapType(cel.StringType, cel.DoubleType)),
		cel.Variable("entity", cel.MapType(cel.StringType, cel.StringType)),
		cel.CrossTypeNumericComparisons(true),
	}
}

// clauseEnv has what a clause's condition is about: the reading or the events in its window.
func clauseEnv() (*cel.Env, error) {
	return cel.NewEnv(append(common(),
		cel.Variable("value", cel.DoubleType),     // of the reading, or of the latest event
		cel.Variable("count", cel.IntType),        // events in the window, or 1 for a fresh reading
		cel.Variable("sum", cel.DoubleType),       // of the events' values
		cel.Variable("rate", cel.DoubleType),      // sum per second of the window
		cel.Variable("age", cel.DoubleType),       // seconds since the latest
		cel.Variable("triggered", cel.DoubleType), // seconds since the latest trigger; triggers and what is required come first
		cel.Variable("after", cel.DoubleType),     // seconds from the latest trigger to the latest
		cel.Variable("text", cel.StringType),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.StringType)),
	)...)
}

// patternEnv has a boolean for each clause, and the forecast.
func (p *Pattern) patternEnv() (*cel.Env, error) {
	opts := append(common(), cel.Variable("confidence", cel.DoubleType), cel.Variable("eta", cel.DoubleType),
		cel.Variable("facts", cel.MapType(cel.StringType, cel.StringType))) // the attributes of the triggers
	for _, c := range p.Signals {
		opts = append(opts, cel.Variable(c.ID, cel.BoolType))
	}
	return cel.NewEnv(opts...)
}

// askEnv has the forecast, and no evidence: a forecast may be too weak to be told.
func askEnv() (*cel.Env, error) {
	return cel.NewEnv(append(common(), cel.Variable("confidence", cel.DoubleType), cel.Variable("eta", cel.DoubleType))...)
}

func condition(env *cel.Env, field, text string) (cel.Program, error) {
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("%s: %w", field, issues.Err())
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("%s: gives %s, want a condition that is true or false", field, ast.OutputType())
	}
	prog, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return prog, nil
}

func (p *Pattern) compile() error {
	clauses, err := clauseEnv()
	if err != nil {
		return fmt.Errorf("make the conditions' environment: %w", err)
	}
	whole, err := p.patternEnv()
	if err != nil {
		return fmt.Errorf("make the conditions' environment: %w", err)
	}
	ask, err := askEnv()
	if err != nil {
		return fmt.Errorf("make the conditions' environment: %w", err)
	}
	var errs []error
	cond := func(env *cel.Env, field, text string) cel.Program {
		if text == "" {
			return nil
		}
		prog, err := condition(env, field, text)
		errs = append(errs, err)
		return prog
	}
	tmpl := func(field, text string) *template.Template {
		if text == "" {
			return nil
		}
		t, err := template.New(field).Funcs(texts).Option("missingkey=error").Parse(text)
		if err == nil {
			err = p.check(t)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
		return t
	}
	for i, c := range p.Signals {
		if c.When == "" {
			c.When = "count > 0"
		}
		c.when = cond(clauses, fmt.Sprintf("signals[%d].when", i), c.When)
		c.text = tmpl(fmt.Sprintf("signals[%d].text", i), c.Text)
	}
	p.when, p.ownCause = cond(whole, "when", p.When), cond(whole, "own_cause", p.OwnCause)
	if f := p.Forecast; f != nil {
		if f.Until == "" {
			f.Until = f.When
		}
		f.when, f.until = cond(whole, "forecast.when", f.When), cond(whole, "forecast.until", f.Until)
	}
	for i := range p.Confirms {
		p.Confirms[i].when = cond(whole, fmt.Sprintf("confirms[%d].when", i), p.Confirms[i].When)
	}
	if p.Ask != nil {
		p.Ask.when = cond(ask, "ask.when", p.Ask.When)
	}
	for i := range p.Severity {
		p.Severity[i].when = cond(whole, fmt.Sprintf("severity[%d].when", i), p.Severity[i].When)
	}
	for i := range p.Remedies {
		r := &p.Remedies[i]
		r.when = cond(whole, fmt.Sprintf("remedies[%d].when", i), r.When)
		r.title = tmpl(fmt.Sprintf("remedies[%d].title", i), r.Title)
		for j := range r.Commands {
			c := &r.Commands[j]
			c.when = cond(whole, fmt.Sprintf("remedies[%d].commands[%d].when", i, j), c.When)
			c.run = tmpl(fmt.Sprintf("remedies[%d].commands[%d].run", i, j), c.Run)
		}
	}
	p.title, p.brief, p.explanation = tmpl("title", p.Title), tmpl("brief", p.Brief), tmpl("explanation", p.Explanation)
	p.shared, p.peer = tmpl("shared", p.Shared), tmpl("peer", p.Peer)
	return errors.Join(errs...)
}
