//go:build linux

package attribution

import (
	"os/exec"
	"testing"
)

var cgoleak = &program{dir: "cgoleak", args: []string{"env", "CGO_ENABLED=1", "go", "build", "-o", "OUT", "."}}

// What a Go program's C part keeps is named by the C function, and by what of C Go has called.
func TestGoWithC(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc")
	}
	t.Parallel()
	w := start(t, 64*megabyte, cgoleak.build(t))
	holds(t, w.named(t), "session_keep ← C.session_keep")
	w.killed(t)
}
