package findinglog

import (
	"fmt"
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/your-org/tapio/internal/finding"
)

// reader reads attributes and keeps the first error.
type reader struct {
	attrs pcommon.Map
	path  string
	left  *int // bytes of text that the record may still have
	err   error
}

// read returns readers of the resource and of the attributes of one record.
func read(resource, attrs pcommon.Map) (*reader, *reader) {
	left := maxText
	return &reader{attrs: resource, path: "resource ", left: &left}, &reader{attrs: attrs, left: &left}
}

func (r *reader) fail(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("attribute %s%s %s", r.path, name, problem)
	}
}

func (r *reader) has(name string) bool {
	_, ok := r.attrs.Get(name)
	return ok
}

func (r *reader) str(name string) string {
	v, ok := r.attrs.Get(name)
	if !ok {
		return ""
	}
	if v.Type() != pcommon.ValueTypeStr {
		r.fail(name, fmt.Sprintf("is %s, want a string", v.Type()))
		return ""
	}
	return r.text(name, v.Str())
}

// text takes a text out of what the record may have.
func (r *reader) text(name, s string) string {
	if *r.left -= len(s); *r.left < 0 {
		r.fail(name, fmt.Sprintf("is too long: a record may have %d bytes of text", maxText))
		return ""
	}
	return s
}

func (r *reader) double(name string) float64 {
	v, ok := r.attrs.Get(name)
	if !ok {
		return 0
	}
	switch v.Type() {
	case pcommon.ValueTypeDouble:
		return v.Double()
	case pcommon.ValueTypeInt:
		return float64(v.Int())
	}
	r.fail(name, fmt.Sprintf("is %s, want a number", v.Type()))
	return 0
}

// count reads a number of things.
func (r *reader) count(name string) int {
	v := r.double(name)
	if !(v >= 0 && v <= maxCount && v == math.Trunc(v)) {
		r.fail(name, fmt.Sprintf("is %v, want a whole number of 0 to %d", v, int(maxCount)))
		return 0
	}
	return int(v)
}

func (r *reader) bool(name string) bool {
	v, ok := r.attrs.Get(name)
	if ok && v.Type() != pcommon.ValueTypeBool {
		r.fail(name, fmt.Sprintf("is %s, want true or false", v.Type()))
		return false
	}
	return ok && v.Bool()
}

func (r *reader) time(name string) time.Time {
	s := r.str(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		r.fail(name, fmt.Sprintf("is %.40q, want a time in RFC 3339", s))
	}
	return t.UTC()
}

func (r *reader) slice(name string) pcommon.Slice {
	v, ok := r.attrs.Get(name)
	if !ok {
		return pcommon.NewSlice()
	}
	if v.Type() != pcommon.ValueTypeSlice {
		r.fail(name, fmt.Sprintf("is %s, want a list", v.Type()))
		return pcommon.NewSlice()
	}
	if n := v.Slice().Len(); n > maxList {
		r.fail(name, fmt.Sprintf("has %d entries, want at most %d", n, maxList))
		return pcommon.NewSlice()
	}
	return v.Slice()
}

func (r *reader) strings(name string) []string {
	var out []string
	for i, v := range r.slice(name).All() {
		if v.Type() != pcommon.ValueTypeStr {
			r.fail(fmt.Sprintf("%s[%d]", name, i), "is no string")
			return nil
		}
		out = append(out, r.text(name, v.Str()))
	}
	return out
}

func (r *reader) doubles(name string) []float64 {
	out := []float64{}
	for i, v := range r.slice(name).All() {
		if v.Type() != pcommon.ValueTypeDouble {
			r.fail(fmt.Sprintf("%s[%d]", name, i), "is no number")
			return nil
		}
		out = append(out, v.Double())
	}
	return out
}

// maps calls visit for a map, or for each map of a list of them.
func (r *reader) maps(name string, visit func(*reader)) {
	v, ok := r.attrs.Get(name)
	if !ok {
		return
	}
	each := func(path string, v pcommon.Value) {
		if v.Type() != pcommon.ValueTypeMap {
			r.fail(path, "is no map")
			return
		}
		m := &reader{attrs: v.Map(), path: r.path + path + ".", left: r.left}
		visit(m)
		if r.err == nil {
			r.err = m.err
		}
	}
	if v.Type() == pcommon.ValueTypeMap {
		each(name, v)
		return
	}
	for i, item := range r.slice(name).All() {
		each(fmt.Sprintf("%s[%d]", name, i), item)
	}
}

func (r *reader) entity() finding.Entity {
	e := finding.Entity{Kind: r.str(attrEntityKind), Name: r.str(attrEntityName), UID: r.str(attrEntityUID), Cluster: r.str(attrCluster), Namespace: r.str(attrNamespace),
		Container: r.str(attrContainer), ContainerID: r.str(attrContainerID), Node: r.str(attrNode)}
	if e.Node == "" {
		e.Node = r.str(attrHost)
	}
	if kind := r.str(attrOwnerKind); kind != "" {
		e.Owner = &finding.Owner{Kind: kind, Name: r.str(attrOwnerName)}
	}
	return e
}

// affected reads what names an entity, as putAffected writes it.
func (r *reader) affected() finding.Entity {
	e := finding.Entity{Kind: r.str("kind"), Namespace: r.str("namespace"), Name: r.str("name"), Container: r.str("container"), UID: r.str("uid")}
	if kind := r.str("owner_kind"); kind != "" {
		e.Owner = &finding.Owner{Kind: kind, Name: r.str("owner_name")}
	}
	return e
}
