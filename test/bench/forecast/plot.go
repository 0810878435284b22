package main

import (
	"bytes"
	"fmt"

	"github.com/your-org/tapio/internal/correlation/forecast/accuracy"
)

// mark is a predictor's figures, or those of one confidence.
type mark struct {
	name string
	accuracy.Figures
}

// plot draws recall and lead over the rate of false alarms: left and up is better.
func plot(points, curve []mark) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="860" height="400" font-family="sans-serif" font-size="12">`)
	fmt.Fprintln(&b, `<rect width="860" height="400" fill="white"/>`)
	panel(&b, 60, "recall", 0.3, 1, 0.1, "%.1f", func(m mark) float64 { return m.Recall }, points, curve)
	panel(&b, 490, "mean lead (minutes)", 0, 60, 10, "%.0f", func(m mark) float64 { return m.MeanLead }, points, curve)
	fmt.Fprintln(&b, `</svg>`)
	return b.Bytes()
}

func panel(b *bytes.Buffer, left float64, title string, from, to, step float64, format string, y func(mark) float64, points, curve []mark) {
	const width, top, height = 340.0, 40.0, 300.0
	px := func(v float64) float64 { return left + v*width }
	py := func(v float64) float64 { return top + height - (v-from)/(to-from)*height }
	fmt.Fprintf(b, `<text x="%.0f" y="24" font-weight="bold">%s</text>`+"\n", left, title)
	for v := from; v <= to+step/2; v += step {
		fmt.Fprintf(b, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#ddd"/>`, left, left+width, py(v), py(v))
		fmt.Fprintf(b, `<text x="%.0f" y="%.1f" text-anchor="end">`+format+"</text>\n", left-6, py(v)+4, v)
	}
	for v := 0.0; v <= 1.01; v += 0.2 {
		fmt.Fprintf(b, `<text x="%.1f" y="%.0f" text-anchor="middle">%.1f</text>`+"\n", px(v), top+height+18, v)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.0f" text-anchor="middle">false alarm rate (quiet runs with any alarm)</text>`+"\n", left+width/2, top+height+38)
	fmt.Fprint(b, `<polyline fill="none" stroke="#06c" stroke-width="2" points="`)
	for _, m := range curve {
		fmt.Fprintf(b, "%.1f,%.1f ", px(m.FalseAlarmRate), py(y(m)))
	}
	fmt.Fprintln(b, `"/>`)
	for _, m := range curve {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="#06c"/>`, px(m.FalseAlarmRate), py(y(m)))
		if m.name == "0.50" || m.name == "0.80" {
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="#06c">tapio ≥ %s</text>`, px(m.FalseAlarmRate)+6, py(y(m))+14, m.name)
		}
		fmt.Fprintln(b)
	}
	for _, m := range points {
		x, anchor := px(m.FalseAlarmRate), "start"
		if m.FalseAlarmRate > 0.7 {
			x, anchor = x-14, "end"
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="7" height="7" fill="#c40"/>`, px(m.FalseAlarmRate)-3.5, py(y(m))-3.5)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="#c40">%s</text>`+"\n", x+7, py(y(m))+offset(m.name), anchor, m.name)
	}
}

// offset keeps the names of two points that lie together apart.
func offset(name string) float64 {
	if name == "theil_sen" {
		return 16
	}
	return -3
}
