package journaldreceiver

import (
	"os"
	"syscall"
)

// deleted says whether the file has no name any more. journald punches out what is in the files it vacuums, so that one which is
// still open has nothing but zeros.
func deleted(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}
