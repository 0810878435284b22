package cli

import (
	"bytes"
	"encoding/json"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/finding"
)

// WriteJSON writes findings, or something else that others chose the words of, as JSON in which no terminal finds anything to obey.
func WriteJSON(out io.Writer, v any) error {
	b, err := finding.Encode(v)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, b, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err = indented.WriteTo(out)
	return err
}

// WriteJSONLine writes the same in one line.
func WriteJSONLine(out io.Writer, v any) error {
	b, err := finding.Encode(v)
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

// WriteYAML writes the same as YAML. It is made from JSON with escapes: YAML has no control characters, and refuses them.
func WriteYAML(out io.Writer, v any) error {
	b, err := finding.Encode(v)
	if err == nil {
		b, err = yaml.JSONToYAML(b)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}
