package lines

// automaton finds which of many literals occur in a text, in one pass over it (Aho and Corasick, 1975), as a table of states
// by bytes. It is made once and safe for concurrent use.
type automaton struct {
	// class maps bytes to columns of the table: bytes that occur in no literal share column 0.
	class   [256]uint8
	columns int
	next    []int32
	// found lists the literals that end in a state, by their place in the list that the automaton was made of.
	found [][]int
}

func newAutomaton(literals []string) *automaton {
	a := &automaton{columns: 1}
	for _, l := range literals {
		for i := range len(l) {
			if a.class[l[i]] == 0 {
				a.class[l[i]] = uint8(a.columns) // rules are ASCII, which newRule sees to: 128 columns at most
				a.columns++
			}
		}
	}
	a.grow()
	for n, l := range literals {
		state := int32(0)
		for i := range len(l) {
			at := int(state)*a.columns + int(a.class[l[i]])
			if a.next[at] == 0 {
				a.next[at] = a.grow()
			}
			state = a.next[at]
		}
		a.found[state] = append(a.found[state], n)
	}
	a.link()
	return a
}

// grow adds a state and returns it.
func (a *automaton) grow() int32 {
	a.next = append(a.next, make([]int32, a.columns)...)
	a.found = append(a.found, nil)
	return int32(len(a.found) - 1)
}

// link completes the table: where a literal does not go on, the longest suffix does that begins another.
func (a *automaton) link() {
	fail := make([]int32, len(a.found))
	var queue []int32
	for c := range a.columns {
		if s := a.next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		a.found[state] = append(a.found[state], a.found[fail[state]]...)
		for c := range a.columns {
			at, back := int(state)*a.columns+c, a.next[int(fail[state])*a.columns+c]
			if a.next[at] == 0 {
				a.next[at] = back
				continue
			}
			fail[a.next[at]] = back
			queue = append(queue, a.next[at])
		}
	}
}

// each calls visit with each literal that occurs in the text, as often as it does, until visit returns false.
func (a *automaton) each(text string, visit func(literal int) bool) {
	state := int32(0)
	for i := range len(text) {
		state = a.next[int(state)*a.columns+int(a.class[text[i]])]
		if found := a.found[state]; found != nil {
			for _, n := range found {
				if !visit(n) {
					return
				}
			}
		}
	}
}
