package objects

import (
	"encoding/base64"
	"reflect"
	"time"
)

// object is a map somewhere in an object of the API: a map[string]any, as records have it, or a struct of the API's Go types, of
// which nothing is read but what is asked for. The zero value has nothing: what is asked of it is empty.
type object struct {
	in value
	ok bool
}

// of is the object that a map[string]any, or a pointer to a struct of the API, is.
func of(v any) object {
	in, _ := settle(reflect.ValueOf(v))
	return asObject(in)
}

func asObject(v value) object {
	if k := v.v.Kind(); k != reflect.Map && k != reflect.Struct {
		return object{}
	}
	return object{v, true}
}

func (o object) value(path ...string) (value, bool) {
	v := o.in
	for _, name := range path {
		var found bool
		if v, found = v.field(name); !found {
			return value{}, false
		}
	}
	return v, len(path) > 0
}

func (o object) child(path ...string) object {
	if v, ok := o.value(path...); ok {
		return asObject(v)
	}
	return object{}
}

// has says whether a field is there, whatever it holds.
func (o object) has(path ...string) bool {
	_, ok := o.value(path...)
	return ok
}

func (o object) str(path ...string) string {
	v, _ := o.value(path...)
	text, _ := v.text()
	return text
}

func (o object) yes(path ...string) bool {
	v, ok := o.value(path...)
	return ok && v.v.Kind() == reflect.Bool && v.v.Bool()
}

// num reads a number, or otherwise where there is none.
func (o object) num(otherwise float64, path ...string) float64 {
	v, ok := o.value(path...)
	switch {
	case ok && v.v.CanInt():
		return float64(v.v.Int())
	case ok && v.v.CanFloat():
		return v.v.Float()
	}
	return otherwise
}

// time reads a time as the API writes it (RFC 3339); zero where there is none.
func (o object) time(path ...string) time.Time {
	v, _ := o.value(path...)
	return v.time()
}

// each calls visit for every map in a list.
func (o object) each(visit func(object), path ...string) {
	v, _ := o.value(path...)
	v.list(func(item value) {
		if m := asObject(item); m.ok {
			visit(m)
		}
	})
}

// texts reads a list of texts.
func (o object) texts(path ...string) []string {
	var all []string
	v, _ := o.value(path...)
	v.list(func(item value) { all = append(all, item.AsString()) })
	return all
}

// text reads what may be a text or a number, such as a port or `50%`.
func (o object) text(path ...string) string {
	if v, ok := o.value(path...); ok {
		return v.AsString()
	}
	return ""
}

// count is how many values a list has.
func (o object) count(path ...string) int {
	n := 0
	v, _ := o.value(path...)
	v.list(func(value) { n++ })
	return n
}

// bytes reads bytes, which JSON has as base64.
func (o object) bytes(path ...string) []byte {
	v, ok := o.value(path...)
	if ok && v.v.Kind() == reflect.Slice && v.v.Type().Elem().Kind() == reflect.Uint8 {
		return v.v.Bytes()
	}
	text, _ := v.text()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

// sameAs says whether a field of two objects holds the same.
func (o object) sameAs(other object, name string) bool {
	a, has := o.value(name)
	b, also := other.value(name)
	return has == also && (!has || reflect.DeepEqual(a.v.Interface(), b.v.Interface()))
}

// words reads a map of texts. It must not be changed.
func (o object) words(path ...string) map[string]string {
	v, _ := o.value(path...)
	if m, ok := v.plain(); ok {
		return m
	}
	all := map[string]string{}
	if v.v.Kind() != reflect.Map {
		return all
	}
	for at := v.v.MapRange(); at.Next(); {
		item, _ := settle(at.Value())
		all[at.Key().String()] = item.AsString()
	}
	return all
}

func (o object) name() string      { return o.str("metadata", "name") }
func (o object) namespace() string { return o.str("metadata", "namespace") }
func (o object) uid() string       { return o.str("metadata", "uid") }
func (o object) created() time.Time {
	return o.time("metadata", "creationTimestamp")
}

// leaving says whether the object is being deleted.
func (o object) leaving() bool { return o.has("metadata", "deletionTimestamp") }

// controller is the reference to the object that manages this one.
func (o object) controller() object {
	var found object
	o.each(func(ref object) {
		if ref.yes("controller") {
			found = ref
		}
	}, "metadata", "ownerReferences")
	return found
}

// condition is the one of a type in the object's status.
func (o object) condition(kind string) object {
	var found object
	o.each(func(c object) {
		if c.str("type") == kind {
			found = c
		}
	}, "status", "conditions")
	return found
}
