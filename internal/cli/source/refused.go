//go:build !windows

package source

import (
	"errors"
	"syscall"
)

// refused says whether a connection was refused: nobody listens there.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
