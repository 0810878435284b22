//go:build !linux

package journaldreceiver

import "os"

// deleted is for Linux only, as journals are.
func deleted(*os.File) bool { return false }
