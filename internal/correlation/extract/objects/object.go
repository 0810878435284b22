package objects

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// object is a map somewhere in an object of the API. The zero value has nothing: what is asked of it is empty.
type object struct {
	m  pcommon.Map
	ok bool
}

func of(m pcommon.Map) object { return object{m, true} }

func (o object) value(path ...string) (pcommon.Value, bool) {
	var v pcommon.Value
	for i, name := range path {
		if !o.ok {
			return v, false
		}
		var found bool
		if v, found = o.m.Get(name); !found {
			return v, false
		}
		if i < len(path)-1 {
			o = asObject(v)
		}
	}
	return v, len(path) > 0
}

func asObject(v pcommon.Value) object {
	if v.Type() != pcommon.ValueTypeMap {
		return object{}
	}
	return of(v.Map())
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
	if v, ok := o.value(path...); ok && v.Type() == pcommon.ValueTypeStr {
		return v.Str()
	}
	return ""
}

func (o object) yes(path ...string) bool {
	v, ok := o.value(path...)
	return ok && v.Type() == pcommon.ValueTypeBool && v.Bool()
}

// num reads a number, or otherwise where there is none.
func (o object) num(otherwise float64, path ...string) float64 {
	v, ok := o.value(path...)
	switch {
	case ok && v.Type() == pcommon.ValueTypeInt:
		return float64(v.Int())
	case ok && v.Type() == pcommon.ValueTypeDouble:
		return v.Double()
	}
	return otherwise
}

// time reads a time as the API writes it (RFC 3339); zero where there is none.
func (o object) time(path ...string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, o.str(path...))
	if err != nil {
		return time.Time{}
	}
	return t
}

// each calls visit for every map in a list.
func (o object) each(visit func(object), path ...string) {
	v, ok := o.value(path...)
	if !ok || v.Type() != pcommon.ValueTypeSlice {
		return
	}
	for _, item := range v.Slice().All() {
		if m := asObject(item); m.ok {
			visit(m)
		}
	}
}

// words reads a map of texts.
func (o object) words(path ...string) map[string]string {
	all := map[string]string{}
	if m := o.child(path...); m.ok {
		for k, v := range m.m.All() {
			all[k] = v.AsString()
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
