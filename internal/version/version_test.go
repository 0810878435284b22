package version

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The version and the collector train are also written where the builder and Go read them: all must agree.
func TestAgrees(t *testing.T) {
	builder := read(t, "../../builder-config.yaml")
	if want := "version: " + Version + "\n"; !strings.Contains(builder, want) {
		t.Errorf("builder-config.yaml lacks %q", want)
	}
	beta, stable, _ := strings.Cut(Train, "/")
	for _, module := range []struct{ name, version string }{
		{"go.opentelemetry.io/collector/otelcol", beta},
		{"go.opentelemetry.io/collector/component", stable},
	} {
		if want := fmt.Sprintf("\t%s %s\n", module.name, module.version); !strings.Contains(read(t, "../../go.mod"), want) {
			t.Errorf("go.mod lacks %q", want)
		}
	}
	for _, m := range regexp.MustCompile(`gomod: (go\.opentelemetry\.io/collector|github\.com/open-telemetry)\S* (\S+)`).FindAllStringSubmatch(builder, -1) {
		if m[2] != beta && m[2] != stable {
			t.Errorf("builder-config.yaml has %s, want %s or %s", m[0], beta, stable)
		}
	}
}

func TestString(t *testing.T) {
	got := Get().String()
	if !regexp.MustCompile(`^0\.\d+\.\d+ \(commit \S+, collector v0\.\d+\.\d+/v1\.\d+\.\d+, go 1\.\d+\S*, \w+/\w+\)$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
