// Package patterntest runs the tests of patterns: small texts that say which signals come when, and which findings are
// expected of them. patterns/README.md describes the language.
package patterntest

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/finding"
)

const (
	maxLines = 10_000
	maxSteps = 100_000
)

// Case is one test: what happens in order of time.
type Case struct {
	Name     string
	Line     int
	Entities map[string]entity.Entity
	Steps    []Step
}

// Step is something at a time: a signal, or an expectation.
type Step struct {
	At   time.Duration
	Line int
	// Batch is what is observed; Expect is what must be told. One of both is set.
	Batch  *signal.Batch
	Expect *Expect
}

// Expect is what must be true of the findings at a time.
type Expect struct {
	// None says that there must be no active finding at all, or none of Pattern, or none about Entity.
	None    bool
	Pattern string
	Entity  string
	// The rest is checked where it is given.
	Severity             finding.Severity
	State                finding.State
	MinConf, MaxConf     float64
	MinEvidence          int
	Within               [2]time.Duration // of the predicted event, since the start
	Says                 []string         // title, explanation, evidence or remedies contain these
	Outcome              bool
	hasConf, hasEvidence bool
}

// start is the time that 0s stands for.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Parse reads a test file. Every error names the line and what would be right.
func Parse(text string) ([]*Case, error) {
	var cases []*Case
	var c *Case
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		if n > maxLines {
			return nil, fmt.Errorf("line %d: a test file has at most %d lines", n, maxLines)
		}
		words, err := split(sc.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(words) == 0 {
			continue
		}
		if words[0] == "case" {
			c = &Case{Name: strings.Join(words[1:], " "), Line: n, Entities: map[string]entity.Entity{}}
			cases = append(cases, c)
			continue
		}
		if c == nil {
			return nil, fmt.Errorf("line %d: want `case NAME` first", n)
		}
		if err := c.line(n, words); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read test file: %w", err)
	}
	return cases, nil
}

func (c *Case) line(n int, words []string) error {
	if words[0] == "entity" {
		return c.entity(words[1:])
	}
	from, to, every, err := times(words[0])
	if err != nil {
		return err
	}
	if len(words) < 3 {
		return fmt.Errorf("want TIME SHAPE ENTITY … or TIME expect …")
	}
	if words[1] == "expect" {
		e, err := expectation(words[2:])
		if err != nil {
			return err
		}
		if e.Entity != "" && c.Entities[e.Entity].ID == "" {
			return fmt.Errorf("entity %q is not declared", e.Entity)
		}
		for at := from; at <= to; at += every {
			if err := c.add(Step{At: at, Line: n, Expect: e}); err != nil {
				return err
			}
		}
		return nil
	}
	for at := from; at <= to; at += every {
		b, err := c.batch(words[1:], at, from)
		if err != nil {
			return err
		}
		if err := c.add(Step{At: at, Line: n, Batch: b}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Case) add(s Step) error {
	if len(c.Steps) >= maxSteps {
		return fmt.Errorf("a case has at most %d steps", maxSteps)
	}
	c.Steps = append(c.Steps, s)
	return nil
}

// entity reads `entity NAME attribute=value …`.
func (c *Case) entity(words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("want entity NAME attribute=value …")
	}
	attrs := attributes{}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("%q is no attribute=value", w)
		}
		attrs[name] = value
	}
	e, ok := entity.New(attrs, "node-1")
	if !ok {
		return fmt.Errorf("the attributes name no entity: want container.id, k8s.pod.uid, systemd.unit or cgroup.path")
	}
	c.Entities[words[0]] = e
	return nil
}

type attributes map[string]string

// String returns the attribute's value, or "".
func (a attributes) String(name string) string { return a[name] }

// batch reads `SHAPE ENTITY KIND VALUE[+PER_SECOND] [layer=…] [text=…] [attribute=…]`.
func (c *Case) batch(words []string, at, from time.Duration) (*signal.Batch, error) {
	if len(words) < 4 {
		return nil, fmt.Errorf("want SHAPE ENTITY KIND VALUE, with SHAPE event, gauge or counter")
	}
	e, ok := c.Entities[words[1]]
	if !ok {
		return nil, fmt.Errorf("entity %q is not declared", words[1])
	}
	s := signal.Signal{Time: start.Add(at), Kind: words[2], Layer: finding.LayerCgroup, Entity: e.ID}
	switch words[0] {
	case "event":
		s.Shape = signal.Event
	case "gauge":
		s.Shape = signal.Gauge
	case "counter":
		s.Shape = signal.Counter
	default:
		return nil, fmt.Errorf("shape is %q, want event, gauge or counter", words[0])
	}
	base, slope, grows := strings.Cut(words[3], "+")
	v, err := quantity(base)
	if err != nil {
		return nil, err
	}
	if grows {
		per, err := quantity(strings.TrimSuffix(slope, "/s"))
		if err != nil {
			return nil, err
		}
		v += per * (at - from).Seconds()
	}
	s.Value = v
	for _, w := range words[4:] {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case !ok:
			return nil, fmt.Errorf("%q is no name=value", w)
		case name == "layer":
			s.Layer = finding.Layer(value)
		case name == "text":
			s.Text = value
		default:
			if s.Attributes == nil {
				s.Attributes = map[string]string{}
			}
			s.Attributes[name] = value
		}
	}
	return &signal.Batch{Entity: e, Signals: []signal.Signal{s}}, nil
}

