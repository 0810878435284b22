package pattern_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/signal"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const good = `name: too-hot
summary: It is too hot.
kind: diagnosis
for: 10s
signals:
  - id: heat
    role: trigger
    any: [heat]
    within: 1m
    weight: 0.5
severity:
  - is: critical
    when: heat
  - is: warning
title: too hot
explanation: It is too hot.
remedies:
  - id: open-window
    title: open the window
    risk: none
    commands:
      - run: open window
`

// What is wrong is named by its field or line, with what would be right.
func TestErrors(t *testing.T) {
	tests := []struct {
		name      string
		old, with string
		want      string
	}{
		{"no YAML", "signals:", "signals: [", "is no YAML: line 5: did not find expected"},
		{"a field twice", "kind: diagnosis", "kind: diagnosis\nkind: diagnosis", `line 4: key "kind" already set`},
		{"an unknown field", "    weight: 0.5", "    wieght: 0.5", `line 10: there is no field "wieght"; patterns/README.md lists those there are`},
		{"a list", good, "- a", "is a list, want a map of fields"},
		{"text for a list", "any: [heat]", "any: heat", "signals.any is text, want a list"},
		{"a list for text", "risk: none", "risk: [none]", "remedies.risk is a list, want text"},
		{"a number for a map", "- run: open window", "- 3", "remedies.commands is a number, want a map of fields"},
		{"text for a number", "weight: 0.5", "weight: half", "signals.weight is text, want a number"},
		{"a duration without a unit", "within: 1m", "within: 60", `line 9: "60" is no duration such as 10s or 5m`},
		{"the name", "name: too-hot", "name: Too Hot", `name is "Too Hot", want kebab-case such as oom-killed`},
		{"the kind", "kind: diagnosis", "kind: guess", `kind is "guess", want prediction or diagnosis`},
		{"no title", "title: too hot", "title: ''", "title is empty"},
		{"no summary", "summary: It is too hot.", "summary: ''", "summary is empty, want one sentence"},
		{"no explanation", "explanation: It is too hot.", "explanation: ''", "explanation is empty"},
		{"a prediction without a forecast", "kind: diagnosis", "kind: prediction", "forecast is missing: a prediction needs one"},
		{"a diagnosis with a forecast", "for: 10s", "forecast: {resource: memory, event: oom_kill, when: 'true'}", "forecast: a diagnosis has none"},
		{"no trigger", "role: trigger", "role: symptom", "signals: a diagnosis needs one of role trigger"},
		{"the role", "role: trigger", "role: hero", `signals[0].role is "hero", want trigger, cause, symptom or context`},
		{"the id", "id: heat", "id: value", `signals[0].id is "value", want an identifier such as limit_hit that occurs once and is none of after, age,`},
		{"no kinds", "any: [heat]", "any: []", "signals[0].any is empty, want kinds of signals"},
		{"certainty", "weight: 0.5", "weight: 1", "signals[0].weight is 1, want a probability from 0 to below 1"},
		{"a trigger without weight", "weight: 0.5", "weight: 0", "signals[0].weight is 0: a trigger must make the diagnosis likely"},
		{"a negative window", "within: 1m", "within: -1m", "signals[0].within is negative"},
		{"a negative time", "for: 10s", "for: -10s", "for and keep must not be negative"},
		{"no severity", "severity:\n  - is: critical\n    when: heat\n  - is: warning\n", "", "severity is empty, want a list of {is, when} whose last has no when"},
		{"severities with a gap", "  - is: warning\n", "", "severity[0].when: the last rule must hold always"},
		{"the severity", "- is: warning", "- is: awful", `severity[1].is is "awful", want critical, warning or info`},
		{"the risk", "risk: none", "risk: some", `remedies[0].risk is "some", want none, low or high`},
		{"a remedy without an id", "id: open-window", "id: ''", "remedies[0]: id (kebab-case) and title are needed"},
		{"a remedy's command without words", "run: open window", "run: ''", "remedies[0].commands[0].run is empty, want a command"},
		{"a condition that is none", "when: heat", "when: heat +", "severity[0].when: ERROR: <input>:1:7: Syntax error"},
		{"a condition on what there is not", "when: heat", "when: cold", "severity[0].when: ERROR: <input>:1:1: undeclared reference to 'cold'"},
		{"a condition that is a number", "when: heat", "when: eta", "severity[0].when: gives double, want a condition that is true or false"},
		{"a clause's condition", "within: 1m", "when: count > heat", "signals[0].when: ERROR: <input>:1:9: undeclared reference to 'heat'"},
		{"a text that is none", "title: too hot", "title: '{{.Entity'", "title: template: title:1: unclosed action"},
		{"a text with what there is not", "- run: open window", "- run: '{{shout 3}}'", `remedies[0].commands[0].run: template: remedies[0].commands[0].run:1: function "shout" not defined`},
		{"a text with what the entity does not have", "title: too hot", "title: '{{.Entity.Nmae}}'", "title: template: title:1:9: executing \"title\" at <.Entity.Nmae>: can't evaluate field Nmae"},
		{"a text with evidence that there is not", "explanation: It is too hot.", `explanation: '{{(.Clause "haet").Sum}}'`, `error calling Clause: there is no signal "haet", want one of heat`},
		{"the same under a condition", "title: too hot", `title: '{{if .Has "x"}}hot{{else}}{{with .Fact "haet" "x"}}{{.}}{{end}}{{end}}'`, `there is no signal "haet", want one of heat`},
		{"where something else is not", "title: too hot", `title: '{{with .Clause "heat"}}hot{{else}}{{range .Evicted}}{{.Nmae}}{{end}}{{end}}'`, "can't evaluate field Nmae in type pattern.Candidate"},
		{"a text of evidence", "    weight: 0.5", "    weight: 0.5\n    text: '{{bytes .Entity.Name}}'", `at <.Entity.Name>: wrong type for value; expected float64; got string`},
		{"a command", "run: open window", "run: open {{if gt (.Most \"heat\") 1}}all{{end}}", "error calling gt: incompatible types for comparison"},
		{"a forecast that a diagnosis has not", "title: too hot", "title: 'hot {{soon (.In .Forecast.At)}}'", "nil pointer evaluating *finding.Forecast.At"},
		{"a kind of entity otherwise spelled", "for: 10s", "entities: [Unit, container]", `entities[1] is "container", want Container`},
		{"what is no kind of entity", "for: 10s", "explained_by: [node-not-ready]", `explained_by[0] is "node-not-ready", want a kind of entity such as Container or Node`},
		{"what confirms nothing", "for: 10s", "confirms: [{by: [heat]}]", "confirms[0].prediction is empty, want the name of a pattern of kind prediction"},
		{"what confirms by what there is not", "for: 10s", "confirms: [{prediction: x, by: [cold]}]", `confirms[0].by[0] is "cold", want the id of a signal of role trigger`},
		{"what confirms under no condition", "for: 10s", "confirms: [{prediction: x, when: eta}]", "confirms[0].when: gives double, want a condition"},
		{"what confirms otherwise", "for: 10s", "confirms: [{prediction: x, if: heat}]", `there is no field "if"; patterns/README.md lists those there are`},
		{"what confirms a number", "for: 10s", "confirms: 3", "confirms is a number, want a list"},
		{"a file too large", "title: too hot", "title: " + strings.Repeat("hot ", 1<<17), "bytes, want at most 262144"},
	}
	_, err := pattern.Parse([]byte(good))
	require.NoError(t, err)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Contains(t, good, tt.old)
			_, err := pattern.Parse([]byte(strings.Replace(good, tt.old, tt.with, 1)))
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLoad(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	all, err := pattern.Load(fstest.MapFS{"too-hot.yaml": file(good), "README.md": file("# x"), "deeper/too-hot.yaml": file(good)})
	require.NoError(t, err)
	assert.Equal(t, []string{"too-hot"}, pattern.Names(all), "files at the top of the folder, and YAML only")

	_, err = pattern.Load(fstest.MapFS{"hot.yaml": file(good)})
	assert.ErrorContains(t, err, `pattern file hot.yaml: name is "too-hot", want the file's own name "hot"`)
	_, err = pattern.Load(fstest.MapFS{"too-hot.yaml": file("kind: [")})
	assert.ErrorContains(t, err, "pattern file too-hot.yaml: is no YAML")
	_, err = pattern.Load(fstest.MapFS{"too-hot.yml": file(good)})
	assert.ErrorContains(t, err, "pattern file too-hot.yml: want a name that ends in .yaml")
}

