package patterntest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/finding"
)

// tick is how often the engine looks at the passing of time.
const tick = time.Second

// Run plays a case to an engine with the given patterns and returns the first expectation that is not met. told hears every finding
// there is where something is expected; it may be nil.
func Run(c *Case, patterns []*pattern.Pattern, told func(finding.Finding)) error {
	engine, err := correlation.New(correlation.Settings{Patterns: patterns, MaxEntities: 1000, MaxFindings: 1000,
		EntityTTL: 10 * time.Minute, Retention: time.Hour, Refresh: 30 * time.Second})
	if err != nil {
		return err
	}
	steps := slices.Clone(c.Steps)
	slices.SortStableFunc(steps, func(a, b Step) int { return int(a.At - b.At) })
	now := time.Duration(0)
	for i, s := range steps {
		for now+tick <= s.At {
			now += tick
			engine.Evaluate(start.Add(now))
		}
		now = s.At
		if s.Batch != nil {
			engine.Observe(start.Add(now), *s.Batch)
		}
		if i+1 == len(steps) || steps[i+1].At > s.At || s.Expect != nil {
			engine.Evaluate(start.Add(now))
		}
		if s.Expect != nil {
			found := engine.Findings()
			for i := 0; told != nil && i < len(found); i++ {
				told(found[i])
			}
			if err := s.Expect.check(c, found); err != nil {
				return fmt.Errorf("case %q, line %d, at %s: %w", c.Name, s.Line, s.At, err)
			}
		}
	}
	return nil
}

func (e *Expect) check(c *Case, fs []finding.Finding) error {
	var problems []string
	for _, f := range fs {
		if e.Pattern != "" && f.Pattern != e.Pattern || f.State != e.State {
			continue
		}
		if e.Entity != "" && f.ID != correlation.ID(f.Pattern, c.Entities[e.Entity].ID) {
			continue
		}
		if e.None {
			return fmt.Errorf("want none, got %s: %s", f.Pattern, f.Title)
		}
		if problem := e.differs(f); problem != "" {
			problems = append(problems, problem)
			continue
		}
		return nil
	}
	if e.None {
		return nil
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s: %s", e.Pattern, strings.Join(problems, "; "))
	}
	var have []string
	for _, f := range fs {
		have = append(have, fmt.Sprintf("%s %s (%s)", f.State, f.Pattern, f.Title))
	}
	return fmt.Errorf("want %s %s, got [%s]", e.State, e.Pattern, strings.Join(have, ", "))
}

func (e *Expect) differs(f finding.Finding) string {
	if e.Severity != "" && f.Severity != e.Severity {
		return fmt.Sprintf("severity is %s, want %s", f.Severity, e.Severity)
	}
	if e.hasConf && (f.Confidence < e.MinConf || f.Confidence > e.MaxConf) {
		return fmt.Sprintf("confidence is %.3f, want %v..%v", f.Confidence, e.MinConf, e.MaxConf)
	}
	if e.hasEvidence && len(f.Evidence) < e.MinEvidence {
		return fmt.Sprintf("has %d pieces of evidence, want at least %d: %v", len(f.Evidence), e.MinEvidence, f.Evidence)
	}
	if e.Within[1] > 0 {
		if f.Forecast == nil {
			return "predicts nothing"
		}
		if at := f.Forecast.At.Sub(start); at < e.Within[0] || at > e.Within[1] {
			return fmt.Sprintf("is predicted for %s, want %s..%s", at, e.Within[0], e.Within[1])
		}
	}
	if e.Outcome && f.Outcome == nil {
		return "says nothing of how right the prediction was"
	}
	text := f.Title + "\n" + f.Explanation
	for _, v := range f.Evidence {
		text += "\n" + v.Text
	}
	for _, r := range f.Remedies {
		text += "\n" + r.Title + "\n" + r.Command
	}
	for _, want := range e.Says {
		if !strings.Contains(text, want) {
			return fmt.Sprintf("does not say %q but:\n%s", want, text)
		}
	}
	return ""
}
