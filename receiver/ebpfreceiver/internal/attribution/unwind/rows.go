package unwind

// maxRows bounds how many addresses' rows are kept, of some 900 bytes each.
const maxRows = 4096

// Rows are those that tables were asked for: the same few come again and again. All tables of a process share them.
type Rows map[place]*found

type place struct {
	table *Table
	pc    uint64
}

// found is what the table says of an address.
type found struct {
	row    row
	result uint64
	ok     bool
}

// at looks an address up, and remembers it.
func (t *Table) at(pc uint64) *found {
	if f, ok := t.rows[place{t, pc}]; ok {
		return f
	}
	f := new(found)
	if e, err := t.find(pc); err == nil {
		f.row, f.ok = t.row(e, pc)
		f.result = e.result
	}
	if len(t.rows) >= maxRows {
		clear(t.rows)
	}
	t.rows[place{t, pc}] = f
	return f
}

// Covers says whether the table tells who called the code at an address.
func (t *Table) Covers(pc uint64) bool { f := t.at(pc); return f.ok && !f.row.cfaExpr }

// Ends says that nobody did: it is where a thread begins.
func (t *Table) Ends(pc uint64) bool {
	f := t.at(pc)
	return f.ok && f.result < uint64(len(f.row.rules)) && f.row.rules[f.result].kind == ruleUndefined
}

// Start is where the function begins that an address is in.
func (t *Table) Start(pc uint64) (uint64, bool) {
	e, err := t.find(pc)
	return e.start, err == nil
}