func TestMerge(t *testing.T) {
	parse := func(change string) *pattern.Pattern {
		p, err := pattern.Parse([]byte(strings.Replace(good, "name: too-hot\nsummary: It is", change, 1)))
		require.NoError(t, err)
		return p
	}
	mine, other := parse("name: too-hot\nsummary: Mine is"), parse("name: other\nsummary: It is")
	all := pattern.Merge([]*pattern.Pattern{parse("name: too-hot\nsummary: It is")}, []*pattern.Pattern{mine, other})
	assert.Equal(t, []*pattern.Pattern{mine, other}, all, "one of the same name takes the built-in one's place")
}

// A text may speak of what is there under a condition only, in every way that a template knows.
func TestTextsUnderConditions(t *testing.T) {
	for _, title := range []string{
		`{{with $c := .Clause "heat"}}{{$c.Sum}}{{else}}{{printf "%T" $}}{{end}}`,
		`{{if $n := .Most "heat"}}{{whole $n}}{{else if .Has "x"}}{{with .Entity.Owner}}{{.Kind}}{{end}}{{else}}{{$n}}{{end}}`,
		`{{define "name"}}{{.Name}}{{end}}{{template "name" .Entity}}`,
		`{{range $i, $c := .Evicted}}{{if $i}}, {{break}}{{end}}{{$c.Name}}{{else}}nobody{{end}}`,
		`{{$s := "x"}}{{if and (.Clause "heat") (not (.Has "x"))}}{{$s = "y"}}{{end}}{{$s}} {{(.Clause "heat").Attributes.peer}} {{.Fact "heat" "peer" | lower}}`,
	} {
		p, err := pattern.Parse([]byte(strings.Replace(good, "title: too hot", "title: '"+title+"'", 1)))
		require.NoError(t, err, title)
		tl := timeline.New(start)
		tl.Observe(signal.Signal{Time: start, Kind: "heat", Shape: signal.Event, Value: 1, Attributes: map[string]string{"peer": "x"}})
		_, _, err = p.Evaluate(pattern.Input{Now: start, Entity: entity.Entity{ID: "x", Name: "x"}, Timeline: tl})
		assert.NoError(t, err, title)
	}
}

