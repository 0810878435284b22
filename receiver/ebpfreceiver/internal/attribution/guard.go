package attribution

import (
	"fmt"
	"runtime"
	"strings"
)

// guarded calls f and turns a panic into an error. The files and the memory of a program are anybody's, and fuzzing finds what it finds: a
// program must not be able to end the collector that looks at it.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a defect of Tapio's in reading it, please report: %v%s", p, panicked())
		}
	}()
	return f()
}

// panicked says where, when it is called by a function that recovers: " at FUNCTION:LINE".
func panicked() string {
	callers := make([]uintptr, 16)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf(" at %s:%d", f.Function, f.Line)
		}
		if !more {
			return ""
		}
	}
}
