package journaldreceiver

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// maxSalvage is how large a file may be whose rest is read from a copy, in bytes; journald's own default is 128 MiB at most.
const maxSalvage = 256 << 20

// salvage makes a copy of a file that libsystemd refuses though most of it is there: one that is shorter than it should be, with
// zeros in place of what is missing, or one that was deleted. libsystemd wants a name, so that the copy cannot be in memory.
func salvage(f *os.File, refused error) (*os.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, err := sdjournal.ReadHeader(f)
	if err != nil {
		return nil, err
	}
	size := uint64(info.Size())
	if size >= h.Size && !deleted(f) || max(h.Size, size) > maxSalvage {
		return nil, refused
	}
	c, err := os.CreateTemp("", "tapio-*.journal")
	if err != nil {
		return nil, fmt.Errorf("copy what is left of it: %w", err)
	}
	if _, err = io.Copy(c, io.NewSectionReader(f, 0, info.Size())); err == nil {
		err = c.Truncate(int64(max(h.Size, size)))
	}
	if err != nil {
		return nil, fmt.Errorf("copy what is left of it: %w", errors.Join(err, discard(c)))
	}
	return c, nil
}

// discard closes and removes a copy.
func discard(c *os.File) error { return errors.Join(c.Close(), os.Remove(c.Name())) }
