package cgroupreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFile is the largest file that is read, in bytes. The largest real one, io.stat with hundreds of devices, is below 100 KiB.
const maxFile = 1 << 20

// file reads a file of the cgroup in a tree; the bytes are valid until the next read. A file that is not there, or whose
// cgroup is going, is no error: it says nothing.
func (r *reader) file(tree, name string) ([]byte, bool) {
	if tree == "" {
		return nil, false
	}
	fd, kept := r.kept[r.cgroup][name]
	var err error
	if !kept {
		folder := r.folder(tree)
		if folder < 0 {
			return nil, false
		}
		fd, err = unix.Openat(folder, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	n := 0
	if err == nil {
		n, err = r.readAll(fd)
		switch {
		case err != nil && kept: // its controller may have been switched off, and come back with another file
			delete(r.kept[r.cgroup], name)
			r.room++
			_ = unix.Close(fd)
		case err == nil && !kept && r.room > 0:
			r.keep(name, fd)
		case !kept:
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		if !gone(err) {
			r.fail(tree, name, err)
		}
		return nil, false
	}
	return r.buf[:n], true
}

// keep leaves a file of the cgroup open for the next time.
func (r *reader) keep(name string, fd int) {
	files := r.kept[r.cgroup]
	if files == nil {
		files = map[string]int{}
		r.kept[r.cgroup] = files
	}
	files[name] = fd
	r.room--
}

// forget closes the files of a cgroup that is gone. (While they are open, reading them fails with ENODEV.)
func (r *reader) forget(cgroup string) {
	for _, fd := range r.kept[cgroup] {
		_ = unix.Close(fd)
		r.room++
	}
	delete(r.kept, cgroup)
}

func (r *reader) fail(tree, name string, err error) {
	r.errs = append(r.errs, fmt.Errorf("read %s%s/%s: %w", tree, r.cgroup, name, err))
}

func (r *reader) readAll(fd int) (int, error) {
	n := 0
	for {
		k, err := unix.Pread(fd, r.buf[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return n, err
		}
		if n += k; n == len(r.buf) {
			if n >= maxFile {
				return n, errors.New("is larger than 1 MiB")
			}
			r.buf = append(r.buf, make([]byte, n)...)
		} else if n < 4096 {
			// The kernel makes these files in one piece, and a piece that left room is the whole. (A piece of more than a
			// page may come in several on kernels to come.)
			return n, nil
		}
	}
}

// gone says whether an error means that the file does not exist, or its cgroup is being removed. (EOPNOTSUPP: the pressure of
// a cgroup that has it switched off.)
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EOPNOTSUPP)
}
