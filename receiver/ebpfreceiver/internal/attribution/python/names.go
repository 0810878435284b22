//go:build linux

package python

import (
	"fmt"
	"strings"
)

// path says how an object is reached from a module, as it is written in Python: "app.SESSIONS", "app.Registry.items", "sessions in main()".
// exact also says which items of containers are meant. from is where that begins.
func (g *graph) path(n int32, exact bool) (name string, from root) {
	var steps []int32 // that are told, the last first
	told := func() string {
		return reversed(len(steps), func(i int) string { return g.part(g.nodes[steps[i]], exact) })
	}
	for i := range g.nodes {
		if i%256 == 0 && g.late() {
			break
		}
		of := g.nodes[n]
		if of.typ.class == typeObject && len(steps) > 0 {
			// A class is known by its own name, wherever it was reached.
			if t := g.typeOf(of.addr); t != nil {
				return g.fullName(t) + told(), g.rootOf(n)
			}
		}
		switch of.step {
		case stepRoot:
			from = g.roots[of.key]
			return within(from.name+told(), from), from
		case stepLocal:
			if from, ok := g.running(g.nodes[of.parent].addr); ok {
				return within(g.key(of)+told(), from), from
			}
			steps = append(steps, n)
		case stepNamespace:
			if len(steps) == 0 {
				steps = append(steps, n)
			}
		case stepAttribute, stepItem, stepField, stepDefaults:
			steps = append(steps, n)
		}
		n = of.parent
	}
	return "?" + told(), from
}

// part is one step of a path.
func (g *graph) part(of node, exact bool) string {
	switch of.step {
	case stepNamespace:
		return ".__dict__"
	case stepItem:
		if key, ok := g.str(of.key); ok && exact && len(key) <= 40 {
			return fmt.Sprintf("[%q]", key)
		}
		return "[…]"
	case stepField:
		return g.field(of)
	case stepDefaults:
		return ".__defaults__"
	}
	return "." + g.key(of)
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
	switch {
	case o.typ.class == function:
		at = addr + g.at.functionCode
	case o.typ.class == frame && g.at.generatorFrame != 0:
		at = o.word(24) + g.at.code
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

// maxSlots bounds how many slots' names are remembered.
const maxSlots = 4096

// slot names the slot of a class (__slots__) that is at an offset.
func (g *graph) slot(t *typ, at uint64) (name string) {
	of := slotAt{t.addr, at}
	if name, ok := g.slots[of]; ok {
		return name
	}
	for range maxBases {
		if g.late() {
			return ""
		}
		if space, ok := g.object(t.namespce); ok && space.typ.class == dict {
			g.entries(space, func(key, value uint64) {
				if name != "" {
					return
				}
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
	if len(g.slots) < maxSlots {
		g.slots[of] = name
	}
	return name
}

// maxParts is how many steps of a path are told from either end.
const maxParts = 8

// reversed is a path of n parts, the last of which is part(0). Only those that are told are asked for.
func reversed(n int, part func(i int) string) string {
	var b strings.Builder
	for i := n - 1; i >= 0; i-- {
		if skipped := i - maxParts; skipped > 0 && n-i > maxParts {
			b.WriteString("…")
			i -= skipped
			continue
		}
		b.WriteString(part(i))
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
