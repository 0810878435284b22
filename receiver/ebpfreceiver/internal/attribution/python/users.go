//go:build linux

package python

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxUsers is how many functions may use a variable to be told; of one that many use, or whose name is a common one, none is.
const maxUsers = 4

// named is the name of the attribute that an object is reached by, a str; 0 when it is a variable of a function, or that function's own.
func (g *graph) named(n int32) uint64 {
	for range g.nodes {
		of := g.nodes[n]
		switch of.step {
		case stepAttribute:
			if of.typ.class == function {
				return 0
			}
			return of.key
		case stepRoot, stepLocal:
			return 0
		}
		n = of.parent
	}
	return 0
}

// users tells for names which of the program's functions use them: those whose code refers to that very str, since names are interned.
func (g *graph) users(names []uint64) map[uint64][]string {
	found := map[uint64][]string{}
	for i, n := range g.nodes {
		if n.typ.class == function && g.late() {
			return nil // there may be others
		}
		if n.typ.class != function || g.rootOf(int32(i)).rank != ofProgram {
			continue
		}
		o, ok := g.object(n.addr)
		if !ok {
			continue
		}
		c, ok := g.object(o.word(g.at.functionCode))
		if !ok || c.typ.class != code {
			continue
		}
		used, ok := g.object(c.word(g.at.usedNames))
		if !ok || used.typ.class != tuple || used.length() > maxVariables {
			continue
		}
		g.pointers(used.addr+24, used.length(), func(ref uint64) {
			if !slices.Contains(names, ref) || len(found[ref]) > maxUsers {
				return
			}
			if r, ok := g.function(c.addr); ok && !strings.HasPrefix(r.file, "<") { // what was generated, as by dataclasses
				text := fmt.Sprintf("%s (%s:%d)", r.within, path.Base(r.file), r.line)
				if !slices.Contains(found[ref], text) {
					found[ref] = append(found[ref], text)
				}
			}
		})
	}
	for name, all := range found {
		if len(all) > maxUsers {
			delete(found, name)
			continue
		}
		slices.SortFunc(all, strings.Compare)
	}
	return found
}
