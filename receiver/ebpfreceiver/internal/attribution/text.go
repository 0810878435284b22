//go:build linux

package attribution

import "strings"

// Text names a site and its callers: "main.(*SessionCache).Put ← main.users".
func (s Site) Text() string {
	parts := []string{s.Function.Function}
	for _, c := range s.Callers {
		parts = append(parts, c.Function)
	}
	return strings.Join(parts, " ← ")
}
