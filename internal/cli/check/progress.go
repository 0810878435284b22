package check

import (
	"fmt"
	"time"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/kube"
)

// patience is how long a look at a cluster may take before its progress is shown.
const patience = time.Second

// progress shows on a terminal how far a look at a cluster is, once that takes long. It returns what to tell, and what to call at the
// end.
func progress(env cli.Env) (tell func(kube.Progress), done func()) {
	if !env.ErrTerminal {
		return nil, func() {}
	}
	began, shown := time.Now(), false
	tell = func(p kube.Progress) {
		if time.Since(began) < patience {
			return
		}
		shown = true
		fmt.Fprintf(env.ErrOut, "\r\x1b[Klooking: %s, %d of %d kinds", cli.Count(p.Objects, "object"), p.Kinds, p.Of) // ECMA-48: erase the line
	}
	return tell, func() {
		if shown {
			fmt.Fprint(env.ErrOut, "\r\x1b[K")
		}
	}
}