// The probability that a diagnosis is right: each piece of evidence takes its share of the doubt away.
func TestConfidence(t *testing.T) {
	p, err := pattern.Parse([]byte(`name: x
summary: x
kind: diagnosis
signals:
  - {id: a, role: trigger, any: [a], within: 1m, weight: 0.6}
  - {id: b, role: symptom, any: [b, c], within: 1m, weight: 0.5}
  - {id: needed, role: context, any: [needed], required: true}
severity: [{is: info}]
title: '{{.Entity.Display}}'
explanation: x
`))
	require.NoError(t, err)
	e := entity.Entity{ID: "x", Kind: entity.Cgroup, Name: "x"}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		kinds string
		want  float64
	}{
		{"a needed", 0.6}, {"a b needed", 0.8}, {"a c needed", 0.8}, {"a b c needed", 0.8}, {"a b", 0}, {"b needed", 0}, {"", 0},
	}
	for _, tt := range tests {
		t.Run(tt.kinds, func(t *testing.T) {
			tl := timeline.New(now)
			for _, kind := range strings.Fields(tt.kinds) {
				tl.Observe(signal.Signal{Time: now, Kind: kind, Shape: signal.Event, Value: 1, Layer: finding.LayerCgroup, Text: "it " + kind})
			}
			m, _, err := p.Evaluate(pattern.Input{Now: now.Add(time.Second), Entity: e, Timeline: tl})
			require.NoError(t, err)
			if tt.want == 0 {
				assert.Nil(t, m)
				return
			}
			require.NotNil(t, m)
			assert.InDelta(t, tt.want, m.Confidence, 1e-9)
			assert.Len(t, m.Evidence, len(strings.Fields(tt.kinds)))
			assert.Equal(t, "x", m.Title)
		})
	}
}

