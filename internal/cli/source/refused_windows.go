package source

import (
	"errors"

	"golang.org/x/sys/windows"
)

// refused says whether a connection was refused: nobody listens there. (The syscall package's ECONNREFUSED is a number of its own there,
// which no system call returns.)
func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }
