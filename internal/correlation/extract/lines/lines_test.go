package lines

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

func builtin(t testing.TB) *Rules {
	r, err := Load()
	require.NoError(t, err)
	return r
}

// Every rule knows its own lines, which are real ones; no rule knows those that only look alike, nor does a rule of another
// source know them. The golden files have what is made of each.
func TestRulesKnowTheirLines(t *testing.T) {
	rules := builtin(t)
	require.Len(t, rules.groups, 5)
	for source, g := range rules.groups {
		t.Run(string(source), func(t *testing.T) {
			var out strings.Builder
			for _, r := range g.rules {
				for _, line := range r.Lines {
					f, ok := rules.Find(source, line, nil)
					if !assert.True(t, ok, "no rule knows %q", line) {
						continue
					}
					assert.Equal(t, r.Kind, f.Kind, line)
					_, own := r.find(line, nil)
					assert.True(t, own && strings.Contains(line, r.Has), "the rule does not know its own line %q", line)
					fmt.Fprintf(&out, "%s\n  %s %v%s: %s\n", line, f.Kind, f.Value, f.Unit, f.Text)
					for _, k := range slices.Sorted(maps.Keys(f.Attributes)) {
						fmt.Fprintf(&out, "    %s = %s\n", k, f.Attributes[k])
					}
					for _, k := range slices.Sorted(maps.Keys(f.About)) {
						fmt.Fprintf(&out, "    about %s = %s\n", k, f.About[k])
					}
					if f.Cgroup != "" {
						fmt.Fprintf(&out, "    about cgroup %s\n", f.Cgroup)
					}
				}
				for _, line := range r.Not {
					f, ok := rules.Find(source, line, nil)
					assert.False(t, ok, "%q was taken for %s", line, f.Kind)
				}
			}
			golden := filepath.Join("testdata", string(source)+".golden")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(out.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), out.String())
		})
	}
}

func TestALineMeansNothingFromAnotherSource(t *testing.T) {
	rules := builtin(t)
	for _, from := range []Source{Systemd, Kubelet, Runtime, Clock, ""} {
		_, ok := rules.Find(from, "Memory cgroup out of memory: Killed process 4488 (workload) total-vm:1358024kB, anon-rss:131328kB, file-rss:1796kB", nil)
		assert.False(t, ok, from)
	}
}

// The journal's entries of systemd have fields, which count more than words.
func TestFieldsOfTheJournal(t *testing.T) {
	rules := builtin(t)
	entry := map[string]string{"MESSAGE_ID": "5eb03494b6584870a536b337290809b3", "UNIT": "api.service", "N_RESTARTS": "7"}
	field := func(name string) string { return entry[name] }
	f, ok := rules.Find(Systemd, "api.service: Neustart geplant.", field)
	require.True(t, ok)
	assert.Equal(t, "unit.restarted", f.Kind)
	assert.Equal(t, map[string]string{"unit": "api.service", "restarts": "7"}, f.Attributes)
	assert.Equal(t, map[string]string{"systemd.unit": "api.service"}, f.About)
	assert.Equal(t, "systemd starts api.service again (restart 7)", f.Text)
	_, ok = rules.Find(Kernel, "api.service: Neustart geplant.", field)
	assert.False(t, ok, "the kernel has no such entries")
	delete(entry, "UNIT")
	_, ok = rules.Find(Systemd, "Neustart geplant.", field)
	assert.False(t, ok, "it does not say which unit")
}

func TestMistakesInRules(t *testing.T) {
	good := map[string]string{"kind": "a.b", "from": "c", "has": "abcd", "match": "abcd (?P<n>.*)", "text": "it is {n}", "lines": "[abcd e]"}
	for _, c := range []struct{ field, value, want string }{
		{"kind", "", "kind, from, text and lines are all needed"},
		{"lines", "[]", "kind, from, text and lines are all needed"},
		{"has", "abc", `has is "abc", want four characters of ASCII at least`},
		{"has", "абвг", "want four characters of ASCII at least"},
		{"match", "'abcd ('", "match: error parsing regexp"},
		{"text", "'it is {m}'", `text is "m", want the name of a group of match`},
		{"text", "'it is {n'", "want a } for every {"},
		{"value", "m", `value is "m", want the name of a group of match`},
		{"cgroup", "m", `cgroup is "m", want the name of a group of match`},
		{"about", "{x: m}", `about.x is "m", want the name of a group of match`},
		{"colour", "red", `unknown field "colour"`},
	} {
		rule := maps.Clone(good)
		rule[c.field] = c.value
		var text strings.Builder
		text.WriteString("-\n")
		for k, v := range rule {
			fmt.Fprintf(&text, "  %s: %s\n", k, v)
		}
		_, err := load(fstest.MapFS{"x.yaml": {Data: []byte(text.String())}})
		assert.ErrorContains(t, err, c.want, "%s: %s", c.field, c.value)
		assert.ErrorContains(t, err, "x.yaml")
	}
	_, err := load(fstest.MapFS{"x.yaml": {Data: []byte(strings.Repeat("- {kind: a, from: b, has: abcd, match: abcd, text: t, lines: [abcd]}\n", maxRules+1))}})
	assert.ErrorContains(t, err, "has 65 rules, want at most 64")
}