// An answer stays as it is until something is too old to count, or for as long as what it asks of the time has the same answer.
func TestUntil(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)
	tl := timeline.New(now)
	for _, s := range []signal.Signal{{Kind: "kill", Shape: signal.Event, Time: now.Add(-50 * time.Second)}, {Kind: "exit", Shape: signal.Event, Time: now.Add(-51 * time.Second)},
		{Kind: "level", Shape: signal.Gauge, Time: now.Add(-20 * time.Second), Value: 1}, {Kind: "old", Shape: signal.Event, Time: now.Add(-5 * time.Minute)}} {
		tl.Observe(s)
	}
	always := now.Add(1<<63 - 1).Sub(now)
	tests := []struct {
		name, signals, title string
		holds                bool
		want                 time.Duration // from now
	}{
		{"an event is in its window", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m}", "x", true, 70 * time.Second},
		{"the oldest leaves it first", "{id: a, role: trigger, weight: 0.5, any: [kill, old], within: 6m}", "x", true, time.Minute},
		{"a reading is fresh", "{id: a, role: trigger, weight: 0.5, any: [level]}", "x", true, 40 * time.Second},
		{"one that decides nothing may be told of", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m}, {id: b, role: cause, any: [level]}", "x", true, 40 * time.Second},
		{"what is not there does not leave", "{id: a, role: trigger, weight: 0.5, any: [old], within: 1m}", "x", false, always},
		{"a condition that does not hold may, with less in the window", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m, when: count < 1}", "x", false, 70 * time.Second},
		{"an age is another one every moment", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m, when: age < 60.0}", "x", true, 0},
		{"but where it is not asked for", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m, when: count == 1 || age < 60.0}", "x", true, 70 * time.Second},
		{"as that of the trigger", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m}, {id: b, role: cause, any: [exit], within: 2m, when: triggered < 60.0}", "x", true, 0},
		{"their difference is not", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m}, {id: b, role: cause, any: [exit], within: 2m, when: after == -1.0}", "x", true, 69 * time.Second},
		{"nor is there one before the trigger", "{id: b, role: cause, any: [exit], within: 2m, when: after > 1.0, required: true}, {id: a, role: trigger, weight: 0.5, any: [kill], within: 2m}", "x", true, 69 * time.Second},
		{"a text that asks for the time", "{id: a, role: trigger, weight: 0.5, any: [kill], within: 2m}", `{{.In (.Clause "a").Time}}`, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := pattern.Parse([]byte("name: x\nsummary: x\nkind: diagnosis\nsignals: [" + tt.signals + "]\nseverity: [{is: info}]\ntitle: '" + tt.title + "'\nexplanation: x\n"))
			require.NoError(t, err)
			m, until, err := p.Evaluate(pattern.Input{Now: now, Entity: entity.Entity{ID: "x", Kind: entity.Cgroup, Name: "x"}, Timeline: tl})
			require.NoError(t, err)
			assert.Equal(t, tt.holds, m != nil)
			assert.Equal(t, tt.want, until.Sub(now))
		})
	}
}

