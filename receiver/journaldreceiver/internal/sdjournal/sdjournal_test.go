package sdjournal

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseCursor(t *testing.T) {
	c, err := ParseCursor("s=0123456789abcdef0123456789abcdef;i=1f;b=x;m=2;t=10;x=3")
	require.NoError(t, err)
	assert.Equal(t, Cursor{Seqnum: 31, Realtime: 16, SeqnumID: ID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}}, c)
	assert.Equal(t, "0123456789abcdef0123456789abcdef", c.SeqnumID.String())
	for _, bad := range []string{"", "s=1;i=1;t=1", "i=1;t=1", "s=0123456789abcdef0123456789abcdef;i=x;t=1", "s=0123456789abcdef0123456789abcdeg;i=1;t=1"} {
		_, err := ParseCursor(bad)
		assert.Error(t, err, bad)
	}
}

func TestHeaderSaysWhatIsWrong(t *testing.T) {
	_, err := ReadHeader(bytes.NewReader([]byte("LPKSHHRH")))
	assert.ErrorContains(t, err, "its header ends after 8 bytes, want 208")
	_, err = ReadHeader(bytes.NewReader(make([]byte, 300)))
	assert.ErrorContains(t, err, "not a journal file")
}

func TestOpenRefusesWhatIsNoJournal(t *testing.T) {
	if err := Load(); err != nil {
		t.Skip(err)
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	_, err = f.WriteString("not a journal")
	require.NoError(t, err)
	_, err = Open(f, 1<<10)
	assert.Error(t, err)
}

func FuzzParseCursor(f *testing.F) {
	f.Add("s=0123456789abcdef0123456789abcdef;i=1f;b=x;m=2;t=10;x=3")
	f.Add(";;=;i=;")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCursor(s); err == nil {
			if id, err := ParseID(c.SeqnumID.String()); err != nil || id != c.SeqnumID {
				t.Fatal(id, err)
			}
		}
	})
}

func FuzzReadHeader(f *testing.F) {
	good := make([]byte, fileHeaderSize)
	copy(good, signature)
	good[24] = 1
	f.Add(good)
	f.Add([]byte(signature))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ReadHeader(bytes.NewReader(b)); err == nil && h.FileID == (ID{}) {
			t.Fatal(h)
		}
	})
}

// Whatever is in the buffer, reading it ends and stays within it.
func FuzzEntries(f *testing.F) {
	e := NewEntry(1, 2, [2][]byte{[]byte("MESSAGE"), []byte("x")})
	f.Add(append(make([]byte, headerSize), e.fields...))
	f.Add([]byte{48, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		for e := range (Batch{encode: b}).Entries() {
			size += headerSize
			for name, value := range e.Fields() {
				size += fieldLengthLen + len(name) + 1 + len(value)
			}
		}
		if size > len(b) {
			t.Fatal(size, len(b))
		}
	})
}
