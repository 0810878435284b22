package forecastcmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/your-org/tapio/internal/correlation/forecast"
	"github.com/your-org/tapio/internal/correlation/forecast/trajectory"
)

// Run answers memory samples with forecasts, line by line, until in ends or ctx is done: a {"trace":…,"limit":…} line starts
// anew and gets no answer, each {"t":…} line gets exactly one before the next is read. A line that is neither ends it with
// an error that names its number.
func Run(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), trajectory.MaxLine)
	var series *forecast.Series
	var limit float64
	number := 0
	for lines.Scan() {
		number++
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read memory samples: %w", err)
		}
		if trajectory.Blank(lines.Bytes()) {
			continue
		}
		line, err := trajectory.Parse(lines.Bytes())
		switch {
		case err != nil:
			return fmt.Errorf("line %d: %w", number, err)
		case line.Header != nil:
			series, limit = &forecast.Series{}, line.Header.Limit
			continue
		case series == nil:
			return fmt.Errorf(`line %d: a sample before any {"trace":"id","limit":bytes} line`, number)
		}
		s := line.Reading.Sample(limit)
		limit = s.Limit
		answer, err := json.Marshal(trajectory.AnswerOf(series.Observe(s)))
		if err != nil {
			return fmt.Errorf("line %d: encode the answer: %w", number, err)
		}
		if _, err := out.Write(append(answer, '\n')); err != nil {
			return fmt.Errorf("write the answer to line %d: %w", number, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: longer than %d bytes", number+1, trajectory.MaxLine)
	} else if err != nil {
		return fmt.Errorf("read memory samples: %w", err)
	}
	return nil
}