// What is said of the time left may be off by a hundredth of it, and by ten seconds.
func TestUntilOfPredictions(t *testing.T) {
	p, err := pattern.Parse([]byte(`
name: x
summary: x
kind: prediction
forecast: {resource: memory, event: oom_kill, when: confidence > 0.5}
severity: [{is: info}]
title: '{{.Entity.Display}} ends {{soon (.In .Forecast.At)}}'
explanation: x
`))
	require.NoError(t, err)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]time.Duration{5 * time.Minute: 3 * time.Second, 10 * time.Hour: 10 * time.Second, 0: 0, -time.Minute: 0} {
		m, until, err := p.Evaluate(pattern.Input{Now: now, Entity: entity.Entity{ID: "x", Name: "x"}, Timeline: timeline.New(now),
			Forecast: &finding.Forecast{At: now.Add(left)}, Confidence: 0.9})
		require.NoError(t, err)
		require.NotNil(t, m)
		assert.Equal(t, want, until.Sub(now))
	}
}

func TestWhatOthersChoseIsQuotedInCommands(t *testing.T) {
	p, err := pattern.Parse([]byte(strings.Replace(good, "run: open window", "run: 'open {{sh .Entity.Name}}'", 1)))
	require.NoError(t, err)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{"api-1": "open api-1", "$(rm -rf /)": "open '$(rm -rf /)'", "it's": `open 'it'\''s'`, "": "open ''", "a\nb": "open 'a\nb'"} {
		tl := timeline.New(now)
		tl.Observe(signal.Signal{Time: now, Kind: "heat", Shape: signal.Event, Value: 1})
		m, _, err := p.Evaluate(pattern.Input{Now: now, Entity: entity.Entity{ID: "x", Name: name}, Timeline: tl})
		require.NoError(t, err)
		assert.Equal(t, want, m.Remedies[0].Command)
	}
}

// The class of a pod is where its kubelet accounts it.
func TestGuaranteed(t *testing.T) {
	p, err := pattern.Parse([]byte(strings.Replace(good, "run: open window", "run: '{{.Guaranteed}}'", 1)))
	require.NoError(t, err)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for path, want := range map[string]string{
		"/kubepods.slice/kubepods-pod1.slice/cri-containerd-c.scope":                "true",
		"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/c.scope": "true",
		"/kubepods/pod1/c": "true",
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/c.scope": "false",
		"/kubepods/besteffort/pod1/c": "false",
		"/system.slice/app.service":   "false",
		"":                            "false",
	} {
		tl := timeline.New(now)
		tl.Observe(signal.Signal{Time: now, Kind: "heat", Shape: signal.Event, Value: 1})
		m, _, err := p.Evaluate(pattern.Input{Now: now, Entity: entity.Entity{ID: "x", Name: "x", CgroupPath: path}, Timeline: tl})
		require.NoError(t, err)
		assert.Equal(t, want, m.Remedies[0].Command, path)
	}
}

// Whatever a pattern file holds, reading it ends, and what was read can be held against an entity.
func FuzzParse(f *testing.F) {
	f.Add(good)
	files, err := filepath.Glob("../../../patterns/*.yaml")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(string(text))
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := pattern.Parse([]byte(text))
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a word")
			}
			return
		}
		tl := timeline.New(now)
		for _, c := range p.Signals {
			tl.Observe(signal.Signal{Time: now, Kind: c.Any[0], Shape: signal.Event, Value: 1})
		}
		_, _, _ = p.Evaluate(pattern.Input{Now: now, Entity: entity.Entity{ID: "x", Kind: entity.Cgroup}, Timeline: tl,
			Forecast: &finding.Forecast{At: now.Add(time.Minute)}, Confidence: 0.9})
	})
}
