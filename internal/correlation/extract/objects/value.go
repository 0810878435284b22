package objects

import (
	"encoding/base64"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// value is a value somewhere in an object, as its JSON would have it: a text, number, yes or no, list, or object.
type value struct{ v reflect.Value }

var (
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	quantityType  = reflect.TypeFor[resource.Quantity]()
	portType      = reflect.TypeFor[intstr.IntOrString]()
)

// settle follows pointers and interfaces to a value. It is false for what is null in JSON.
func settle(v reflect.Value) (value, bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return value{}, false
	case reflect.Map, reflect.Slice:
		return value{v}, !v.IsNil()
	case reflect.Struct:
		switch v.Type() {
		case timeType, microTimeType:
			return value{v}, !moment(v).IsZero()
		case portType: // a number or a text
			if v.Field(0).Int() == int64(intstr.Int) {
				return value{v.Field(1)}, true
			}
			return value{v.Field(2)}, true
		}
	}
	return value{v}, true
}

// moment is a time of the API's Go types.
func moment(v reflect.Value) time.Time {
	if v.CanAddr() {
		switch t := v.Addr().Interface().(type) { // a value would be copied
		case *metav1.Time:
			return t.UTC()
		case *metav1.MicroTime:
			return t.UTC()
		}
	}
	switch t := v.Interface().(type) {
	case metav1.Time:
		return t.UTC()
	case metav1.MicroTime:
		return t.UTC()
	}
	return time.Time{}
}

// AsString is a text, number, or yes or no as text; empty for all else.
func (v value) AsString() string {
	switch {
	case v.v.CanInt():
		return strconv.FormatInt(v.v.Int(), 10)
	case v.v.CanUint():
		return strconv.FormatUint(v.v.Uint(), 10)
	case v.v.CanFloat():
		return strconv.FormatFloat(v.v.Float(), 'f', -1, 64)
	case v.v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.v.Bool())
	}
	text, _ := v.text()
	return text
}

// text is a text, or what JSON has as one; false for all else.
func (v value) text() (string, bool) {
	switch v.v.Kind() {
	case reflect.String:
		return v.v.String(), true
	case reflect.Slice:
		if v.v.Type().Elem().Kind() == reflect.Uint8 {
			return base64.StdEncoding.EncodeToString(v.v.Bytes()), true
		}
	case reflect.Struct:
		switch v.v.Type() {
		case timeType, microTimeType:
			return moment(v.v).Format(time.RFC3339Nano), true
		case quantityType:
			q := v.v.Interface().(resource.Quantity)
			return q.String(), true
		}
	}
	return "", false
}

// time reads a time as the API writes it (RFC 3339); zero where there is none.
func (v value) time() time.Time {
	if v.v.Kind() == reflect.Struct {
		return moment(v.v)
	}
	text, _ := v.text()
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// quantity reads an amount as the API writes it: 500m, 1Gi. It is 0 where there is none.
func (v value) quantity() float64 {
	if v.v.Kind() == reflect.Struct && v.v.Type() == quantityType {
		q := v.v.Interface().(resource.Quantity)
		return q.AsApproximateFloat64()
	}
	q, err := resource.ParseQuantity(v.AsString())
	if err != nil {
		return 0
	}
	return q.AsApproximateFloat64()
}

// list calls visit for each value of a list.
func (v value) list(visit func(value)) {
	if v.v.Kind() != reflect.Slice || v.v.Type().Elem().Kind() == reflect.Uint8 {
		return
	}
	for i := range v.v.Len() {
		if item, ok := settle(v.v.Index(i)); ok {
			visit(item)
		}
	}
}

// field returns what a map or struct has under a name; false where it has nothing.
func (v value) field(name string) (value, bool) {
	switch v.v.Kind() {
	case reflect.Struct:
		f, known := fieldsOf(v.v.Type())[name]
		if !known {
			return value{}, false
		}
		at := v.v.FieldByIndex(f.index)
		if f.omitEmpty && empty(at) {
			return value{}, false
		}
		return settle(at)
	case reflect.Map:
		switch m := v.v.Interface().(type) { // the usual ones, without reflection
		case map[string]any:
			return settle(reflect.ValueOf(m[name]))
		case map[string]string:
			text, known := m[name]
			return value{reflect.ValueOf(text)}, known
		}
		if key := v.v.Type().Key(); key.Kind() == reflect.String {
			return settle(v.v.MapIndex(reflect.ValueOf(name).Convert(key)))
		}
	}
	return value{}, false
}

// plain is a map of texts as it is. It must not be changed.
func (v value) plain() (map[string]string, bool) {
	if v.v.Kind() != reflect.Map {
		return nil, false
	}
	m, ok := v.v.Interface().(map[string]string)
	return m, ok && m != nil
}

// empty is what `omitempty` means.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct, reflect.Array:
		return false
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

// field is where a Go type of the API keeps what its JSON has under a name.
type field struct {
	index     []int
	omitEmpty bool
}

// known are the fields of the types seen so far; there are as many as the API has types.
var known sync.Map // reflect.Type → map[string]field

func fieldsOf(t reflect.Type) map[string]field {
	if all, seen := known.Load(t); seen {
		return all.(map[string]field)
	}
	all := map[string]field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case name == "" && f.Type.Kind() == reflect.Struct: // inline
			for inner, at := range fieldsOf(f.Type) {
				all[inner] = field{append([]int{i}, at.index...), at.omitEmpty}
			}
		case name != "":
			all[name] = field{[]int{i}, strings.Contains(options, "omitempty")}
		}
	}
	known.Store(t, all)
	return all
}
