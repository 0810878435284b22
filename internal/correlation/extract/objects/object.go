package objects

import (
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

// words reads a map of texts.
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
		if item, ok := settle(at.Value()); ok {
			all[at.Key().String()] = item.AsString()
		}
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
