package finding_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
	"github.com/your-org/tapio/internal/finding/findingtest"
)

// structs are the Go values that the schema describes, by the name of their definition.
var structs = map[string]any{
	"report": finding.Report{}, "coverage": finding.Coverage{}, "summary": finding.Summary{}, "learning": finding.Learning{},
	"finding": finding.Finding{}, "entity": finding.Entity{}, "owner": finding.Owner{}, "prediction": finding.Forecast{},
	"peer": finding.Peer{}, "outcome": finding.Outcome{}, "evidence": finding.Evidence{}, "series": finding.Series{}, "remedy": finding.Remedy{},
}

// Every field of the Go values is in the schema and the other way round; what is always written is required there.
func TestSchemaHasExactlyTheFieldsOfTheGoValues(t *testing.T) {
	defs := findingtest.Document(t)["$defs"].(map[string]any)
	for name, d := range defs {
		def := d.(map[string]any)
		if def["properties"] == nil || name == "problem" || name == "forgotten" { // these two belong to the exporter, and are tested there
			continue
		}
		t.Run(name, func(t *testing.T) {
			require.Contains(t, structs, name, "there is no Go value for the definition")
			var fields, always []string
			of := reflect.TypeOf(structs[name])
			for i := range of.NumField() {
				field, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
				if field == "-" {
					continue // not told
				}
				require.NotEmpty(t, field, "field %s has no name in JSON", of.Field(i).Name)
				fields = append(fields, field)
				if options == "" {
					always = append(always, field)
				}
			}
			var properties, required []string
			for p := range def["properties"].(map[string]any) {
				properties = append(properties, p)
			}
			for _, r := range def["required"].([]any) {
				required = append(required, r.(string))
			}
			assert.ElementsMatch(t, fields, properties)
			assert.ElementsMatch(t, always, required)
		})
	}
	for name := range structs {
		assert.Contains(t, defs, name)
	}
}

// The values that Go knows are those that the schema lists.
func TestSchemaHasExactlyTheValuesOfTheGoConstants(t *testing.T) {
	for path, want := range map[string][]any{
		"report.source":    {string(finding.SourceCollector), string(finding.SourceAPIServer)},
		"coverage.state":   {string(finding.CoverageOK), string(finding.CoverageDegraded), string(finding.CoverageAbsent)},
		"finding.kind":     {string(finding.Prediction), string(finding.Diagnosis)},
		"finding.severity": {string(finding.Critical), string(finding.Warning), string(finding.Info)},
		"finding.state":    {string(finding.Active), string(finding.Resolved)},
		"remedy.risk":      {string(finding.RiskNone), string(finding.RiskLow), string(finding.RiskHigh)},
	} {
		def, property, _ := strings.Cut(path, ".")
		properties := findingtest.Document(t)["$defs"].(map[string]any)[def].(map[string]any)["properties"].(map[string]any)
		assert.Equal(t, want, properties[property].(map[string]any)["enum"], path)
	}
}

func TestSamplesFollowTheSchema(t *testing.T) {
	r := finding.Report{APIVersion: finding.APIVersion, GeneratedAt: findingtest.Now, Source: finding.SourceCollector,
		Coverage: findingtest.Status().Coverage, Learning: findingtest.Status().Learning, LearningTotal: 1,
		Watched: findingtest.Status().Watched, Findings: findingtest.Samples()}
	for _, f := range r.Findings {
		require.NoError(t, f.Validate())
	}
	body, err := finding.Encode(r)
	require.NoError(t, err)
	findingtest.Valid(t, "report", body)

	var back finding.Report
	require.NoError(t, json.Unmarshal(body, &back))
	assert.Equal(t, r, back, "nothing is lost on the way")
}

// A newer collector may add fields anywhere; the schema as published must let an older reader's checks pass.
func TestPublishedSchemaLetsFieldsBeAdded(t *testing.T) {
	doc := findingtest.Document(t)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("schema.json", doc))
	published, err := c.Compile("schema.json")
	require.NoError(t, err)
	for name, d := range doc["$defs"].(map[string]any) {
		if d.(map[string]any)["properties"] != nil {
			assert.NotContains(t, d, "additionalProperties", name)
		}
	}
	report := `{"apiVersion":"tapio/v1","generatedAt":"2026-03-04T10:00:00Z","source":"collector","coverage":[{"layer":"network","state":"ok"}],
		"summary":{"healthy":1,"warning":0,"critical":0,"unknown":2},"findings":[],"new":{}}`
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(report))
	require.NoError(t, err)
	assert.NoError(t, published.Validate(v))
	assert.Error(t, findingtest.Strict(t, "report").Validate(v), "the strict form is to catch typos")
}

