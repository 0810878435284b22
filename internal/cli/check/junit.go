package check

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/your-org/tapio/internal/cli"
	"github.com/your-org/tapio/internal/finding"
)

// The parts of a JUnit report that CI systems agree on (github.com/testmoapp/junitxml).
type (
	testSuites struct {
		XMLName xml.Name    `xml:"testsuites"`
		Name    string      `xml:"name,attr"`
		Tests   int         `xml:"tests,attr"`
		Failed  int         `xml:"failures,attr"`
		Skipped int         `xml:"skipped,attr"`
		Suites  []testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name    string     `xml:"name,attr"`
		Tests   int        `xml:"tests,attr"`
		Failed  int        `xml:"failures,attr"`
		Skipped int        `xml:"skipped,attr"`
		Time    string     `xml:"timestamp,attr"`
		Cases   []testCase `xml:"testcase"`
	}
	testCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Failure *testFailure `xml:"failure"`
		Skipped *testSkipped `xml:"skipped"`
		Out     string       `xml:"system-out,omitempty"`
	}
	testFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	testSkipped struct {
		Message string `xml:"message,attr"`
	}
)

// writeJUnit writes a report for CI systems: a finding that counts as failure is a test that failed, another one a test that passed
// and says something, and what could not be seen a test that was skipped.
func writeJUnit(out io.Writer, r finding.Report, failOn string) error {
	s := testSuite{Name: "tapio check", Time: r.GeneratedAt.UTC().Format("2006-01-02T15:04:05")}
	for _, f := range r.Findings {
		if f.State != finding.Active {
			continue
		}
		c := testCase{Class: class(f.Entity), Name: cli.Clean(f.TitleAt(r.GeneratedAt))}
		if fails(f, failOn) {
			c.Failure = &testFailure{Message: c.Name, Type: cli.Clean(f.Pattern), Text: story(f)}
			s.Failed++
		} else {
			c.Out = story(f)
		}
		s.Cases = append(s.Cases, c)
	}
	for _, l := range unseen(r.Coverage) {
		s.Cases = append(s.Cases, testCase{Class: "not seen", Name: cli.Clean(at(l.Cluster) + string(l.Layer)), Skipped: &testSkipped{cli.Clean(l.Reason)}})
		s.Skipped++
	}
	switch n := r.Summary.Healthy; {
	case !sees(r):
		s.Cases = append(s.Cases, testCase{Class: "not seen", Name: "anything", Skipped: &testSkipped{nothingSeen}})
		s.Skipped++
	case n > 0 || len(s.Cases) == 0:
		s.Cases = append(s.Cases, testCase{Class: "healthy", Name: fmt.Sprintf("%d running normally", n)})
	}
	s.Tests = len(s.Cases)
	all := testSuites{Name: s.Name, Tests: s.Tests, Failed: s.Failed, Skipped: s.Skipped, Suites: []testSuite{s}}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(out)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}

// class groups test cases: by cluster, namespace and what the finding is about.
func class(e finding.Entity) string {
	parts := []string{}
	for _, p := range []string{e.Cluster, e.Namespace, strings.ToLower(e.Kind) + "/" + e.Display()} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return cli.Clean(strings.Join(parts, "."))
}

// story is all of a finding as plain text.
func story(f finding.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", cli.Clean(f.Explanation))
	for _, e := range f.Evidence {
		fmt.Fprintf(&b, "%s %s: %s\n", e.Time.UTC().Format(time.RFC3339), cli.Clean(string(e.Layer)), cli.Clean(e.Text))
	}
	for _, r := range f.Remedies {
		fmt.Fprintf(&b, "fix: %s\n", cli.Clean(r.Title))
		if r.Command != "" {
			fmt.Fprintf(&b, "  %s\n", cli.Clean(r.Command))
		}
	}
	return b.String()
}
