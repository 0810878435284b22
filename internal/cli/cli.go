// Package cli holds what the commands of tapio share: where they read and write, the exit status, and how text from others is
// made safe to print.
package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/your-org/tapio/internal/correlation/pattern"
)

// Env is the world a command runs in. Tests bring their own.
type Env struct {
	In          io.Reader
	Out, ErrOut io.Writer
	// Terminal says whether Out is a terminal on which a page can be drawn, Color whether it shows colours, Width how many columns it has
	// (0: unknown); ErrTerminal, whether ErrOut is one.
	Terminal, Color, ErrTerminal bool
	Width                        int
	// Size is how many columns and rows the terminal has now; nil where it is not known.
	Size   func() (columns, rows int)
	Getenv func(string) string
	Now    func() time.Time
}

// System is the world of this process.
func System() Env {
	env := Env{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr, Getenv: os.Getenv, Now: time.Now}
	able := env.Getenv("TERM") != "dumb" // it knows control sequences
	env.ErrTerminal = able && term.IsTerminal(int(os.Stderr.Fd()))
	if fd := int(os.Stdout.Fd()); term.IsTerminal(fd) {
		env.Size = func() (int, int) {
			columns, rows, _ := term.GetSize(fd)
			return columns, rows
		}
		env.Width, _ = env.Size()
		env.Terminal = able
		env.Color = able && env.Getenv("NO_COLOR") == "" // no-color.org: any value that is not empty
	}
	return env
}

// The exit statuses of every command.
const (
	ExitOK       = 0
	ExitFindings = 1 // there are findings of the severity asked for
	ExitFailed   = 2 // it could not look
)

// ErrFindings is returned by a command that told of findings and wants the exit status to say so.
var ErrFindings = fmt.Errorf("there are findings")

// Colour is how a piece of text stands out on a terminal (SGR parameters, ECMA-48).
type Colour string

// The colours in use.
const (
	Red    Colour = "31;1"
	Yellow Colour = "33;1"
	Green  Colour = "32;1"
	Bold   Colour = "1"
	Dim    Colour = "2"
)

// Paint gives a text a colour where colours are shown.
func (e Env) Paint(c Colour, text string) string {
	if !e.Color {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// maxText bounds a text from outside that is printed (runes).
const maxText = 4000

// Clean makes a text that came from outside safe for a terminal: no control characters, nothing that reorders or hides what
// stands beside it, one line, bounded.
func Clean(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > maxText {
			return -1
		}
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
}

// Words are words of a command that can be pasted into a shell, also those that others chose.
func Words(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, pattern.Quote(Clean(w)))
	}
	return strings.Join(quoted, " ")
}

// Wrap breaks a text into lines of at most width columns, each after indent. Words are not broken.
func Wrap(text, indent string, width int) string {
	if width < 40 {
		width = 100
	}
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		if n := len([]rune(word)); column > 0 && column+1+n > width-len(indent) {
			b.WriteString("\n")
			column = 0
		}
		if column == 0 {
			b.WriteString(indent)
		} else {
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len([]rune(word))
	}
	return b.String()
}

// Count writes a number of things: 1 cgroup, 2 cgroups.
func Count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
