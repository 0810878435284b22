package attribution

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGuarded(t *testing.T) {
	broken := errors.New("broken")
	var nothing []int
	for name, c := range map[string]struct {
		f   func() (int, error)
		err string
	}{
		"goes well": {f: func() (int, error) { return 1, nil }},
		"fails":     {f: func() (int, error) { return 0, broken }, err: "^broken$"},
		"panics": {
			f:   func() (int, error) { return nothing[len(nothing)], nil },
			err: `^a defect of Tapio's in reading it, please report: runtime error: index out of range \[0\] with length 0 at .*/attribution\.TestGuarded\.func\d+:\d+$`,
		},
		"panics of its own": {f: func() (int, error) { panic("no") }, err: `: no at .*/attribution\.TestGuarded\.func\d+:\d+$`},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := guarded(c.f)
			if c.err == "" {
				assert.NoError(t, err)
				assert.Equal(t, 1, v)
				return
			}
			if assert.Error(t, err) {
				assert.Regexp(t, c.err, err.Error())
			}
		})
	}
}
