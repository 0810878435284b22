package jsontext

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is wrong is said by the field's name, in no words of Go.
func TestExplain(t *testing.T) {
	type part struct {
		Size  float64   `json:"size"`
		Count int       `json:"count"`
		At    time.Time `json:"at"`
	}
	for text, want := range map[string]string{
		`[1]`:                            "it is a list, want a map of fields",
		`"x"`:                            "it is text, want a map of fields",
		`{"parts":"x"}`:                  "parts is text, want a list",
		`{"parts":[{"size":"x"}]}`:       "parts.size is text, want a number",
		`{"parts":[{"size":1e999}]}`:     "parts.size is 1e999, want a number",
		`{"parts":[{"count":true}]}`:     "parts.count is true or false, want a whole number",
		`{"parts":[{"count":1.5}]}`:      "parts.count is 1.5, want a whole number",
		`{"name":{}}`:                    "name is a map, want text",
		`{"sure":7}`:                     "sure is a number, want true or false",
		`{"by":[]}`:                      "by is a list, want a map of fields",
		`{"parts":[{"at":"yesterday"}]}`: `"yesterday" is no time such as 2026-11-23T12:00:00Z`,
		`{"parts":`:                      "unexpected end of JSON input",
	} {
		err := json.Unmarshal([]byte(text), &struct {
			Name  string         `json:"name"`
			Sure  bool           `json:"sure"`
			By    map[string]int `json:"by"`
			Parts []part         `json:"parts"`
		}{})
		require.Error(t, err, text)
		assert.EqualError(t, Explain(err), want, text)
	}
	other := errors.New("out of ink")
	assert.Equal(t, other, Explain(other))
}
