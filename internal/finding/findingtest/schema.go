package findingtest

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/finding"
)

// Document returns the published schema as values.
func Document(t testing.TB) map[string]any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(finding.Schema))
	require.NoError(t, err)
	return doc.(map[string]any)
}

// Strict returns the published schema of one of its definitions ("report", "finding", …) made strict: formats count, and fields
// that it does not know are errors. The schema as published lets fields be added.
func Strict(t testing.TB, def string) *jsonschema.Schema {
	t.Helper()
	doc := Document(t)
	for _, d := range doc["$defs"].(map[string]any) {
		if d := d.(map[string]any); d["properties"] != nil {
			d["additionalProperties"] = false
		}
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("schema.json", doc))
	s, err := c.Compile(doc["$id"].(string) + "#/$defs/" + def)
	if err != nil {
		s, err = c.Compile("schema.json#/$defs/" + def)
	}
	require.NoError(t, err)
	return s
}

// Valid fails the test unless a JSON text follows the strict schema of a definition.
func Valid(t testing.TB, def string, body []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(t, err, "%s", body)
	require.NoError(t, Strict(t, def).Validate(v), "%s", body)
}
