// Package jsontext says what is wrong with JSON in the words of who wrote it: encoding/json names the Go types that it reads into.
package jsontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Explain is an error of encoding/json that names the field, what it is, and what it should be. Other errors stay as they are.
func Explain(err error) error {
	var wrong *json.UnmarshalTypeError
	var clock *time.ParseError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("it is %s, want %s", article(wrong.Value), shape(wrong.Type))
	case errors.As(err, &wrong):
		return fmt.Errorf("%s is %s, want %s", wrong.Field, article(wrong.Value), shape(wrong.Type))
	case errors.As(err, &clock):
		return fmt.Errorf("%.40q is no time such as 2026-11-23T12:00:00Z", clock.Value)
	}
	return err
}

// article names what JSON calls a value's type, or a number that does not fit.
func article(value string) string {
	number, ok := strings.CutPrefix(value, "number ")
	switch {
	case ok:
		return number
	case value == "array":
		return "a list"
	case value == "object":
		return "a map"
	case value == "string":
		return "text"
	case value == "bool":
		return "true or false"
	}
	return "a " + value
}

// shape names what a Go type holds.
func shape(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Pointer, reflect.Map:
		return "a map of fields"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "a whole number"
	}
	return "text"
}
