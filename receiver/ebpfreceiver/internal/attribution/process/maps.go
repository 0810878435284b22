//go:build linux

package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxMappings bounds what is read of a process; the kernel's own default limit is 65,530.
	maxMappings = 1 << 17
	// maxPaths bounds the bytes of all their paths, each of which may have 4096.
	maxPaths = 16 << 20
)

// Mapping is one mapping of a process's memory.
type Mapping struct {
	Start, End, Offset uint64
	Perms              string
	Inode              uint64
	// Path is the file's, as the process sees it, or the kernel's name in brackets; empty for anonymous memory.
	Path string
}

// Executable says whether code can run in it.
func (m Mapping) Executable() bool { return len(m.Perms) > 2 && m.Perms[2] == 'x' }

// Writable says whether it can be written to.
func (m Mapping) Writable() bool { return len(m.Perms) > 1 && m.Perms[1] == 'w' }

// File says whether it is of a file.
func (m Mapping) File() bool { return m.Inode != 0 && strings.HasPrefix(m.Path, "/") }

// Maps reads the mappings of the process, by address.
func (p *Process) Maps() ([]Mapping, error) {
	f, err := os.Open(p.file("maps"))
	if err != nil {
		return nil, gone(err)
	}
	defer f.Close()
	all, err := parseMaps(f)
	if err != nil {
		return nil, fmt.Errorf("read the mappings of process %d: %w", p.PID, gone(err))
	}
	return all, nil
}

func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

func parseMaps(r io.Reader) ([]Mapping, error) {
	var all []Mapping
	var seen bound
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		m, ok := parseMapping(lines.Bytes())
		if !ok {
			return nil, fmt.Errorf("not a mapping: %q", lines.Text())
		}
		if err := seen.add(&m); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, lines.Err()
}

// bound is how much was read of mappings.
type bound struct {
	n, paths int
	last     string
}

// add counts one more. Those of one file share its path: most follow each other.
func (b *bound) add(m *Mapping) error {
	if b.n++; b.n > maxMappings {
		return fmt.Errorf("more than %d mappings", maxMappings)
	}
	switch m.Path {
	case "":
		return nil
	case b.last:
		m.Path = b.last
		return nil
	}
	b.last = m.Path
	if b.paths += len(m.Path); b.paths > maxPaths {
		return fmt.Errorf("paths of mappings with more than %d bytes", maxPaths)
	}
	return nil
}

// parseMapping reads a line of proc_pid_maps(5): START-END PERMS OFFSET DEVICE INODE [PATH].
func parseMapping(line []byte) (Mapping, bool) {
	var m Mapping
	var field [5][]byte
	for i := range field {
		field[i], line, _ = bytes.Cut(bytes.TrimLeft(line, " "), []byte{' '})
	}
	start, end, ok := bytes.Cut(field[0], []byte{'-'})
	if !ok || len(field[1]) != 4 {
		return m, false
	}
	var errs [4]error
	m.Start, errs[0] = strconv.ParseUint(string(start), 16, 64)
	m.End, errs[1] = strconv.ParseUint(string(end), 16, 64)
	m.Offset, errs[2] = strconv.ParseUint(string(field[2]), 16, 64)
	m.Inode, errs[3] = strconv.ParseUint(string(field[4]), 10, 64)
	m.Perms = string(field[1])
	m.Path = string(bytes.TrimLeft(line, " "))
	return m, errors.Join(errs[:]...) == nil && m.Start < m.End
}

// MappedFile opens the file of a mapping, below the process's own root. It fails when that is not what the process has
// mapped: the file may have been replaced, or hidden by a mount. The kernel still knows one that was removed.
func (p *Process) MappedFile(m Mapping) (*os.File, error) {
	f, err := p.OpenInRoot(strings.TrimSuffix(m.Path, " (deleted)"))
	if err == nil {
		if err = p.same(f, m); err == nil {
			return f, nil
		}
		err = errors.Join(err, f.Close())
	}
	// Links of /proc lead to the very file. map_files wants more rights than exe.
	for _, name := range []string{"exe", filepath.Join("map_files", fmt.Sprintf("%x-%x", m.Start, m.End))} {
		path := p.file(name)
		if to, e := os.Readlink(path); e != nil || to != m.Path {
			continue
		}
		at, e := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if e != nil {
			continue
		}
		f, e := regular(at, m.Path)
		if e != nil {
			continue
		}
		if e = p.same(f, m); e == nil {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, err
}

// OpenInRoot opens a regular file as the process sees it.
func (p *Process) OpenInRoot(path string) (*os.File, error) {
	at, err := p.inRoot(path)
	var f *os.File
	if err == nil {
		f, err = regular(at, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s of process %d: %w", path, p.PID, err)
	}
	return f, nil
}

// inRoot finds a file as the process sees it, and does not open it. Links inside a container must not lead out of it.
func (p *Process) inRoot(path string) (at int, err error) {
	root, err := os.Open(p.file("root"))
	if err != nil {
		return -1, gone(err)
	}
	defer root.Close()
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return unix.Openat2(int(root.Fd()), path, &how)
}

var errNotRegular = errors.New("not a regular file")

// regular opens what was found, and closes at. Anything but a regular file is left alone: a container may put there what it may not open
// itself, and to open a device is to do something (a watchdog starts).
func regular(at int, path string) (*os.File, error) {
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNotRegular
	}
	// Who has a lease on it must not hold us up.
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// same compares what the file begins with to what the process has mapped of that: inode numbers differ below overlay mounts.
func (p *Process) same(f *os.File, m Mapping) error {
	inFile, inMemory := make([]byte, 1024), make([]byte, 1024)
	if _, err := f.ReadAt(inFile, 0); err != nil {
		return fmt.Errorf("read %s of process %d: %w", m.Path, p.PID, err)
	}
	if m.Offset != 0 {
		return nil // what it begins with is not in this mapping
	}
	if _, err := p.ReadAt(inMemory, int64(m.Start)); err != nil {
		return err
	}
	if !bytes.Equal(inFile, inMemory) {
		return fmt.Errorf("%s is not the file that process %d has mapped: it was replaced", m.Path, p.PID)
	}
	return nil
}
