// Package version says what this build of Tapio is.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

const (
	// Version is the release that this source leads to; builder-config.yaml says the same, which a test checks.
	Version = "0.1.0"
	// Train is the release of the OpenTelemetry Collector that the distribution is made of.
	Train = "v0.145.0/v1.51.0"
)

// Commit is the commit this was built from, with "-dirty" when the tree had changes. The Makefile sets it by -ldflags; without
// it the Go tool's own stamp is used.
var Commit string

// Info is a build, told.
type Info struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Train   string `json:"collectorTrain"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Get returns what this build is. Commit is "unknown" when the source was no checkout.
func Get() Info {
	return Info{Version: Version, Commit: commit(), Train: Train, Go: strings.TrimPrefix(runtime.Version(), "go"),
		OS: runtime.GOOS, Arch: runtime.GOARCH}
}

// String tells a build in one line.
func (i Info) String() string {
	return fmt.Sprintf("%s (commit %s, collector %s, go %s, %s/%s)", i.Version, i.Commit, i.Train, i.Go, i.OS, i.Arch)
}

func commit() string {
	if Commit != "" {
		return Commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return revision + dirty
}
