// Package patterns holds the failure modes that Tapio knows, one YAML file each with its tests beside it.
// README.md describes both languages.
package patterns

import "embed"

// Files are the built-in patterns.
//
//go:embed *.yaml
var Files embed.FS
