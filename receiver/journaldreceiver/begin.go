package journaldreceiver

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// begin sets the position in each file as start_at says. Files that appear later are read from their beginning.
func (r *journalReceiver) begin(now time.Time) error {
	if r.cfg.StartAt == startBeginning {
		return nil
	}
	var cursor sdjournal.Cursor
	var from time.Time
	var err error
	switch r.cfg.StartAt {
	case startCursor:
		if cursor, err = sdjournal.ParseCursor(r.cfg.Cursor); err != nil {
			return fmt.Errorf("cursor: %w", err)
		}
	case startTime:
		if from, err = parseTime(r.cfg.Time, now); err != nil {
			return fmt.Errorf("time: %w", err)
		}
	}
	for _, f := range r.folders.files {
		switch {
		case r.cfg.StartAt == startTime:
			err = f.startAt(uint64(from.UnixMicro()))
		case r.cfg.StartAt == startEnd:
			err = f.startAtEnd()
		case cursor.SeqnumID == f.header.SeqnumID:
			f.Seqnum = cursor.Seqnum
		default:
			err = f.startAt(cursor.Realtime + 1)
		}
		if err != nil {
			// Damaged: nobody can tell where it begins, but where it ends.
			r.set.Logger.Warn("cannot find where to start in a journal file, and start at its end", zap.String("path", f.file.Name()), zap.Error(err))
			f.Seqnum = f.header.Tail
		}
		f.close()
	}
	return nil
}

// startAtEnd sets the position behind the last entry.
func (f *file) startAtEnd() error {
	if f.header.Entries == 0 {
		return nil
	}
	if err := f.open(); err != nil {
		return err
	}
	if err := f.journal.SeekLast(); err != nil {
		return err
	}
	return f.settle(0)
}

// startAt sets the position before the first entry that is not older, in microseconds since 1970.
func (f *file) startAt(usec uint64) error {
	if f.header.Entries == 0 {
		return nil
	}
	if err := f.open(); err != nil {
		return err
	}
	if err := f.journal.SeekTime(usec); err != nil {
		return err
	}
	return f.settle(usec)
}

// settle sets the position at the entry that is read next: before it when it is not older than usec, else behind it.
// What comes before was passed over, and so are its copies.
func (f *file) settle(usec uint64) error {
	b, err := f.journal.Read(1, maxBatchBytes)
	if err != nil {
		return err
	}
	if b.Count == 0 {
		if usec == 0 {
			return errors.New("there is no last entry")
		}
		return f.startAtEnd() // all are older
	}
	for e := range b.Entries() {
		f.Seqnum, f.Boot, f.From, f.To = b.Last, e.Boot.String(), 0, e.Monotonic
		if usec > 0 && e.Realtime >= usec {
			f.Seqnum--
			f.To = max(e.Monotonic, 1) - 1
		}
	}
	return nil
}
