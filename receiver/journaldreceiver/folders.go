package journaldreceiver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/metadata"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// folders are the journal folders, and the files in them. One goroutine scans them while another reads: a file is opened as
// soon as it is seen, so that what is deleted while the reader is held up is still read.
type folders struct {
	cfg       *Config
	log       *zap.Logger
	telemetry *metadata.TelemetryBuilder

	mu        sync.Mutex
	files     map[sdjournal.ID]*file     // open
	positions map[sdjournal.ID]*position // of these, and of files that were read
	passed    map[string]passed          // by path: files that need not be opened again
	waiting   bool                       // files wait until others are closed
	warned    bool                       // of that
	gone      []sdjournal.ID             // in the order in which they went
}

// passed is a file that is not open.
type passed struct {
	stamp
	id  sdjournal.ID // zero when it could not be read
	bad string       // why not
}

// Why entries or files are lost, in the receiver's own metrics.
const (
	damaged    = "damaged"
	refused    = "refused"
	unreadable = "unreadable"
	vacuumed   = "vacuumed"
)

func because(reason string) metric.AddOption {
	return metric.WithAttributes(attribute.String("reason", reason))
}

// stamp tells a file from another one in its place.
type stamp struct {
	info os.FileInfo
	size int64
	at   time.Time
}

func stampOf(info os.FileInfo) stamp { return stamp{info, info.Size(), info.ModTime()} }

func (s stamp) same(o stamp) bool {
	return s.info != nil && os.SameFile(s.info, o.info) && s.size == o.size && s.at.Equal(o.at)
}

// list are the folders and the journal files in them.
func (s *folders) list() (dirs, files []string) {
	for _, root := range s.cfg.Directories {
		top, err := os.ReadDir(root)
		if err != nil {
			s.passOver(root, nil, err)
			continue
		}
		dirs = append(dirs, root)
		files = appendJournals(files, root, top)
		for _, e := range top {
			if dir := filepath.Join(root, e.Name()); e.IsDir() {
				below, err := os.ReadDir(dir)
				if err != nil {
					s.passOver(dir, nil, err)
					continue
				}
				dirs = append(dirs, dir)
				files = appendJournals(files, dir, below)
			}
		}
	}
	return dirs, files
}

func appendJournals(files []string, dir string, entries []os.DirEntry) []string {
	for _, e := range entries {
		if e.Type().IsRegular() && (strings.HasSuffix(e.Name(), ".journal") || strings.HasSuffix(e.Name(), ".journal~")) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// scan looks through the folders for files that are new, renamed or gone. It returns the folders that are there.
func (s *folders) scan() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirs, paths := s.list()
	here := map[sdjournal.ID]bool{}
	open := make(map[string]*file, len(s.files))
	for _, f := range s.files {
		open[f.path] = f
	}
	s.waiting = false
	for _, path := range paths {
		if id := s.see(path, open[path]); id != (sdjournal.ID{}) {
			here[id] = true
		}
	}
	slices.Sort(paths)
	for path := range s.passed {
		if _, there := slices.BinarySearch(paths, path); !there && strings.Contains(filepath.Base(path), ".journal") {
			delete(s.passed, path)
		}
	}
	for id, f := range s.files {
		if !here[id] {
			f.archived = true // deleted: read to the end, then closed
		}
	}
	for id, p := range s.positions {
		if here[id] || s.files[id] != nil {
			p.gone = false
			continue
		}
		s.forget(id, p)
	}
	return dirs
}

// see looks at one file, and opens it if there may be something to read. It returns the file's id.
func (s *folders) see(path string, f *file) sdjournal.ID {
	info, err := os.Stat(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.passOver(path, nil, err)
		}
		return sdjournal.ID{}
	}
	if f != nil && sameOpen(f, info) {
		return f.header.FileID
	}
	if p := s.passed[path]; p.bad == "" && p.same(stampOf(info)) {
		return p.id
	}
	r, err := os.Open(path)
	if err != nil {
		s.passOver(path, info, err)
		return sdjournal.ID{}
	}
	h, err := sdjournal.ReadHeader(r)
	if err != nil {
		_ = r.Close()
		if info.Size() > 0 { // an empty one was just created
			s.passOver(path, info, err)
		}
		return sdjournal.ID{}
	}
	if info, err = r.Stat(); err != nil {
		_ = r.Close()
		return h.FileID
	}
	p := s.positions[h.FileID]
	switch old := s.files[h.FileID]; {
	case old != nil:
		_ = r.Close()
		if sameOpen(old, info) { // renamed
			_, old.archived = splitName(filepath.Base(path))
			old.path, old.Path = path, path
		} else {
			s.passed[path] = passed{stamp: stampOf(info), id: h.FileID} // a copy
		}
		return h.FileID
	case p != nil && p.Done && h.Tail <= p.Seqnum:
		_ = r.Close()
		s.passed[path] = passed{stamp: stampOf(info), id: h.FileID}
		return h.FileID
	case len(s.files) >= s.cfg.MaxFiles:
		_ = r.Close()
		if !s.warned {
			s.log.Warn("more journal files than max_files wait to be read", zap.String("path", path), zap.Int("max_files", s.cfg.MaxFiles))
		}
		s.waiting, s.warned = true, true
		return h.FileID
	}
	if p == nil {
		p = &position{}
		s.positions[h.FileID] = p
	}
	p.Done, p.Path = false, path
	delete(s.passed, path)
	_, archived := splitName(filepath.Base(path))
	s.files[h.FileID] = &file{header: h, stream: streamOf(path), folder: filepath.Dir(path), file: r, maxEntry: s.cfg.MaxEntrySize,
		position: p, path: path, archived: archived}
	return h.FileID
}

func sameOpen(f *file, info os.FileInfo) bool {
	open, err := f.file.Stat()
	return err == nil && os.SameFile(open, info)
}

// passOver notes a file or folder that cannot be read, and says so once.
func (s *folders) passOver(path string, info os.FileInfo, err error) {
	why := err.Error()
	old := s.passed[path]
	s.passed[path] = passed{stamp: stamp{info: info}, bad: why}
	if old.bad == why {
		return
	}
	if errors.Is(err, fs.ErrNotExist) && info == nil {
		s.log.Info("no such journal folder; it is read when it appears", zap.String("path", path))
		return
	}
	hint := zap.Skip()
	if errors.Is(err, fs.ErrPermission) {
		hint = zap.String("hint", "run as root, or as a member of the group systemd-journal")
	}
	s.log.Error("cannot read the journal there", zap.String("path", path), zap.Error(err), hint)
	s.lostFile(unreadable)
}

// forget notes that a file is gone, and forgets those that went long ago.
func (s *folders) forget(id sdjournal.ID, p *position) {
	if p.gone {
		return
	}
	p.gone = true
	s.vacuumed(p)
	s.gone = append(s.gone, id)
	for len(s.gone) > maxGone {
		if old := s.positions[s.gone[0]]; old != nil && old.gone {
			delete(s.positions, s.gone[0])
		}
		s.gone = s.gone[1:]
	}
}

// vacuumed tells, once, of a file that is gone before it was read to its end.
func (s *folders) vacuumed(p *position) {
	if p.Done {
		return
	}
	p.Done = true
	s.log.Warn("a journal file was deleted before it was read to its end", zap.String("path", p.Path), zap.Uint64("read_to", p.Seqnum))
	s.lostFile(vacuumed)
}

func (s *folders) lostFile(reason string) {
	s.telemetry.ReceiverJournaldLostFiles.Add(context.Background(), 1, because(reason))
}
