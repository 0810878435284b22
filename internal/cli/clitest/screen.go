// Package clitest helps to test commands that go on.
package clitest

import (
	"bytes"
	"sync"
)

// Screen is what a command has written so far. It may be read while the command writes.
type Screen struct {
	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements io.Writer.
func (s *Screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// String is all of it.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}
