package sdjournal

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Cursor is the position of an entry, as `journalctl --show-cursor` prints it.
type Cursor struct {
	// SeqnumID says what Seqnum counts: entries of files with the same one have distinct numbers.
	SeqnumID ID
	Seqnum   uint64
	// Realtime is when the journal took the entry, in microseconds since 1970.
	Realtime uint64
}

// String is the ID in hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads an ID of 32 hexadecimal digits.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return id, fmt.Errorf("id %q has %d digits, want %d", s, len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("id %q: %w", s, err)
	}
	return id, nil
}

// ParseCursor reads a cursor: s=ID;i=NUMBER;b=ID;m=USEC;t=USEC;x=HASH, numbers in hexadecimal (sd_journal_get_cursor(3)).
func ParseCursor(s string) (Cursor, error) {
	var c Cursor
	var seen [3]bool
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "s":
			c.SeqnumID, err = ParseID(value)
			seen[0] = true
		case "i":
			c.Seqnum, err = strconv.ParseUint(value, 16, 64)
			seen[1] = true
		case "t":
			c.Realtime, err = strconv.ParseUint(value, 16, 64)
			seen[2] = true
		}
		if err != nil {
			return Cursor{}, fmt.Errorf("cursor %q: %w", s, err)
		}
	}
	if seen != [3]bool{true, true, true} {
		return Cursor{}, fmt.Errorf("cursor %q is none, want s=…;i=…;b=…;m=…;t=…;x=… as `journalctl --show-cursor` prints it", s)
	}
	return c, nil
}
