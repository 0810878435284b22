// Package lines knows what lines of system logs mean: those of the kernel, of systemd, of the kubelet, of container runtimes
// and of clocks. What it knows is data: the files in the folder rules, each rule with real lines that it must know.
package lines

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Source is who wrote a line. A line means something only if it comes from the right one: what a container prints is no
// message of the kernel, whatever it says.
type Source string

// The sources, each with a file of rules.
const (
	Kernel  Source = "kernel"
	Systemd Source = "systemd"
	Kubelet Source = "kubelet"
	Runtime Source = "runtime"
	Clock   Source = "clock"
)

// maxLine is how much of a line is looked at (bytes). What rules look for is at the start of lines; the longest are the
// kubelet's, which repeat an error several times.
const maxLine = 8 << 10

// Found is what a line says.
type Found struct {
	// Kind is the kind of signal.
	Kind string
	// Value and Unit are a quantity the line tells, such as seconds, without its sign; 1 where it tells none.
	Value float64
	Unit  string
	// Text says it in a sentence for people.
	Text string
	// Attributes are the facts of the line by name, e.g. pid.
	Attributes map[string]string
	// About are the resource attributes of what the line is about, beside the node; empty when it is the node itself.
	About map[string]string
	// Cgroup is the path of the cgroup that the line is about, as the memory controller has it; empty when it names none.
	Cgroup string
}

// Rules know lines. They are safe for concurrent use.
type Rules struct{ groups map[Source]*group }

// group is what is known of the lines of one source.
type group struct {
	rules     []*rule
	ids       map[string]*rule
	automaton *automaton
}

// Fields returns the value of a field of the journal's entry that a line is from; empty where it has none.
type Fields func(name string) string

// Find says what a line means. It returns false for a line that says nothing of interest, which is nearly every line. fields
// may be nil.
func (r *Rules) Find(from Source, line string, fields Fields) (Found, bool) {
	g := r.groups[from]
	if g == nil {
		return Found{}, false
	}
	if fields != nil && len(g.ids) > 0 {
		if rule := g.ids[fields("MESSAGE_ID")]; rule != nil {
			return rule.find(line, fields)
		}
	}
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	// The first rule of the file wins, wherever in the line its literal is.
	candidates := uint64(0)
	g.automaton.each(line, func(n int) bool {
		candidates |= 1 << n
		return true
	})
	for n := 0; candidates != 0; n, candidates = n+1, candidates>>1 {
		if candidates&1 == 0 {
			continue
		}
		if f, ok := g.rules[n].find(line, fields); ok {
			return f, true
		}
	}
	return Found{}, false
}

// find holds the rule against a line that has its literal, or whose entry has its id.
func (r *rule) find(line string, fields Fields) (Found, bool) {
	groups := r.match.FindStringSubmatch(line)
	byID := r.ID != "" && fields != nil && fields("MESSAGE_ID") == r.ID
	if groups == nil && !byID {
		return Found{}, false
	}
	f := Found{Kind: r.Kind, Value: 1, Unit: r.Unit, Attributes: map[string]string{}, About: map[string]string{}}
	maps.Copy(f.Attributes, r.Set)
	for i, name := range r.match.SubexpNames() {
		if name != "" && groups != nil && groups[i] != "" {
			f.Attributes[name] = strings.ToValidUTF8(groups[i], "�")
		}
	}
	for name, field := range r.Fields {
		if fields == nil {
			break
		}
		if v := fields(field); v != "" {
			f.Attributes[name] = strings.ToValidUTF8(v, "�")
		}
	}
	if r.Value != "" {
		v, err := strconv.ParseFloat(f.Attributes[r.Value], 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			return Found{}, false
		}
		f.Value = math.Abs(v)
	}
	f.Cgroup = f.Attributes[r.Cgroup]
	for attribute, name := range r.About {
		v := f.Attributes[name]
		if v == "" {
			return Found{}, false // it is not known what it is about
		}
		f.About[attribute] = v
	}
	f.Text = r.text(f.Attributes)
	return f, true
}

// text fills in the sentence.
func (r *rule) text(facts map[string]string) string {
	var b strings.Builder
	for _, p := range r.parts {
		if p.name == "" {
			b.WriteString(p.literal)
		} else {
			b.WriteString(facts[p.name])
		}
	}
	return strings.TrimSpace(b.String())
}

// Kinds are the kinds of signals that lines can tell, sorted.
func (r *Rules) Kinds() []string {
	kinds := map[string]bool{}
	for _, g := range r.groups {
		for _, rule := range g.rules {
			kinds[rule.Kind] = true
		}
	}
	return slices.Sorted(maps.Keys(kinds))
}
