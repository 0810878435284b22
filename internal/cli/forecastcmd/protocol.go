package forecastcmd

import (
	"bufio"
	"bytes"
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan []byte)
	var failed error // why there are no more, once lines is closed
	go func() {
		defer close(lines)
		failed = scan(ctx, in, lines)
	}()
	var series *forecast.Series
	var limit float64
	for number := 1; ; number++ {
		var text []byte
		var more bool
		select {
		case <-ctx.Done():
		case text, more = <-lines:
		}
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff")) // a byte order mark, as PowerShell writes it
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("read memory samples: %w", ctx.Err())
		case more && trajectory.Blank(text):
			continue
		case !more && errors.Is(failed, bufio.ErrTooLong):
			return fmt.Errorf("line %d: longer than %d bytes", number, trajectory.MaxLine)
		case !more && failed != nil:
			return fmt.Errorf("read memory samples: %w", failed)
		case !more:
			return nil
		}
		line, err := trajectory.Parse(text)
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
}

// scan sends the lines of in until they end, or ctx does. A read cannot be called off: one that waits is left behind.
func scan(ctx context.Context, in io.Reader, lines chan<- []byte) error {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 0, 4096), trajectory.MaxLine)
	for s.Scan() {
		select {
		case lines <- bytes.Clone(s.Bytes()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.Err()
}
