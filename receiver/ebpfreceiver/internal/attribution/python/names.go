//go:build linux

package python

import (
	"fmt"
	"strings"
)

// path says how an object is reached from a module, as it is written in Python: "app.SESSIONS", "app.Registry.items", "sessions in main()".
// exact also says which items of containers are meant. from is where that begins.
func (g *graph) path(n int32, exact bool) (name string, from root) {
	var parts []string // the last first
	for range g.nodes {
		of := g.nodes[n]
		if of.typ.class == typeObject && len(parts) > 0 {
			// A class is known by its own name, wherever it was reached.
			if t := g.typeOf(of.addr); t != nil {
				return g.fullName(t) + reversed(parts), g.rootOf(n)
			}
		}
		switch of.step {
		case stepRoot:
			from = g.roots[of.key]
			return within(from.name+reversed(parts), from), from
		case stepNamespace:
			if len(parts) == 0 {
				parts = append(parts, ".__dict__")
			}
		case stepAttribute:
			parts = append(parts, "."+g.key(of))
		case stepLocal:
			if from, ok := g.running(g.nodes[of.parent].addr); ok {
				return within(g.key(of)+reversed(parts), from), from
			}
			parts = append(parts, "."+g.key(of))
		case stepItem:
			part := "[…]"
			if key, ok := g.str(of.key); ok && exact && len(key) <= 40 {
				part = fmt.Sprintf("[%q]", key)
			}
			parts = append(parts, part)
		case stepField:
			parts = append(parts, g.field(of))
		case stepDefaults:
			parts = append(parts, ".__defaults__")
		}
		n = of.parent
	}
	return "?" + reversed(parts), from
}

func within(name string, r root) string {
	if r.within == "" {
		return name
	}
	return name + " in " + r.within
}

// key is the name of an attribute or a variable.
func (g *graph) key(of node) string {
	if name, ok := g.str(of.key); ok {
		return name
	}
	return "?"
}

// running tells which function a generator, a frame or a function in another is of.
func (g *graph) running(addr uint64) (root, bool) {
	o, ok := g.object(addr)
	if !ok {
		return root{}, false
	}
	at := addr + g.at.generatorFrame + g.at.code
	if o.typ.class == function {
		at = addr + g.at.functionCode
	}
	b := make([]byte, 8)
	if _, err := g.ReadAt(b, int64(at)); err != nil {
		return root{}, false
	}
	return g.function(word(b, 0))
}

// function tells which function code is of.
func (g *graph) function(addr uint64) (r root, ok bool) {
	c, ok := g.object(addr)
	if !ok || c.typ.class != code {
		return r, false
	}
	name, ok := g.str(c.word(g.at.codeName))
	r.within = name + "()"
	r.file, _ = g.str(c.word(g.at.codeFile))
	r.line = int(c.word(g.at.codeLine) & 0xffffff)
	return r, ok
}

// field names one of a structure in C, or a slot of a class.
func (g *graph) field(of node) string {
	above := g.nodes[of.parent].typ
	switch {
	case above.name == "functools._lru_cache_wrapper" && of.typ.class == dict:
		return ".cache"
	case above.name == "method", above.name == "property":
		return ""
	case above.flags&flagHeapType != 0:
		if name := g.slot(above, of.key); name != "" {
			return "." + name
		}
	}
	return ".<" + g.fullName(of.typ) + ">"
}

// slot names the slot of a class (__slots__) that is at an offset.
func (g *graph) slot(t *typ, at uint64) (name string) {
	for range maxBases {
		if space, ok := g.object(t.namespce); ok && space.typ.class == dict {
			g.entries(space, func(key, value uint64) {
				o, ok := g.object(value)
				if !ok || o.typ.name != "member_descriptor" {
					return
				}
				b := make([]byte, 24) // PyMemberDef: the name, the type, the offset
				if _, err := g.ReadAt(b, int64(o.word(40))); err == nil && word(b, 16) == at {
					name, _ = g.str(key)
				}
			})
		}
		if t = g.typeOf(t.base); t == nil || name != "" {
			break
		}
	}
	return name
}

// maxParts is how many steps of a path are told from either end.
const maxParts = 8

func reversed(parts []string) string {
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		if skipped := i - maxParts; skipped > 0 && len(parts)-i > maxParts {
			b.WriteString("…")
			i -= skipped
			continue
		}
		b.WriteString(parts[i])
	}
	return b.String()
}

func (g *graph) rootOf(n int32) root {
	for range g.nodes {
		if g.nodes[n].step == stepRoot {
			return g.roots[g.nodes[n].key]
		}
		n = g.nodes[n].parent
	}
	return root{}
}
