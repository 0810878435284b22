//go:build linux

package attribution

import (
	"context"
	"regexp"

	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/java"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/modules"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/node"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/process"
	"github.com/your-org/tapio/receiver/ebpfreceiver/internal/attribution/python"
)

// interpreter is a runtime that manages memory of its own, of which malloc knows nothing.
type interpreter struct {
	name string
	// file is what its library is called, program its program.
	library, program *regexp.Regexp
	// layout tells where it puts what; may be nil.
	layout func(*process.Process, *modules.Modules) (process.Layout, error)
	// look finds out what it gains.
	look func(*Process, context.Context, *process.Process, *modules.Modules, Options) error
	// next says what to run to know more, when these kinds of memory grow, of which there is one at least.
	next func(p *process.Process, grown []process.Growth) string
}

var interpreters = []interpreter{
	{
		"python", regexp.MustCompile(`^libpython[23]`), regexp.MustCompile(`^python[23][0-9.]*[dmt]*$`),
		func(*process.Process, *modules.Modules) (process.Layout, error) { return python.Layout(), nil }, (*Process).python, nextPython,
	},
	{
		"node", regexp.MustCompile(`^libnode\.so`), regexp.MustCompile(`^node(js)?$`),
		func(p *process.Process, _ *modules.Modules) (process.Layout, error) { return node.Layout(p), nil }, (*Process).mappings, nextNode,
	},
	{"java", regexp.MustCompile(`^libjvm\.so$`), nil, java.Layout, (*Process).java, nextJava},
	{"ruby", regexp.MustCompile(`^libruby`), regexp.MustCompile(`^ruby[0-9.]*$`), nil, (*Process).mappings, always(nextRuby)},
	{"dotnet", regexp.MustCompile(`^libcoreclr\.so$`), nil, nil, (*Process).mappings, nextDotnet},
	{"mono", nil, regexp.MustCompile(`^mono(-sgen)?$`), nil, (*Process).mappings, always("")},
	{"erlang", nil, regexp.MustCompile(`^beam\.smp$`), nil, (*Process).mappings, always(nextErlang)},
	{"php", regexp.MustCompile(`^libphp`), regexp.MustCompile(`^php`), nil, (*Process).mappings, always(nextPHP)},
	{"perl", nil, regexp.MustCompile(`^perl[0-9.]*$`), nil, (*Process).mappings, always(nextPerl)},
}

// interpreterOf tells which runtime a process is run by; nil for none that is known.
func interpreterOf(m *modules.Modules) *interpreter {
	for i, base := range m.Names() {
		for n := range interpreters {
			in := &interpreters[n]
			if i == 0 && in.program != nil && in.program.MatchString(base) || in.library != nil && in.library.MatchString(base) {
				return in
			}
		}
	}
	return nil
}

// layoutOf is what is known of where it puts what; what is not is told by less telling names.
func (in *interpreter) layoutOf(p *process.Process, m *modules.Modules) process.Layout {
	if in == nil || in.layout == nil {
		return process.Layout{}
	}
	l, _ := in.layout(p, m)
	return l
}
