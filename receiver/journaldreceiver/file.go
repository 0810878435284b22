package journaldreceiver

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// maxBatchBytes bounds what is read together.
const maxBatchBytes = 1 << 20

// file is a journal file that is being read.
type file struct {
	header   sdjournal.Header // when it was opened
	stream   string           // files of one writer have the same, whatever folder they are in
	folder   string
	file     *os.File
	maxEntry int
	*position

	// The folders' lock guards these.
	path     string
	archived bool // by its name, or because it is gone: nothing is written any more

	// The reading loop's own.
	journal  *sdjournal.File // nil until it is read
	salvaged *os.File        // the copy that is read instead, of a truncated file
	singly   int             // how many entries are read one by one, to find the one that cannot be
	stuck    time.Time       // since when there is more than can be read
	stuckAt  uint64          // and where
}

// archivedRE are the names that journald gives to files it will not write to again: NAME@SEQNUM_ID-SEQNUM-TIME.journal after a
// rotation, NAME@TIME-RANDOM.journal~ for those that were not closed in order.
var archivedRE = regexp.MustCompile(`^(.*)@(?:[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{16}\.journal|[0-9a-f]{16}-[0-9a-f]{16}\.journal~)$`)

// splitName takes a file's name apart: that of its writer, and whether it was archived.
func splitName(name string) (writer string, archived bool) {
	if m := archivedRE.FindStringSubmatch(name); m != nil {
		return m[1], true
	}
	writer, archived = strings.CutSuffix(name, ".journal~")
	return strings.TrimSuffix(writer, ".journal"), archived
}

// streamOf is the name of a file's stream. The same machine's files are in folders of one name, below /var and below /run.
func streamOf(path string) string {
	writer, _ := splitName(filepath.Base(path))
	return filepath.Base(filepath.Dir(path)) + "/" + writer
}

// open opens the journal and goes to the position.
func (f *file) open() error {
	f.close()
	from := f.file
	if f.salvaged != nil {
		from = f.salvaged
	}
	j, err := sdjournal.Open(from, f.maxEntry)
	if err != nil && f.salvaged == nil {
		if f.salvaged, err = salvage(f.file, err); err == nil {
			j, err = sdjournal.Open(f.salvaged, f.maxEntry)
		}
	}
	if err != nil {
		return err
	}
	f.journal = j
	return f.seek(f.Seqnum + 1)
}

// seek goes to before the first entry with this sequence number or a greater one.
func (f *file) seek(seqnum uint64) error {
	if seqnum <= 1 {
		return f.journal.SeekHead()
	}
	return f.journal.Seek(f.header.SeqnumID, seqnum)
}

// read reads the next entries.
func (f *file) read(maxEntries int) (sdjournal.Batch, error) {
	if f.journal == nil {
		if err := f.open(); err != nil {
			return sdjournal.Batch{}, err
		}
	}
	if f.singly > 0 {
		maxEntries = 1
		f.singly--
	}
	b, err := f.journal.Read(maxEntries, maxBatchBytes)
	if err == nil && b.Count > 0 && b.Last <= f.Seqnum {
		return sdjournal.Batch{}, fmt.Errorf("entry %d comes after entry %d", b.Last, f.Seqnum)
	}
	return b, err
}

// skip finds the next entry behind the position that can be read, no further than tail. It opens the file anew each time,
// because libsystemd gives up on a file for good at the first damage.
func (f *file) skip(tail uint64) (next uint64, found bool) {
	try := func(seqnum uint64) bool {
		if err := f.open(); err != nil || f.seek(seqnum) != nil {
			return false
		}
		b, err := f.journal.Read(1, maxBatchBytes)
		next = b.Last
		return err == nil && b.Count == 1 && next >= seqnum
	}
	good, bad := uint64(0), f.Seqnum
	for step := uint64(1); f.Seqnum+step <= tail; step++ {
		if step > 8 { // damage is rarely confined to a few: look further each time
			step += step / 2
		}
		at := min(f.Seqnum+step, tail)
		if try(at) {
			good = at
			break
		}
		bad = at
	}
	if good == 0 {
		return 0, false
	}
	for good-bad > 1 {
		if middle := bad + (good-bad)/2; try(middle) {
			good = middle
		} else {
			bad = middle
		}
	}
	return next, try(good)
}

// close closes the journal, not the file, which can still be opened again.
func (f *file) close() {
	if f.journal != nil {
		f.journal.Close()
		f.journal = nil
	}
}

// release closes everything.
func (f *file) release() {
	f.close()
	_ = f.file.Close() // it was only read
	if f.salvaged != nil {
		_ = discard(f.salvaged)
	}
}
