package journaldreceiver

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// maxSalvage is how large a truncated file may be whose rest is read from a copy in memory.
const maxSalvage = 256 << 20

// salvage makes a copy in memory of a file that is shorter than it should be, with zeros in place of what is missing: libsystemd
// refuses the file itself, though most of it is there.
func salvage(f *os.File, refused error) (*os.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, err := sdjournal.ReadHeader(f)
	if err != nil {
		return nil, err
	}
	if uint64(info.Size()) >= h.Size || h.Size > maxSalvage {
		return nil, refused
	}
	fd, err := unix.MemfdCreate("journal", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("copy a truncated file: %w", err)
	}
	c := os.NewFile(uintptr(fd), f.Name())
	if _, err := io.Copy(c, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return nil, fmt.Errorf("copy a truncated file: %w", errors.Join(err, c.Close()))
	}
	if err := c.Truncate(int64(h.Size)); err != nil {
		return nil, fmt.Errorf("copy a truncated file: %w", errors.Join(err, c.Close()))
	}
	return c, nil
}