// What the automaton finds is what strings.Contains does.
func FuzzAutomaton(f *testing.F) {
	f.Add("he", "she", "hers", "ushers")
	f.Add("aaaa", "aa", "a", "aaaaaaa")
	f.Add("abcd", "bcd", "cx", "abcx")
	f.Fuzz(func(t *testing.T, a, b, c, text string) {
		literals := []string{a, b, c}
		for _, l := range literals {
			if l == "" || strings.ContainsFunc(l, func(r rune) bool { return r > '~' }) || len(l) > 100 {
				t.Skip()
			}
		}
		got := map[int]bool{}
		newAutomaton(literals).each(text, func(n int) bool {
			got[n] = true
			return true
		})
		for n, l := range literals {
			assert.Equal(t, strings.Contains(text, l), got[n], "%q in %q", l, text)
		}
	})
}

func FuzzFind(f *testing.F) {
	rules := builtin(f)
	sources := slices.Sorted(maps.Keys(rules.groups))
	for i, source := range sources {
		for _, r := range rules.groups[source].rules {
			for _, line := range slices.Concat(r.Lines, r.Not) {
				f.Add(uint8(i), line)
			}
		}
	}
	f.Fuzz(func(t *testing.T, from uint8, line string) {
		found, ok := rules.Find(sources[int(from)%len(sources)], line, nil)
		if ok && (found.Kind == "" || found.Value < 0 || found.Value != found.Value || len(found.Text) > 4*maxLine) {
			t.Errorf("%+v", found)
		}
	})
}

// ordinary are lines that systems write all the time and that mean nothing.
var ordinary = map[Source][]string{
	Kernel: {
		"usb 1-1: new high-speed USB device number 2 using xhci_hcd",
		"IPv6: ADDRCONF(NETDEV_CHANGE): veth9f2c1a3: link becomes ready",
		"cni0: port 7(veth9f2c1a3) entered forwarding state",
		"EXT4-fs (sda1): mounted filesystem 5c3b6d1e-7d5b-4c7d-9a44-b09a2ce6a5c1 r/w with ordered data mode. Quota mode: none.",
		"audit: type=1400 audit(1732417471.123:88): apparmor=\"STATUS\" operation=\"profile_replace\" profile=\"unconfined\" name=\"docker-default\" pid=812",
		"workload invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
	},
	Kubelet: {
		`I1106 17:10:47.609220  793002 kubelet.go:2624] "SyncLoop (PLEG): event for pod" pod="calico-system/csi-node-driver-wnx8x" event={"ID":"b1418c4b-13e8-4a44-b207-692af582b82a","Type":"ContainerStarted","Data":"2fbbcef213b718e5d87922b787de72f4d0db4aaa7ffa801c5016c7927537b604"}`,
		`I0620 10:27:34.896076  290854 scope.go:117] "RemoveContainer" containerID="fcf542990eebfe217e7848894aed49caf5309fc09739f88bf38f7b6a493c5f1c"`,
	},
}

// Lines that mean nothing, which is what nearly all lines do. Its number is for one core; see lines/s.
func BenchmarkNoMatch(b *testing.B) {
	rules := builtin(b)
	for source, all := range ordinary {
		b.Run(string(source), func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			n := 0
			for b.Loop() {
				line := all[n%len(all)]
				size += len(line)
				if f, ok := rules.Find(source, line, nil); ok {
					b.Fatal(f)
				}
				n++
			}
			b.SetBytes(int64(size / n))
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	rules := builtin(b)
	for b.Loop() {
		if _, ok := rules.Find(Kernel, "Memory cgroup out of memory: Killed process 4488 (workload) total-vm:1358024kB, anon-rss:131328kB, file-rss:1796kB, shmem-rss:0kB, UID:0 pgtables:336kB oom_score_adj:0", nil); !ok {
			b.Fatal("not found")
		}
	}
}
