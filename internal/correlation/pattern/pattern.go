// Package pattern holds failure modes as data: which signals make one up, in what order and window, how much each weighs,
// what to tell people and what helps. A pattern is a YAML file; conditions are CEL, texts are Go templates.
package pattern

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"

	"github.com/google/cel-go/cel"

	"github.com/your-org/tapio/internal/attribution"
	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/patterns"
)

// maxFile bounds a pattern file (bytes); the largest of ours has some 3 KiB.
const maxFile = 256 << 10

// Pattern is one known failure mode.
type Pattern struct {
	// Name is what people call the failure mode, in kebab-case: `oom-killed`.
	Name string `json:"name"`
	// Summary says in one sentence what it is.
	Summary string `json:"summary"`
	// Kind is prediction or diagnosis.
	Kind finding.Kind `json:"kind"`
	// Entities are the kinds of entities that can have it; empty: all.
	Entities []entity.Kind `json:"entities,omitempty"`
	// Forecast is the forecast that a prediction rests on.
	Forecast *Forecast `json:"forecast,omitempty"`
	// Ask is what is worth finding out on demand; nil: nothing.
	Ask *Ask `json:"ask,omitempty"`
	// Signals are the pieces of evidence.
	Signals []*Clause `json:"signals,omitempty"`
	// When is a CEL condition over the clauses' ids; default: at least one trigger, and all that are required.
	When string `json:"when,omitempty"`
	// Severity is decided by the first rule that holds; the last one has no condition.
	Severity []Rule `json:"severity"`
	// For is how long the conditions must hold before anybody is told.
	For Duration `json:"for,omitempty"`
	// Keep is how long the finding stays active after the conditions ceased to hold.
	Keep Duration `json:"keep,omitempty"`
	// Confirms are the predictions that this diagnosis makes true. In YAML the name of one is enough.
	Confirms Confirmations `json:"confirms,omitempty"`
	// ExplainedBy are the kinds of entities of which a finding may be the cause of this one, where the entity depends on them. It is
	// then told as that finding's effect.
	ExplainedBy []entity.Kind `json:"explained_by,omitempty"`
	// Shared names what has to be put right (a text, optional): findings of this pattern that have it in common have one cause, and
	// are told as one. Empty: each has its own.
	Shared string `json:"shared,omitempty"`
	// Peer is whom the entity wants to reach, by address and port (a text, optional): the cause is looked for there.
	Peer string `json:"peer,omitempty"`
	// OwnCause is a CEL condition under which it has a cause of its own, whatever is wrong with what the entity depends on.
	OwnCause string `json:"own_cause,omitempty"`
	// Title is the headline, Brief the matter in a few words (optional), Explanation the story. A prediction's title begins with
	// the entity and ends with the countdown, `{{soon (.In .Forecast.At)}}`.
	Title       string   `json:"title"`
	Brief       string   `json:"brief,omitempty"`
	Explanation string   `json:"explanation"`
	Remedies    []Remedy `json:"remedies,omitempty"`

	when        cel.Program
	title       *template.Template
	brief       *template.Template
	explanation *template.Template
	shared      *template.Template
	peer        *template.Template
	ownCause    cel.Program
}

// Forecast says which resource a prediction is about and when it is worth telling.
type Forecast struct {
	// Resource is the kind of resource: memory, pids, …
	Resource string `json:"resource"`
	// Event is what happens at the limit: oom_kill, …
	Event string `json:"event"`
	// When is a CEL condition over `confidence` (0 to 1) and `eta` (seconds) under which a prediction begins to be told;
	// Until, one under which it goes on being told. A gap between both keeps a prediction from flapping.
	When  string `json:"when"`
	Until string `json:"until,omitempty"`

	when, until cel.Program
}

// Ask is what to find out on demand, because it is too dear to watch always.
type Ask struct {
	// For is what: memory or errors.
	For attribution.Kind `json:"for"`
	// When is a CEL condition. A prediction asks under it whether or not it is told yet, as soon as there is a forecast; a diagnosis,
	// while it holds. Default: always.
	When string `json:"when,omitempty"`

	when cel.Program
}

// Confirmations are the predictions that a diagnosis makes true.
type Confirmations []Confirmation

// Confirmation is a prediction that a diagnosis makes true.
type Confirmation struct {
	// Prediction is the name of its pattern.
	Prediction string `json:"prediction"`
	// By are the ids of the triggers that show it; empty: any does.
	By []string `json:"by,omitempty"`
	// When is a CEL condition beside that.
	When string `json:"when,omitempty"`

	when cel.Program
}

// Shows says whether a clause, where it matches, shows that the prediction came true.
func (c *Confirmation) Shows(by *Clause) bool {
	return by.Role == Trigger && (len(c.By) == 0 || slices.Contains(c.By, by.ID))
}

