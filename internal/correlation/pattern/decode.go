package pattern

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
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
		return nil, fmt.Errorf("is %s, want a map of fields such as name and kind", article(wrong.Value))
	case errors.As(err, &wrong):
		return nil, fmt.Errorf("%s is %s, want %s", wrong.Field, article(wrong.Value), shape(wrong.Type))
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

// article names what JSON calls a value's type.
func article(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "a map"
	case "string":
		return "text"
	case "bool":
		return "true or false"
	}
	return "a " + value
}

// shape names what a field of a Go type holds.
func shape(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Pointer:
		return "a map of fields"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64, reflect.Int64:
		return "a number"
	}
	return "text"
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
