//go:build linux

package python

// large is from which size on an object counts that holds no others, in bytes: what is put together to one piece, such as a str to which ever more
// is added, is another object each time, and none that holds it gets more entries.
const large = 64 << 10

// pieces are what large objects take that are reached in the same way, by their place, in bytes.
type pieces map[uint64]uint64

// piece says whether objects of a class hold no others, but may be large.
func (c class) piece() bool { return c == leaf || c == bytearray || c == array || c == ndarray }

// larger are names under which there is ever more in one piece, and no container has grown that it is in.
func (w *watch) larger(grown []*group) (all []Holder) {
	in := make([]bool, len(w.g.nodes)) // what has grown
	for _, of := range grown {
		for _, n := range of.nodes {
			in[n] = true
		}
	}
	found := map[uint64]bool{}
	for i, n := range w.g.nodes {
		in[i] = in[i] || n.parent >= 0 && in[n.parent]
		if in[i] || !n.typ.class.piece() || found[n.place] || len(all) >= maxHolders {
			continue
		}
		more, ok := w.rises(large, func(all walked) int { return int(all.pieces[n.place]) })
		if !ok {
			continue
		}
		found[n.place] = true
		h := Holder{Type: w.g.fullName(n.typ), Count: 1, Bytes: float64(more)}
		var from root
		h.Path, from = w.g.path(int32(i), true)
		h.File, h.Line, h.name = from.file, from.line, w.g.named(int32(i))
		all = append(all, h)
	}
	return all
}
