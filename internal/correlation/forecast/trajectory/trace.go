package trajectory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Trace is one recorded run.
type Trace struct {
	Header
	Readings []Reading
}

// maxReadings bounds a trace: half a year at a sample every 15 s.
const maxReadings = 1 << 20

// Read reads one trace: its header and then its samples, to the end of r.
func Read(r io.Reader) (Trace, error) {
	var t Trace
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), MaxLine)
	for number := 1; lines.Scan(); number++ {
		if Blank(lines.Bytes()) {
			continue
		}
		line, err := Parse(lines.Bytes())
		switch {
		case err != nil:
			return t, fmt.Errorf("line %d: %w", number, err)
		case line.Header != nil && t.Limit == 0:
			t.Header = *line.Header
		case line.Header != nil:
			return t, fmt.Errorf("line %d: a second trace: want one a file", number)
		case t.Limit == 0:
			return t, fmt.Errorf("line %d: a sample before the header", number)
		case len(t.Readings) == maxReadings:
			return t, fmt.Errorf("line %d: more than %d samples", number, maxReadings)
		default:
			t.Readings = append(t.Readings, *line.Reading)
		}
	}
	if err := lines.Err(); err != nil {
		return t, fmt.Errorf("read a trace: %w", err)
	}
	if t.Limit == 0 {
		return t, errors.New("no trace in it")
	}
	return t, nil
}
