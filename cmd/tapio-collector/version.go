package main

import "github.com/your-org/tapio/internal/version"

// fullVersion is what `tapio-collector --version` prints. `make generate` puts it into main.go, because the builder knows no
// commit.
func fullVersion() string { return version.Get().String() }
