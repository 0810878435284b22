package journaldreceiver

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// streams are the open files, by stream and in each from the oldest to the newest.
func (s *folders) streams() [][]*file {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*file, 0, len(s.files))
	for _, f := range s.files {
		if f.header.Entries == 0 { // when it was opened: it has no age yet
			if h, err := sdjournal.ReadHeader(f.file); err == nil {
				f.header = h
			}
		}
		all = append(all, f)
	}
	slices.SortFunc(all, older)
	var streams [][]*file
	for i, f := range all {
		if i == 0 || all[i-1].stream != f.stream {
			streams = append(streams, nil)
		}
		last := len(streams) - 1
		streams[last] = append(streams[last], f)
	}
	return streams
}

// older orders files by stream, and in each by age. It is for the order of what is told only: a position is within its file.
func older(a, b *file) int {
	if c := strings.Compare(a.stream, b.stream); c != 0 {
		return c
	}
	if a.header.Entries == 0 || b.header.Entries == 0 {
		return -cmp.Compare(a.header.Entries, b.header.Entries)
	}
	if a.header.SeqnumID == b.header.SeqnumID {
		return cmp.Compare(a.header.Head, b.header.Head)
	}
	return cmp.Compare(a.header.HeadRealtime, b.header.HeadRealtime)
}

// done says whether nothing is written to the file any more.
func (s *folders) done(f *file, h sdjournal.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.archived || h.State == sdjournal.Archived
}

// close closes a file; what is to be read in it later, when it changes, is seen by the next scan.
func (s *folders) close(f *file, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, f.header.FileID)
	info, err := f.file.Stat()
	vacuumed := why != nil && deleted(f.file)
	f.release()
	if vacuumed {
		s.vacuumed(f.position)
		return
	}
	if err != nil {
		return
	}
	s.passed[f.path] = passed{stamp: stampOf(info), id: f.header.FileID}
	if why != nil {
		s.log.Error("cannot read a journal file", zap.String("path", f.path), zap.Error(why))
		s.lostFile(unreadable)
	}
}

// room says whether files that waited can be opened.
func (s *folders) room() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting && len(s.files) < s.cfg.MaxFiles
}

// others are the positions of files in other folders whose entries may be in this one too.
func (s *folders) others(f *file) []*position {
	s.mu.Lock()
	defer s.mu.Unlock()
	var others []*position
	for _, p := range s.positions {
		if p != f.position && p.Boot != "" && filepath.Dir(p.Path) != f.folder && streamOf(p.Path) == f.stream {
			others = append(others, p)
		}
	}
	return others
}

// move changes the position in a file.
func (s *folders) move(f *file, change func(*position)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(f.position)
}

// store stores the position in a file, and with it those of files that came or went.
func (s *folders) store(ctx context.Context, c *checkpoints, id sdjournal.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.store(ctx, id, s.positions)
}