// expectation reads `none [PATTERN] [on=ENTITY]` or `PATTERN [on=ENTITY] [severity] [resolved] [confidence=a..b] [evidence>=n] [within=a..b]
// [says=text] [outcome]`.
func expectation(words []string) (*Expect, error) {
	e := &Expect{State: finding.Active}
	if words[0] == "none" {
		e.None = true
		for i, w := range words[1:] {
			if name, value, ok := strings.Cut(w, "="); ok && name == "on" {
				e.Entity = value
			} else if i == 0 && !ok {
				e.Pattern = w
			} else {
				return nil, fmt.Errorf("%q is no part of expect none [PATTERN] [on=ENTITY]", w)
			}
		}
		return e, nil
	}
	e.Pattern = words[0]
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		var err error
		switch {
		case name == "on":
			e.Entity = value
		case finding.Severity(w).Rank() > 0:
			e.Severity = finding.Severity(w)
		case w == string(finding.Resolved):
			e.State = finding.Resolved
		case w == "outcome":
			e.Outcome = true
		case name == "confidence":
			e.hasConf = true
			low, high, ok := strings.Cut(value, "..")
			if !ok {
				return nil, fmt.Errorf("confidence is %q, want a range such as 0.8..1", value)
			}
			if e.MinConf, err = strconv.ParseFloat(low, 64); err == nil {
				e.MaxConf, err = strconv.ParseFloat(high, 64)
			}
		case name == "within":
			low, high, ok := strings.Cut(value, "..")
			if !ok {
				return nil, fmt.Errorf("within is %q, want a range such as 5m..8m", value)
			}
			if e.Within[0], err = time.ParseDuration(low); err == nil {
				e.Within[1], err = time.ParseDuration(high)
			}
		case strings.HasPrefix(w, "evidence>="):
			e.hasEvidence = true
			e.MinEvidence, err = strconv.Atoi(strings.TrimPrefix(w, "evidence>="))
		case name == "says":
			e.Says = append(e.Says, value)
		default:
			return nil, fmt.Errorf("%q is no expectation", w)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", w, err)
		}
	}
	return e, nil
}

// times reads `10s` or `0s..5m/10s`.
func times(w string) (from, to, every time.Duration, err error) {
	span, step, repeated := strings.Cut(w, "/")
	low, high, ranged := strings.Cut(span, "..")
	if ranged != repeated {
		return 0, 0, 0, fmt.Errorf("time is %q, want 10s, or a range with a step such as 0s..5m/10s", w)
	}
	if from, err = time.ParseDuration(low); err != nil {
		return 0, 0, 0, fmt.Errorf("time is %q, want 10s, or a range with a step such as 0s..5m/10s", w)
	}
	to, every = from, time.Hour
	if ranged {
		if to, err = time.ParseDuration(high); err == nil {
			every, err = time.ParseDuration(step)
		}
		if err != nil || every < time.Millisecond || to < from || (to-from)/every > maxSteps {
			return 0, 0, 0, fmt.Errorf("time is %q, want a range with a step such as 0s..5m/10s", w)
		}
	}
	if from < 0 || to > 365*24*time.Hour {
		return 0, 0, 0, fmt.Errorf("time is %q, want one between 0s and a year", w)
	}
	return from, to, every, nil
}

// quantity reads a number with an optional binary suffix: 128Mi.
func quantity(s string) (float64, error) {
	scale := 1.0
	for suffix, f := range map[string]float64{"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30} {
		if strings.HasSuffix(s, suffix) {
			s, scale = strings.TrimSuffix(s, suffix), f
			break
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number such as 12 or 128Mi", s)
	}
	return v * scale, nil
}

// split cuts a line into words at blanks; double quotes keep blanks together, # starts a comment.
func split(line string) ([]string, error) {
	var words []string
	var w strings.Builder
	quoted, some := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, some = !quoted, true
		case r == '#' && !quoted && !some:
			return words, nil
		case (r == ' ' || r == '\t') && !quoted:
			if some {
				words = append(words, w.String())
				w.Reset()
				some = false
			}
		default:
			w.WriteRune(r)
			some = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a double quote is not closed")
	}
	if some {
		words = append(words, w.String())
	}
	return words, nil
}
