package patterntest_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/extract/lines"
	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/patterntest"
	"github.com/your-org/tapio/internal/correlation/signal"
)

func readme(t *testing.T) string {
	b, err := os.ReadFile(folder + "/README.md")
	require.NoError(t, err)
	return string(b)
}

func block(t *testing.T, text, language string) string {
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
	require.NotNil(t, m, "no block of %s", language)
	return m[1]
}

// The README's example is a pattern that works, beside the built-in ones.
func TestReadmeExample(t *testing.T) {
	text := readme(t)
	p, err := pattern.Parse([]byte(block(t, text, "yaml")))
	require.NoError(t, err)
	rules, err := lines.Load()
	require.NoError(t, err)
	for _, kind := range rules.Kinds() {
		if kind != signal.KernelOOMContext && kind != signal.KernelOOMGroup { // these are joined with the kill they are about
			assert.Contains(t, text, "`"+kind+"`", "kind %s", kind)
		}
	}
	builtin, err := pattern.Builtin()
	require.NoError(t, err)
	cases, err := patterntest.Parse(block(t, text, "test"))
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) {
			assert.NoError(t, patterntest.Run(c, pattern.Merge(builtin, []*pattern.Pattern{p}), nil))
		})
	}
}

// The README names every field of a pattern, and every pattern.
func TestReadmeNamesEverything(t *testing.T) {
	text := readme(t)
	var fields func(typ reflect.Type)
	fields = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				continue
			}
			assert.Regexp(t, "`([a-z]+\\.)?"+name+"`", text, "field %s of %s", name, typ.Name())
			fields(f.Type)
		}
	}
	fields(reflect.TypeFor[pattern.Pattern]())
	for _, name := range pattern.ReservedNames() {
		assert.Contains(t, text, "| `"+name+"` |", "variable %s", name)
	}
	for _, name := range pattern.TextFunctions() {
		assert.Contains(t, text, "`"+name+"`", "function %s", name)
	}
	rules, err := lines.Load()
	require.NoError(t, err)
	for _, kind := range rules.Kinds() {
		if kind != signal.KernelOOMContext && kind != signal.KernelOOMGroup { // these are joined with the kill they are about
			assert.Contains(t, text, "`"+kind+"`", "kind %s", kind)
		}
	}
	builtin, err := pattern.Builtin()
	require.NoError(t, err)
	for _, p := range builtin {
		assert.Contains(t, text, "| `"+p.Name+"` | "+string(p.Kind)+" |")
	}
}
