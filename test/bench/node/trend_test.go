//go:build linux

package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGrows(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name  string
		value func(hour float64) float64
		want  bool
	}{
		{"constant", func(float64) float64 { return 7 }, false},
		{"nothing", func(float64) float64 { return 0 }, false},
		{"noise", func(float64) float64 { return 60 + 5*noise.Float64() }, false},
		{"the saw of a heap", func(h float64) float64 { return 40 + 10*math.Mod(h*31, 1) }, false},
		{"a leak", func(h float64) float64 { return 40 + 6*h }, true},
		{"a leak under a saw", func(h float64) float64 { return 40 + 6*h + 10*math.Mod(h*31, 1) }, true},
		{"a descriptor every ten minutes", func(h float64) float64 { return 50 + math.Floor(h*6) }, true},
		{"a leak not worth the name", func(h float64) float64 { return 40 + 0.1*h }, false},
		{"shrinking", func(h float64) float64 { return 40 - 6*h }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var at, v []float64
			for i := range 60 { // half an hour, a sample each 30 s
				at, v = append(at, float64(i)/120), append(v, tt.value(float64(i)/120))
			}
			slope, margin := trend(at, v)
			assert.Equal(t, tt.want, grows(slope, margin, v), "%g ± %g", slope, margin)
		})
	}
}
