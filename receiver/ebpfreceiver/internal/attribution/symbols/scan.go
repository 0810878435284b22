package symbols

import (
	"bytes"
	"encoding/binary"
)

// chunk is how much of a table is read at once where all of it is looked through.
const chunk = 1 << 20

// Entries finds functions by their full names. What the table does not have is not in the result.
func (t *GoTable) Entries(names ...string) (map[string]uint64, error) {
	offsets, err := t.nameOffsets(names)
	if err != nil {
		return nil, err
	}
	found := map[string]uint64{}
	var entries, functions window
	for i := 0; i < t.nfunc && len(found) < len(offsets); i++ {
		var b [8]byte
		if err := entries.read(t, b[:], t.funcs+int64(i)*8); err != nil {
			return nil, err
		}
		code, at := binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:])
		if err := functions.read(t, b[:4], t.funcs+int64(at)+4); err != nil {
			return nil, err
		}
		if name, ok := offsets[binary.LittleEndian.Uint32(b[:])]; ok {
			found[name] = t.text + uint64(code)
		}
	}
	return found, nil
}

// nameOffsets finds names among those of the table.
func (t *GoTable) nameOffsets(names []string) (map[uint32]string, error) {
	end := t.units // what follows the names
	if end <= t.names {
		end = t.size
	}
	end = min(end, t.names+maxSearched)
	found := map[uint32]string{}
	overlap := 0
	for _, name := range names {
		overlap = max(overlap, len(name)+2)
	}
	buf := make([]byte, chunk)
	for at := t.names; at < end && len(found) < len(names); at += int64(chunk - overlap) {
		b := buf[:min(chunk, end-at)]
		if err := t.read(b, at); err != nil {
			return nil, err
		}
		for _, name := range names {
			if i := bytes.Index(b, []byte("\x00"+name+"\x00")); i >= 0 {
				found[uint32(at-t.names)+uint32(i)+1] = name
			}
		}
	}
	return found, nil
}

// window is a part of the table that was read before. What is read in all is bounded: the descriptions of functions come in order.
type window struct {
	at    int64
	b     []byte
	total int64
}

func (w *window) read(t *GoTable, b []byte, at int64) error {
	if at < w.at || at+int64(len(b)) > w.at+int64(len(w.b)) {
		n := min(64<<10, t.size-at)
		if n < int64(len(b)) || at < 0 || w.total > maxSearched {
			return errTable
		}
		w.total += n
		if int64(cap(w.b)) < n {
			w.b = make([]byte, 64<<10)
		}
		w.b = w.b[:n]
		if err := t.read(w.b, at); err != nil {
			w.b = w.b[:0]
			return err
		}
		w.at = at
	}
	copy(b, w.b[at-w.at:])
	return nil
}
