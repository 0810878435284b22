package trend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestGrows(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []float64 // a second apart
		want  bool
	}{
		"nothing":                 {nil, false},
		"one point":               {[]float64{5e6}, false},
		"two points":              {[]float64{1e6, 5e6}, true},
		"a straight line":         {[]float64{1e6, 2e6, 3e6, 4e6, 5e6, 6e6}, true},
		"flat":                    {[]float64{5e6, 5e6, 5e6, 5e6, 5e6}, false},
		"falling":                 {[]float64{6e6, 5e6, 4e6, 3e6, 2e6}, false},
		"less than counts":        {[]float64{5e6, 5.02e6, 5.04e6, 5.06e6, 5.08e6}, false},
		"a cache that has filled": {[]float64{1e6, 3e6, 5e6, 7e6, 7e6, 7e6, 7e6, 7e6, 7e6}, false},
		"a sawtooth":              {[]float64{1e6, 6e6, 1e6, 6e6, 1e6, 6e6, 1e6, 6e6}, false},
		"a line with a peak":      {[]float64{1e6, 2e6, 3e6, 4e6, 5e6, 14e6, 7e6, 8e6, 9e6, 10e6}, true},
		"a line with a sawtooth":  {[]float64{1e6, 6e6, 11e6, 15e6, 21e6, 26e6, 31e6, 36e6}, true},
	} {
		var points []Point
		for i, n := range c.bytes {
			points = append(points, Point{time.Duration(i) * time.Second, n})
		}
		assert.Equal(t, c.want, Of(points).Grows(256<<10), name)
	}
}