// Clause is one piece of evidence.
type Clause struct {
	// ID is the clause's name in conditions and texts: an identifier.
	ID string `json:"id"`
	// Role is what the signal is in the story: trigger, cause, symptom or context. A pattern needs a trigger to hold.
	Role Role `json:"role"`
	// Any lists the kinds of signals, of whatever layer, that count for the clause.
	Any []string `json:"any"`
	// When is a CEL condition; default `count > 0`.
	When string `json:"when,omitempty"`
	// Within is how far back events count. Required for events; readings count while they are fresh.
	Within Duration `json:"within,omitempty"`
	// Per is an attribute: events count together that have the same value of it, and of these the condition asks, those with the largest
	// sum first. Empty: all events count together.
	Per string `json:"per,omitempty"`
	// Required makes the clause a condition of the pattern.
	Required bool `json:"required,omitempty"`
	// Weight is the probability that the pattern holds, given this evidence alone (0 to 1, exclusive of 1).
	Weight float64 `json:"weight,omitempty"`
	// Text is the sentence for the evidence; default: the signal's own.
	Text string `json:"text,omitempty"`

	when cel.Program
	text *template.Template
}

// Role is what a signal is in the story that a pattern tells.
type Role string

// The roles.
const (
	Trigger Role = "trigger"
	Cause   Role = "cause"
	Symptom Role = "symptom"
	Context Role = "context"
)

// Rule gives a severity under a condition.
type Rule struct {
	Is   finding.Severity `json:"is"`
	When string           `json:"when,omitempty"`

	when cel.Program
}

// Remedy is something that helps, shown where its condition holds.
type Remedy struct {
	ID    string       `json:"id"`
	Title string       `json:"title"`
	Risk  finding.Risk `json:"risk"`
	When  string       `json:"when,omitempty"`
	// Commands are ways to apply it; the first whose condition holds is shown.
	Commands []Command `json:"commands,omitempty"`

	when  cel.Program
	title *template.Template
}

// Command is one way to apply a remedy.
type Command struct {
	When string `json:"when,omitempty"`
	Run  string `json:"run"`

	when cel.Program
	run  *template.Template
}

var (
	nameRE = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	idRE   = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	kindRE = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
)

// builtin are compiled once, which takes a while: a pattern does not change.
var builtin = sync.OnceValues(func() ([]*Pattern, error) { return Load(patterns.Files) })

// Builtin returns the patterns of this program, sorted by name.
func Builtin() ([]*Pattern, error) {
	all, err := builtin()
	if err != nil {
		return nil, fmt.Errorf("built-in patterns: %w", err)
	}
	return slices.Clone(all), nil
}

// Load reads every *.yaml file at the top of a folder, sorted by name. Two patterns of one name are an error.
func Load(folder fs.FS) ([]*Pattern, error) {
	files, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list pattern files: %w", err)
	}
	if other, err := fs.Glob(folder, "*.yml"); err == nil && len(other) > 0 {
		return nil, fmt.Errorf("pattern file %s: want a name that ends in .yaml", other[0]) // or it would be passed over in silence
	}
	var all []*Pattern
	for _, name := range files {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("read pattern: %w", err)
		}
		p, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("pattern file %s: %w", name, err)
		}
		if want := strings.TrimSuffix(path.Base(name), ".yaml"); p.Name != want {
			return nil, fmt.Errorf("pattern file %s: name is %q, want the file's own name %q", name, p.Name, want)
		}
		all = append(all, p)
	}
	return all, nil
}

// Merge adds users' patterns to the built-in ones. One of the same name takes the built-in one's place.
func Merge(builtin, users []*Pattern) []*Pattern {
	all := slices.Clone(builtin)
	for _, u := range users {
		if i := slices.IndexFunc(all, func(p *Pattern) bool { return p.Name == u.Name }); i >= 0 {
			all[i] = u
		} else {
			all = append(all, u)
		}
	}
	return all
}

// Parse reads one pattern and compiles its conditions and texts. The error names the field and what would be right.
func Parse(text []byte) (*Pattern, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("has %d bytes, want at most %d", len(text), maxFile)
	}
	p, err := decode(text)
	if err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, err
	}
	if err := p.compile(); err != nil {
		return nil, err
	}
	return p, nil
}

// Applies says whether an entity can have this failure mode.
func (p *Pattern) Applies(e entity.Entity) bool {
	return len(p.Entities) == 0 || slices.Contains(p.Entities, e.Kind)
}

// sentence renders a text for people: folded YAML and left-out parts leave no gaps.
func sentence(t *template.Template, data any) (string, error) {
	s, err := render(t, data)
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer(" ,", ",", " .", ".").Replace(s), err
}

func render(t *template.Template, data any) (string, error) {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

// Names are the patterns' names, in order.
func Names(patterns []*Pattern) []string {
	var names []string
	for _, p := range patterns {
		names = append(names, p.Name)
	}
	return names
}