// What Validate refuses and what the schema refuses is the same.
func TestValidateAgreesWithTheSchema(t *testing.T) {
	for name, spoil := range map[string]func(*finding.Finding){
		"id":                  func(f *finding.Finding) { f.ID = "" },
		"id has":              func(f *finding.Finding) { f.ID = strings.Repeat("x", 257) },
		"kind":                func(f *finding.Finding) { f.Kind = "guess" },
		"pattern":             func(f *finding.Finding) { f.Pattern = "" },
		"severity":            func(f *finding.Finding) { f.Severity = "bad" },
		"state":               func(f *finding.Finding) { f.State = "pending" },
		"confidence":          func(f *finding.Finding) { f.Confidence = 1.1 },
		"field prediction":    func(f *finding.Finding) { f.Forecast = nil },
		"prediction.event":    func(f *finding.Finding) { f.Forecast.Event = "" },
		"prediction.coverage": func(f *finding.Finding) { f.Forecast.Coverage = -1 },
		"entity.kind":         func(f *finding.Finding) { f.Entity.Kind = "" },
		"entity.name":         func(f *finding.Finding) { f.Entity.Name = "" },
		"entity.owner.kind":   func(f *finding.Finding) { f.Entity.Owner.Kind = "" },
		"affected[0]":         func(f *finding.Finding) { f.Affected[0].Kind = "" },
		"affected[1]":         func(f *finding.Finding) { f.Affected[1].Name = "" },
		"affectedTotal":       func(f *finding.Finding) { f.AffectedTotal = -1 },
		"peer.address":        func(f *finding.Finding) { f.Peer = &finding.Peer{} },
		"outcome.prediction":  func(f *finding.Finding) { f.Outcome = &finding.Outcome{} },
		"evidence[0].layer":   func(f *finding.Finding) { f.Evidence[0].Layer = "Ring 0" },
		"evidence[0].signal":  func(f *finding.Finding) { f.Evidence[0].Signal = "" },
		"series.stepSeconds":  func(f *finding.Finding) { f.Series.StepSeconds = -1 },
		"remedies[0].id":      func(f *finding.Finding) { f.Remedies[0].ID = "" },
		"remedies[0].risk":    func(f *finding.Finding) { f.Remedies[0].Risk = "" },
	} {
		t.Run(name, func(t *testing.T) {
			f := findingtest.Prediction()
			spoil(&f)
			assert.ErrorContains(t, f.Validate(), name)
			body, err := finding.Encode(f)
			require.NoError(t, err)
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			require.NoError(t, err)
			assert.Error(t, findingtest.Strict(t, "finding").Validate(v))
		})
	}
}

// What has no form in JSON, or none that RFC 3339 can tell, must not get as far as a report: it would spoil all of it.
func TestValidateRefusesWhatJSONCannotTell(t *testing.T) {
	zero := 0.0
	nan, inf := zero/zero, 1/zero
	for name, spoil := range map[string]func(*finding.Finding){
		"confidence":           func(f *finding.Finding) { f.Confidence = nan },
		"prediction.coverage":  func(f *finding.Finding) { f.Forecast.Coverage = nan },
		"evidence[0].value":    func(f *finding.Finding) { f.Evidence[0].Value = &inf },
		"series.values[2]":     func(f *finding.Finding) { f.Series.Values[2] = nan },
		"series.limit":         func(f *finding.Finding) { f.Series.Limit = inf },
		"series.stepSeconds":   func(f *finding.Finding) { f.Series.StepSeconds = nan },
		"outcome.errorSeconds": func(f *finding.Finding) { f.Outcome = &finding.Outcome{Prediction: "x", ErrorSeconds: inf} },
		"outcome.predictedAt":  func(f *finding.Finding) { f.Outcome = &finding.Outcome{Prediction: "x"} },
		"firstSeen":            func(f *finding.Finding) { f.FirstSeen = time.Time{} },
		"lastSeen":             func(f *finding.Finding) { f.LastSeen = time.Time{}.AddDate(10_000, 0, 0) },
		"prediction.latest":    func(f *finding.Finding) { f.Forecast.Latest = time.Time{} },
		"evidence[0].time":     func(f *finding.Finding) { f.Evidence[0].Time = time.Time{}.AddDate(-5, 0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			f := findingtest.Prediction()
			spoil(&f)
			assert.ErrorContains(t, f.Validate(), name)
		})
	}
}

func TestEncodeWritesNothingThatATerminalObeys(t *testing.T) {
	f := findingtest.Prediction()
	f.Title, f.Entity.Name, f.Evidence[0].Text = findingtest.Hostile, "ä€\U0001F600"+findingtest.Hostile, findingtest.Hostile
	f.Remedies[0].Patch = json.RawMessage("{\"\u009b\":\"\u202e\"}")
	body, err := finding.Encode(f)
	require.NoError(t, err)
	for i, r := range string(body) {
		require.False(t, r < 0x20 || r >= 0x7f && r <= 0x9f || slices.Contains([]rune{0x202e, 0x2066, 0x2028}, r), "%U at %d of %q", r, i, body)
	}
	assert.Contains(t, string(body), `\u001b[31mred`)
	assert.Contains(t, string(body), `\u009b1m`)
	assert.Contains(t, string(body), "ä€\U0001F600", "letters stay as they are")
	var back finding.Finding
	require.NoError(t, json.Unmarshal(body, &back))
	assert.Equal(t, strings.ToValidUTF8(findingtest.Hostile, "\ufffd\ufffd"), back.Title, "the text itself is kept")
}

func FuzzEncode(f *testing.F) {
	f.Add(findingtest.Hostile)
	f.Add("\u0080\u2029\u200e\\u")
	f.Fuzz(func(t *testing.T, text string) {
		body, err := finding.Encode(text)
		require.NoError(t, err)
		var back, want string
		require.NoError(t, json.Unmarshal(body, &back))
		plain, err := json.Marshal(text)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(plain, &want))
		require.Equal(t, want, back)
		for _, r := range string(body) {
			require.False(t, r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e)
		}
	})
}
