//go:build linux

package attribution

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var goroutes = &program{dir: "goroutes", args: []string{"go", "build", "-ldflags=-s -w", "-o", "OUT", "."}}

// The route is read from the request; where there is no pattern, it is what was asked for, without what differs.
func TestGoRoutes(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"mux":      {nil, "GET /api/users/{id}"},
		"http2":    {nil, "GET /api/users/{id}"},
		"nested":   {nil, "GET /api/users/{id}"},
		"copied":   {nil, "GET /api/users/{id}"},
		"timeout":  {nil, "GET /api/users/{id}"},
		"stripped": {nil, "GET /api/users/*"}, // the pattern is of what is left of the path
		"own":      {nil, "GET /api/users/*"}, // no multiplexer, no pattern
		"the same": {[]string{"-form", "own", "-same"}, "GET /api/users/0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, 80*megabyte, goroutes.build(t), append([]string{"-form", name}, c.args...)...)
			got := w.named(t)
			require.NotEmpty(t, got.Sites)
			s := got.Sites[0]
			assert.Equal(t, "main.users", s.Function.Function)
			assert.Equal(t, c.want, s.Route)
			assert.Greater(t, s.Share, 0.85)
			w.killed(t)
		})
	}
}
