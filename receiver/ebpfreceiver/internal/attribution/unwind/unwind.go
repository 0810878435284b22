package unwind

import "encoding/binary"

// registers are the numbers that DWARF gives to registers on a machine.
type registers struct {
	sp, fp uint64
	// link is the register with the return address where a function has not saved it; none on amd64.
	link  uint64
	count int
	// signed says that return addresses may carry a signature in their upper bits.
	signed bool
}

var (
	amd64   = registers{sp: 7, fp: 6, link: 1 << 32, count: 17}
	aarch64 = registers{sp: 31, fp: 29, link: 30, count: 33, signed: true}
)

// State are a function's program counter and registers, by DWARF's numbers; Known says which are.
type State struct {
	PC    uint64
	Regs  [33]uint64
	Known uint64
}

// Set sets a register.
func (s *State) Set(reg int, v uint64) {
	s.Regs[reg] = v
	s.Known |= 1 << reg
}

// Memory is a copy of the upper part of a stack.
type Memory struct {
	At    uint64
	Bytes []byte
}

func (m Memory) word(at uint64) (uint64, bool) {
	if at < m.At || at-m.At > uint64(len(m.Bytes)) || uint64(len(m.Bytes))-(at-m.At) < 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(m.Bytes[at-m.At:]), true
}

// rule says where a register's value of the caller is.
type rule struct {
	kind byte
	off  int64
	reg  uint64
}

const (
	ruleSame = iota
	ruleUndefined
	ruleOffset    // at the frame's address + off
	ruleValOffset // is the frame's address + off
	ruleRegister
	ruleUnknown // an expression
)

type row struct {
	cfaReg  uint64
	cfaOff  int64
	cfaExpr bool
	rules   [33]rule
}

// Caller goes from a function to what called it. lookup is an address of the function's code: for a return address the byte before.
// It returns false at the end, or where the copy or the table does not reach.
func (t *Table) Caller(s *State, lookup uint64, m Memory) bool {
	f := t.at(lookup)
	w := &f.row
	if !f.ok || w.cfaExpr || w.cfaReg >= uint64(t.regs.count) || s.Known>>w.cfaReg&1 == 0 {
		return false
	}
	cfa := s.Regs[w.cfaReg] + uint64(w.cfaOff)
	if cfa < s.Regs[t.regs.sp] {
		return false // stacks grow downwards
	}
	next := State{}
	for i := range t.regs.count {
		switch r := w.rules[i]; r.kind {
		case ruleSame:
			if s.Known>>i&1 == 1 {
				next.Set(i, s.Regs[i])
			}
		case ruleOffset:
			if v, ok := m.word(cfa + uint64(r.off)); ok {
				next.Set(i, v)
			}
		case ruleValOffset:
			next.Set(i, cfa+uint64(r.off))
		case ruleRegister:
			if r.reg < uint64(t.regs.count) && s.Known>>r.reg&1 == 1 {
				next.Set(i, s.Regs[r.reg])
			}
		}
	}
	if f.result >= uint64(t.regs.count) || next.Known>>f.result&1 == 0 {
		return false
	}
	next.PC = next.Regs[f.result]
	if t.regs.signed {
		next.PC &= 1<<48 - 1
	}
	if next.PC == 0 || cfa == s.Regs[t.regs.sp] && next.PC == s.PC {
		return false
	}
	next.Set(int(t.regs.sp), cfa)
	*s = next
	return true
}

// row runs the instructions up to an address.
func (t *Table) row(e entry, pc uint64) (row, bool) {
	var w row
	if t.regs.link > 32 {
		// The return address is nowhere before it is said where.
		w.rules[16] = rule{kind: ruleUndefined}
	}
	m := machine{e: e, w: w, at: e.start, pc: pc}
	if !m.run(e.common) {
		return w, false
	}
	m.initial = m.w
	if !m.run(e.instruction) {
		return w, false
	}
	return m.w, true
}

