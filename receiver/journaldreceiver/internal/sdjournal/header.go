package sdjournal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Header is what a journal file says of itself (systemd's src/libsystemd/sd-journal/journal-def.h, struct Header).
type Header struct {
	// FileID stays with the file when it is renamed.
	FileID, MachineID, SeqnumID ID
	State                       State
	// Size is how large the file is meant to be, in bytes.
	Size uint64
	// Entries is how many entries there are, Head and Tail the sequence numbers of the first and the last.
	Entries, Head, Tail uint64
	// HeadRealtime is when the first entry was taken, in microseconds since 1970.
	HeadRealtime uint64
}

// State says who may write to a file.
type State uint8

const (
	// Offline files are in order, and may be written to again.
	Offline State = iota
	// Online files are being written to, or were when their writer died.
	Online
	// Archived files are never written to again.
	Archived
)

const (
	fileHeaderSize = 208 // up to and including the fields that every version has
	signature      = "LPKSHHRH"
)

var errNoJournal = errors.New("not a journal file")

// ReadHeader reads the header of a journal file.
func ReadHeader(r io.ReaderAt) (Header, error) {
	b := make([]byte, fileHeaderSize)
	if n, err := r.ReadAt(b, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return Header{}, fmt.Errorf("%w: its header ends after %d bytes, want %d", errNoJournal, n, fileHeaderSize)
		}
		return Header{}, err
	}
	if string(b[:8]) != signature {
		return Header{}, fmt.Errorf("%w: it begins with %q, want %q", errNoJournal, b[:8], signature)
	}
	h := Header{
		State:        State(b[16]),
		FileID:       ID(b[24:40]),
		MachineID:    ID(b[40:56]),
		SeqnumID:     ID(b[72:88]),
		Size:         binary.LittleEndian.Uint64(b[88:]) + binary.LittleEndian.Uint64(b[96:]),
		Entries:      binary.LittleEndian.Uint64(b[152:]),
		Tail:         binary.LittleEndian.Uint64(b[160:]),
		Head:         binary.LittleEndian.Uint64(b[168:]),
		HeadRealtime: binary.LittleEndian.Uint64(b[184:]),
	}
	if h.FileID == (ID{}) || h.State > Archived {
		return Header{}, fmt.Errorf("%w: file id %s, state %d", errNoJournal, h.FileID, h.State)
	}
	return h, nil
}
