package lines

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Files are the built-in rules, one file for each source.
//
//go:embed rules/*.yaml
var files embed.FS

// maxRules bounds the rules of one source: candidates are a set of bits.
const maxRules = 64

// rule is what a line of one kind looks like and means.
type rule struct {
	// Kind is the kind of signal that the line is.
	Kind string `json:"kind"`
	// From names the source file that prints it.
	From string `json:"from"`
	// Has is text that every such line contains. Only lines that do are held against Match, so it should be rare elsewhere.
	Has string `json:"has"`
	// Match is a regular expression; its named groups become attributes.
	Match string `json:"match"`
	// ID is the MESSAGE_ID that such an entry has in the journal, whatever its words. Fields are the journal's fields that have
	// what the groups of Match have, by the names of those; where an entry has them, they count.
	ID     string            `json:"id,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
	// Set are attributes that do not stand in the line.
	Set map[string]string `json:"set,omitempty"`
	// About says what the line is about: resource attributes, by the group that has the value. Left out: the node.
	About map[string]string `json:"about,omitempty"`
	// Cgroup is the group that has the cgroup path which the line is about.
	Cgroup string `json:"cgroup,omitempty"`
	// Value is the group that has the quantity, and Unit its unit.
	Value string `json:"value,omitempty"`
	Unit  string `json:"unit,omitempty"`
	// Text is the sentence for people; {group} stands for what the group has.
	Text string `json:"text"`
	// Lines are real lines that the rule must know, and Not some that look alike and that no rule may know. They are tests.
	Lines []string `json:"lines"`
	Not   []string `json:"not,omitempty"`

	match *regexp.Regexp
	parts []part
}

// part is a piece of a rule's text: a literal, or the name of a group.
type part struct{ literal, name string }

// Load returns the built-in rules.
func Load() (*Rules, error) {
	folder, err := fs.Sub(files, "rules")
	if err != nil {
		return nil, fmt.Errorf("open the rules of lines: %w", err)
	}
	return load(folder)
}

func load(folder fs.FS) (*Rules, error) {
	names, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the rules of lines: %w", err)
	}
	r := &Rules{groups: map[Source]*group{}}
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("read the rules of lines: %w", err)
		}
		g, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("rules of lines %s: %w", name, err)
		}
		r.groups[Source(strings.TrimSuffix(path.Base(name), ".yaml"))] = g
	}
	return r, nil
}

func parse(text []byte) (*group, error) {
	g := &group{ids: map[string]*rule{}}
	if err := yaml.UnmarshalStrict(text, &g.rules, func(d *json.Decoder) *json.Decoder { d.DisallowUnknownFields(); return d }); err != nil {
		return nil, fmt.Errorf("want a list of rules: %w", err)
	}
	if len(g.rules) > maxRules {
		return nil, fmt.Errorf("has %d rules, want at most %d", len(g.rules), maxRules)
	}
	var literals []string
	for i, rule := range g.rules {
		if rule == nil {
			return nil, fmt.Errorf("[%d] is empty", i)
		}
		if err := rule.compile(); err != nil {
			return nil, fmt.Errorf("[%d] (%s): %w", i, rule.Kind, err)
		}
		literals = append(literals, rule.Has)
		if rule.ID != "" {
			g.ids[rule.ID] = rule
		}
	}
	g.automaton = newAutomaton(literals)
	return g, nil
}

func (r *rule) compile() error {
	if r.Kind == "" || r.From == "" || r.Text == "" || len(r.Lines) == 0 {
		return errors.New("kind, from, text and lines are all needed")
	}
	if len(r.Has) < 4 || strings.ContainsFunc(r.Has, func(c rune) bool { return c < ' ' || c > '~' }) {
		return fmt.Errorf("has is %q, want four characters of ASCII at least", r.Has)
	}
	var err error
	if r.match, err = regexp.Compile(r.Match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	facts := r.match.SubexpNames()
	for name := range r.Set {
		facts = append(facts, name)
	}
	known := func(field, name string) error {
		if name != "" && !slices.Contains(facts, name) {
			return fmt.Errorf("%s is %q, want the name of a group of match", field, name)
		}
		return nil
	}
	errs := []error{known("cgroup", r.Cgroup), known("value", r.Value)}
	for name := range r.Fields {
		errs = append(errs, known("fields", name))
	}
	for attribute, name := range r.About {
		errs = append(errs, known("about."+attribute, name))
	}
	for rest := r.Text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		r.parts = append(r.parts, part{literal: literal})
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return fmt.Errorf("text is %q, want a } for every {", r.Text)
		}
		errs = append(errs, known("text", name))
		r.parts = append(r.parts, part{name: name})
		rest = after
	}
	return errors.Join(errs...)
}
