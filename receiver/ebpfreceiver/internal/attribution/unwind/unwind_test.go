package unwind

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	indexAt  = 0x2000
	framesAt = 0x3000
	codeAt   = 0x1000
)

// tinyFrames are the tables of one function at 0x1000 of 0x40 bytes:
//
//	push %rbp; mov %rsp,%rbp (from 4 on the frame is found by rbp); push %rbx; …
func tinyFrames() (index, frames []byte) {
	record := func(b []byte) {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		frames = binary.LittleEndian.AppendUint32(frames, uint32(len(b)))
		frames = append(frames, b...)
	}
	record([]byte{
		0, 0, 0, 0, // what is shared
		1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b,
		0x0c, 7, 8, // def_cfa rsp+8
		0x80 | 16, 1, // the return address is at cfa-8
	})
	function := uint32(len(frames))
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, function+4) // back to what is shared
	at := uint32(framesAt) + function + 8
	b = binary.LittleEndian.AppendUint32(b, codeAt-at)
	b = binary.LittleEndian.AppendUint32(b, 0x40)
	b = append(b, 0,
		0x40|1, 0x0e, 16, 0x80|6, 2, // after the push: cfa is rsp+16, rbp at cfa-16
		0x40|3, 0x0d, 6, // then cfa is rbp+16
		0x40|1, 0x80|3, 3, // rbx at cfa-24
	)
	record(b)
	frames = append(frames, 0, 0, 0, 0)

	index = append(index, 1, 0x1b, 3, 0x3b)
	index = binary.LittleEndian.AppendUint32(index, 0)
	index = binary.LittleEndian.AppendUint32(index, 1)
	start, frame := int32(codeAt-indexAt), int32(framesAt+function-indexAt)
	index = binary.LittleEndian.AppendUint32(index, uint32(start))
	index = binary.LittleEndian.AppendUint32(index, uint32(frame))
	return index, frames
}

func table(index, frames []byte) (*Table, error) {
	return New(bytes.NewReader(index), indexAt, bytes.NewReader(frames), framesAt, uint64(len(frames)), false, Rows{})
}

func TestCaller(t *testing.T) {
	tab, err := table(tinyFrames())
	require.NoError(t, err)
	// The stack, from 0x7000: rbx as saved, rbp as saved, the return address, and the caller's frame.
	var stack []byte
	for _, v := range []uint64{0xb, 0x7ff0, 0x1234, 0xcafe} {
		stack = binary.LittleEndian.AppendUint64(stack, v)
	}
	m := Memory{At: 0x7000, Bytes: stack}
	for name, c := range map[string]struct {
		pc, sp, bp uint64
		rbx        uint64
	}{
		"at its beginning":        {codeAt, 0x7010, 0x7ff0, 0xaa},
		"after rbp is pushed":     {codeAt + 1, 0x7008, 0x7ff0, 0xaa},
		"with a frame pointer":    {codeAt + 4, 0x7008, 0x7008, 0xaa},
		"after rbx is pushed":     {codeAt + 5, 0x7000, 0x7008, 0xb},
		"with space on the stack": {codeAt + 0x3f, 0x6000, 0x7008, 0xb},
	} {
		s := State{PC: c.pc}
		s.Set(7, c.sp)
		s.Set(6, c.bp)
		s.Set(3, 0xaa)
		require.True(t, tab.Caller(&s, c.pc, m), name)
		assert.Equal(t, uint64(0x1234), s.PC, name)
		assert.Equal(t, uint64(0x7018), s.Regs[7], name)
		assert.Equal(t, uint64(0x7ff0), s.Regs[6], name)
		assert.Equal(t, c.rbx, s.Regs[3], name)
	}
	_, frames := tinyFrames()
	scanned, err := Scan(bytes.NewReader(frames), framesAt, uint64(len(frames)), false, Rows{})
	require.NoError(t, err)
	assert.True(t, scanned.Covers(codeAt), "without an index")
	assert.False(t, scanned.Covers(codeAt+0x40))
	start, ok := scanned.Start(codeAt + 5)
	assert.True(t, ok)
	assert.Equal(t, uint64(codeAt), start)
	for _, pc := range []uint64{codeAt - 1, codeAt + 0x40, 0, 1<<64 - 1} {
		s := State{PC: pc}
		s.Set(7, 0x7010)
		assert.False(t, tab.Caller(&s, pc, m), "%#x has no table", pc)
	}
	s := State{PC: codeAt}
	s.Set(7, 0x9000)
	assert.False(t, tab.Caller(&s, codeAt, m), "the copy does not reach there")
}

// A program may have hundreds of libraries, and ever other addresses on its stacks: what is remembered of all together is bounded, and of each
// table what it says itself.
func TestRows(t *testing.T) {
	rows := Rows{}
	index, frames := tinyFrames()
	one, err := New(bytes.NewReader(index), indexAt, bytes.NewReader(frames), framesAt, uint64(len(frames)), false, rows)
	require.NoError(t, err)
	other, err := Scan(bytes.NewReader(frames), framesAt, uint64(len(frames)), false, rows)
	require.NoError(t, err)
	other.scanned[0].start += 0x20
	for pc := uint64(codeAt); pc < codeAt+2*maxRows; pc++ {
		one.Covers(pc)
		other.Covers(pc)
		require.LessOrEqual(t, len(rows), maxRows)
	}
	for range 2 {
		assert.True(t, one.Covers(codeAt+1))
		assert.False(t, other.Covers(codeAt+1))
	}
}

// The tables are those of anybody's program.
func FuzzCaller(f *testing.F) {
	index, frames := tinyFrames()
	f.Add(index, frames, uint64(codeAt+5), make([]byte, 64))
	f.Add([]byte{}, frames, uint64(codeAt+5), make([]byte, 64))
	f.Fuzz(func(t *testing.T, index, frames []byte, pc uint64, stack []byte) {
		tab, err := table(index, frames)
		if len(index) == 0 {
			tab, err = Scan(bytes.NewReader(frames), framesAt, uint64(len(frames)), false, Rows{})
		}
		if err != nil {
			return
		}
		tab.Start(pc)
		tab.Ends(pc)
		s := State{PC: pc}
		for i := range 17 {
			s.Set(i, 0x7000)
		}
		m := Memory{At: 0x7000, Bytes: stack}
		for range 8 {
			before := s.Regs[7]
			if !tab.Caller(&s, s.PC, m) {
				return
			}
			if s.Regs[7] < before {
				t.Fatal("the stack went the wrong way")
			}
		}
	})
}
