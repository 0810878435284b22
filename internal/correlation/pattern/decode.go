package pattern

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/your-org/tapio/internal/jsontext"
)

// decode reads a pattern's YAML. Its errors name the line, or the field, in the words of who wrote the file.
func decode(text []byte) (*Pattern, error) {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("is no YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	p := &Pattern{}
	d := json.NewDecoder(bytes.NewReader(asJSON))
	d.DisallowUnknownFields()
	err = d.Decode(p)
	var wrong *json.UnmarshalTypeError
	var duration *durationError
	switch {
	case err == nil:
		return p, nil
	case errors.As(err, &wrong) && wrong.Field == "":
		return nil, fmt.Errorf("%w such as name and kind", jsontext.Explain(err))
	case errors.As(err, &wrong):
		return nil, jsontext.Explain(err)
	case errors.As(err, &duration):
		return nil, fmt.Errorf("%s%w", where(text, `(for|keep|within)\s*:\s*['"]?`+regexp.QuoteMeta(duration.text)), err)
	}
	if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return nil, fmt.Errorf("%sthere is no field %s; patterns/README.md lists those there are", where(text, `['"]?`+regexp.QuoteMeta(strings.Trim(field, `"`))+`['"]?\s*:`), field)
	}
	return nil, err
}

// where names the first line that something occurs in; nothing when it cannot be found.
func where(text []byte, expr string) string {
	re, err := regexp.Compile(`(^|[\s{,])` + expr)
	if err != nil {
		return ""
	}
	for i, line := range bytes.Split(text, []byte("\n")) {
		if re.Match(line) {
			return fmt.Sprintf("line %d: ", i+1)
		}
	}
	return ""
}

// UnmarshalJSON reads a list, or the name of one prediction that every trigger shows.
func (c *Confirmations) UnmarshalJSON(b []byte) error {
	var name string
	if json.Unmarshal(b, &name) == nil {
		*c = Confirmations{{Prediction: name}}
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode((*[]Confirmation)(c))
}

// Duration is a time.Duration that reads "10s" or "5m" in YAML.
type Duration time.Duration

// durationError says that a text is no duration.
type durationError struct{ text string }

func (e *durationError) Error() string {
	return fmt.Sprintf("%q is no duration such as 10s or 5m", e.text)
}

// MarshalJSON writes a duration as it is read.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

// UnmarshalJSON reads a Go duration string.
func (d *Duration) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	v, err := time.ParseDuration(s)
	if err != nil {
		return &durationError{s}
	}
	*d = Duration(v)
	return nil
}
