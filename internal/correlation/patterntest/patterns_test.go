package patterntest_test

import (
	"cmp"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/your-org/tapio/internal/correlation/pattern"
	"github.com/your-org/tapio/internal/correlation/patterntest"
	"github.com/your-org/tapio/internal/finding"
)

const folder = "../../../patterns"

var users = flag.String("patterns", "", "a folder of further patterns to test, each with its tests beside it")

// Every pattern has a test file of its name, and every case runs against all patterns together, so that it also shows what
// the others do not say.
func TestPatterns(t *testing.T) {
	all, err := pattern.Builtin()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	folders := map[string]string{}
	if *users != "" {
		theirs, err := pattern.Load(os.DirFS(*users))
		require.NoError(t, err)
		all = pattern.Merge(all, theirs)
		for _, p := range theirs {
			folders[p.Name] = *users
		}
	}
	commands := map[string]string{}
	told := func(f finding.Finding) {
		for _, r := range f.Remedies {
			commands[r.Command] = f.Pattern + ": " + r.ID
		}
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(cmp.Or(folders[p.Name], folder), p.Name+".test"))
			require.NoError(t, err, "a pattern needs a test file beside it")
			cases, err := patterntest.Parse(string(text))
			require.NoError(t, err)
			assert.True(t, strings.Contains(string(text), "expect "+p.Name), "no case expects %s", p.Name)
			assert.True(t, strings.Contains(string(text), "expect none"), "no case is a near miss")
			for _, c := range cases {
				t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) {
					assert.NoError(t, patterntest.Run(c, all, told), "%s.test:%d", p.Name, c.Line)
				})
			}
		})
	}
	// What is shown can be pasted as it stands.
	for command, of := range commands {
		assert.NotRegexp(t, `[/=:][A-Z]+\b`, command, "%s: a word that stands for another", of)
		out, err := exec.Command("sh", "-n", "-c", command).CombinedOutput()
		assert.NoError(t, err, "%s: %s\n%s", of, command, out)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(folder + "/*.test")
	require.NoError(f, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Add("case x\nentity a cgroup.path=/x\n0s..1m/1s gauge a memory.used 1Mi+1Mi/s\n1m expect none\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			t.Skip()
		}
		_, _ = patterntest.Parse(text)
	})
}