type machine struct {
	e          entry
	w, initial row
	stack      []row
	at, pc     uint64
	done       bool
	steps      int
}

// run runs instructions of DWARF 5, 6.4.2; false: they are malformed, or too many.
func (m *machine) run(code []byte) bool {
	r := &reader{b: code}
	for len(r.b) > 0 && r.err == nil && !m.done {
		if m.steps++; m.steps > maxInstruction {
			return false
		}
		op := r.byte()
		low := uint64(op & 0x3f)
		switch op >> 6 {
		case 1: // advance_loc
			m.advance(low)
			continue
		case 2: // offset
			m.set(low, rule{kind: ruleOffset, off: int64(r.uleb()) * m.e.dataAlign})
			continue
		case 3: // restore
			m.restore(low)
			continue
		}
		switch op {
		case 0x00: // nop
		case 0x01: // set_loc
			r.skip(8)
			return false
		case 0x02:
			m.advance(uint64(r.byte()))
		case 0x03:
			m.advance(uint64(binary.LittleEndian.Uint16(r.take(2))))
		case 0x04:
			m.advance(uint64(binary.LittleEndian.Uint32(r.take(4))))
		case 0x05: // offset_extended
			reg := r.uleb()
			m.set(reg, rule{kind: ruleOffset, off: int64(r.uleb()) * m.e.dataAlign})
		case 0x06:
			m.restore(r.uleb())
		case 0x07:
			m.set(r.uleb(), rule{kind: ruleUndefined})
		case 0x08:
			m.set(r.uleb(), rule{kind: ruleSame})
		case 0x09:
			reg := r.uleb()
			m.set(reg, rule{kind: ruleRegister, reg: r.uleb()})
		case 0x0a: // remember_state
			if len(m.stack) >= maxRemembered {
				return false
			}
			m.stack = append(m.stack, m.w)
		case 0x0b: // restore_state
			if len(m.stack) == 0 {
				return false
			}
			m.w, m.stack = m.stack[len(m.stack)-1], m.stack[:len(m.stack)-1]
		case 0x0c: // def_cfa
			m.w.cfaReg, m.w.cfaOff, m.w.cfaExpr = r.uleb(), int64(r.uleb()), false
		case 0x0d:
			m.w.cfaReg = r.uleb()
		case 0x0e:
			m.w.cfaOff = int64(r.uleb())
		case 0x0f: // def_cfa_expression
			m.w.cfaExpr = true
			r.skip(r.uleb())
		case 0x10, 0x16: // expression, val_expression
			m.set(r.uleb(), rule{kind: ruleUnknown})
			r.skip(r.uleb())
		case 0x11:
			reg := r.uleb()
			m.set(reg, rule{kind: ruleOffset, off: r.sleb() * m.e.dataAlign})
		case 0x12:
			m.w.cfaReg, m.w.cfaOff, m.w.cfaExpr = r.uleb(), r.sleb()*m.e.dataAlign, false
		case 0x13:
			m.w.cfaOff = r.sleb() * m.e.dataAlign
		case 0x14:
			reg := r.uleb()
			m.set(reg, rule{kind: ruleValOffset, off: int64(r.uleb()) * m.e.dataAlign})
		case 0x15:
			reg := r.uleb()
			m.set(reg, rule{kind: ruleValOffset, off: r.sleb() * m.e.dataAlign})
		case 0x2d: // arm64: return addresses are signed from here on
		case 0x2e: // GNU_args_size
			r.uleb()
		default:
			return false
		}
	}
	return r.err == nil
}

func (m *machine) advance(n uint64) {
	next := m.at + n*m.e.codeAlign
	if next > m.pc {
		m.done = true
		return
	}
	m.at = next
}

func (m *machine) set(reg uint64, to rule) {
	if reg < uint64(len(m.w.rules)) {
		m.w.rules[reg] = to
	}
}

func (m *machine) restore(reg uint64) {
	if reg < uint64(len(m.w.rules)) {
		m.w.rules[reg] = m.initial.rules[reg]
	}
}
